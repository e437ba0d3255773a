//! `escrow backup` and `escrow restore`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use escrow_server::stores;
use indicatif::HumanBytes;

use crate::store::counted;

/// Copy an embedded store into a new directory, while its coordinator runs or not.
///
/// The backup holds at least everything that was acknowledged before this command began. It is no store itself: `escrow
/// restore` makes one of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The directory of the store, which is the data directory of its coordinator unless it was told otherwise.
    dir: PathBuf,
    /// The directory to make, new or empty.
    to: PathBuf,
}

/// Make an embedded store of a backup, in a new directory.
///
/// Everything unfinished in it is on hold: what happened since the backup is not known. Once an operator has looked at it,
/// `escrow tx release` lets it go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The directory of the backup.
    from: PathBuf,
    /// The directory to make, new or empty.
    dir: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let made = stores::backup(&self.dir, &self.to).await?;
        writeln!(
            std::io::stdout(),
            "backed up {} to {}: {} of the log, {} of the archive, {}",
            self.dir.display(),
            self.to.display(),
            counted(made.frames, "frame"),
            counted(made.partitions, "file"),
            HumanBytes(made.bytes)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let contents = stores::restore(&self.from, &self.dir).await?;
        let mut out = std::io::stdout();
        writeln!(
            out,
            "restored {} to {}: {}, {} and {}",
            self.from.display(),
            self.dir.display(),
            counted(contents.unfinished, "unfinished transaction"),
            counted(contents.finished, "finished transaction"),
            counted(contents.settings, "setting")
        )?;
        if contents.unfinished > 0 {
            writeln!(out, "everything unfinished is on hold; once it was looked at: escrow tx release --all, or GID")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
