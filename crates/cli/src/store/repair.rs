//! `escrow store repair`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use escrow_server::stores::{self, Checked, Repaired};

use super::{check, counted};

/// Make a damaged embedded store one that can be started: what cannot be read of it is dropped.
///
/// No coordinator may have it open. All its files are copied first, into a directory beside it. If anything is dropped,
/// everything unfinished is on hold afterwards, until `escrow tx release`: nobody can say what was in it.
#[derive(Debug, clap::Args)]
pub(super) struct Repair {
    /// The directory of the store.
    dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Repair {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let stdin = std::io::stdin();
        let is_terminal = stdin.is_terminal();
        self.run_on(is_terminal, &mut stdin.lock(), &mut std::io::stdout()).await
    }

    async fn run_on(
        self,
        is_terminal: bool,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let checked = stores::check(&self.dir).await?;
        check::write(out, &self.dir, &checked)?;
        if checked.is_sound() {
            writeln!(out, "not repaired: there is nothing to do")?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes && !self.confirmed(&checked, is_terminal, input, out)? {
            writeln!(out, "not repaired")?;
            return Ok(ExitCode::FAILURE);
        }
        let repaired = stores::repair(&self.dir).await?;
        self.report(out, &repaired)?;
        Ok(ExitCode::SUCCESS)
    }

    /// No answer is a no.
    fn confirmed(
        &self,
        checked: &Checked,
        is_terminal: bool,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> anyhow::Result<bool> {
        if !is_terminal {
            bail!("a repair drops what cannot be read, so it has to be confirmed: with --yes, or on a terminal");
        }
        let damaged = checked.findings.iter().filter(|finding| finding.is_damage).count() as u64;
        writeln!(
            out,
            "\nA repair drops what cannot be read in {}, once everything is copied.",
            counted(damaged, "place")
        )?;
        write!(out, "Type yes to repair it: ")?;
        out.flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer).context("cannot read the answer")?;
        Ok(answer.trim() == "yes")
    }

    fn report(&self, out: &mut impl Write, repaired: &Repaired) -> std::io::Result<()> {
        let Repaired { copy, findings, contents, is_held } = repaired;
        writeln!(out, "copied everything as it was to {}", copy.display())?;
        for finding in findings.iter().filter(|finding| finding.is_damage) {
            writeln!(out, "dropped: {finding}")?;
        }
        writeln!(
            out,
            "repaired {}: it holds {}, {} and {}",
            self.dir.display(),
            counted(contents.unfinished, "unfinished transaction"),
            counted(contents.finished, "finished transaction"),
            counted(contents.settings, "setting")
        )?;
        if *is_held {
            writeln!(out, "everything unfinished is on hold; once it was looked at: escrow tx release --all, or GID")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use escrow_server::stores::Finding;

    use super::*;

    /// What is asked, and whether a repair goes ahead with this answer.
    fn answered(is_terminal: bool, answer: &str) -> anyhow::Result<(String, bool)> {
        let finding =
            Finding { path: "data/log".into(), offset: Some(8), gid: None, what: "lost".to_owned(), is_damage: true };
        let checked = Checked {
            segments: 1,
            frames: 2,
            is_stopped: false,
            unfinished: 3,
            archived: 4,
            partitions: 5,
            findings: vec![finding],
        };
        let mut out = Vec::new();
        let repair = Repair { dir: "data".into(), yes: false };
        let goes_ahead = repair.confirmed(&checked, is_terminal, &mut answer.as_bytes(), &mut out)?;
        Ok((String::from_utf8(out)?, goes_ahead))
    }

    #[test]
    fn only_a_yes_on_a_terminal_is_a_yes() {
        let asked =
            "\nA repair drops what cannot be read in 1 place, once everything is copied.\nType yes to repair it: ";
        for (answer, goes_ahead) in [("yes\n", true), ("y\n", false), ("\n", false), ("", false), ("no\n", false)] {
            assert_eq!(answered(true, answer).unwrap(), (asked.to_owned(), goes_ahead), "{answer:?}");
        }
        assert!(answered(false, "yes\n").unwrap_err().to_string().contains("--yes"));
    }
}
