//! `escrow store copy`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use escrow_server::StoreChoice;
use escrow_server::stores::{self, CopyStep, Tally};
use indicatif::{ProgressBar, ProgressStyle};

use super::counted;

/// Without a terminal a line is printed for so many transactions.
const PLAIN_STEP: u64 = 100_000;

/// Copy everything from one store into another one, which is new or empty.
///
/// Both must be stopped. The copy is read again at the end, and what it holds is compared with what was copied.
#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// The store to copy: sqlite:FILE or local:DIR. It is not changed.
    from: StoreChoice,
    /// The store to make of it: sqlite:FILE or local:DIR.
    to: StoreChoice,
}

impl Copy {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut shown = Shown::start(std::io::stderr().is_terminal());
        let copied = stores::copy(&self.from, &self.to, |step, tally| shown.show(step, tally)).await;
        shown.finish();
        let Tally { transactions, unfinished, settings, .. } = copied?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "copied {} to {}, and compared:", self.from, self.to)?;
        let (transactions, settings) = (counted(transactions, "transaction"), counted(settings, "setting"));
        writeln!(out, "{transactions}, {unfinished} of them unfinished; {settings}")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How far a copy is: one line that changes on a terminal, a few plain lines elsewhere.
enum Shown {
    Line(ProgressBar),
    Plain { next: (CopyStep, u64) },
}

impl Shown {
    fn start(terminal: bool) -> Self {
        if !terminal {
            return Self::Plain { next: (CopyStep::Copying, PLAIN_STEP) };
        }
        let line = ProgressBar::new_spinner();
        line.set_style(
            ProgressStyle::with_template("{elapsed:>4} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        line.enable_steady_tick(Duration::from_millis(200));
        Self::Line(line)
    }

    fn show(&mut self, step: CopyStep, tally: &Tally) {
        match self {
            Self::Line(line) => line.set_message(message(step, tally)),
            Self::Plain { next } => {
                if next.0 != step {
                    *next = (step, PLAIN_STEP);
                }
                if tally.transactions >= next.1 {
                    // Progress is not worth failing for: nobody may be reading.
                    let _ = writeln!(std::io::stderr(), "{}", message(step, tally));
                    next.1 = tally.transactions + PLAIN_STEP;
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Line(line) = self {
            line.finish_and_clear();
        }
    }
}

fn message(step: CopyStep, tally: &Tally) -> String {
    let done = match step {
        CopyStep::Copying => "copied",
        CopyStep::Checking => "compared",
    };
    format!("{done}: {}", counted(tally.transactions, "transaction"))
}
