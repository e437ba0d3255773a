//! `escrow store check`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use escrow_server::stores::{self, Checked, Finding};
use serde_json::{Value, json};

use super::counted;

/// Read everything in an embedded store, and list what is wrong with it.
///
/// No coordinator may have it open. No transaction is changed. The exit code is 1 if there is damage.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The directory of the store.
    dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let checked = stores::check(&self.dir).await?;
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(out, "{}", to_json(&self.dir, &checked))?,
            false => write(&mut out, &self.dir, &checked)?,
        }
        Ok(if checked.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What was read, what was found, and what follows.
pub(super) fn write(out: &mut impl Write, dir: &Path, checked: &Checked) -> std::io::Result<()> {
    let Checked { segments, frames, unfinished, archived, partitions, findings, .. } = checked;
    writeln!(
        out,
        "{}: {} in {} of the log, {}, {} in {} of the archive",
        dir.display(),
        counted(*frames, "frame"),
        counted(*segments, "segment"),
        counted(*unfinished, "unfinished transaction"),
        counted(*archived, "finished transaction"),
        counted(*partitions, "file")
    )?;
    write_findings(out, findings)?;
    let damaged = findings.iter().filter(|finding| finding.is_damage).count() as u64;
    match damaged {
        0 if checked.is_stopped => writeln!(out, "nothing is wrong"),
        0 => writeln!(out, "nothing is wrong; its coordinator did not stop in good order"),
        _ => writeln!(
            out,
            "damaged in {}: restore a backup, or repair it with: escrow store repair {}",
            counted(damaged, "place"),
            dir.display()
        ),
    }
}

/// One line each.
pub(super) fn write_findings(out: &mut impl Write, findings: &[Finding]) -> std::io::Result<()> {
    for finding in findings {
        let kind = if finding.is_damage { "damage" } else { "note" };
        writeln!(out, "{kind}: {finding}")?;
    }
    Ok(())
}

fn to_json(dir: &Path, checked: &Checked) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "path": finding.path.to_string_lossy(),
            "offset": finding.offset,
            "gid": finding.gid.as_ref().map(|gid| gid.as_str()),
            "what": finding.what,
            "is_damage": finding.is_damage,
        })
    };
    json!({
        "dir": dir.to_string_lossy(),
        "is_sound": checked.is_sound(),
        "is_stopped": checked.is_stopped,
        "segments": checked.segments,
        "frames": checked.frames,
        "unfinished": checked.unfinished,
        "archived": checked.archived,
        "partitions": checked.partitions,
        "findings": checked.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
