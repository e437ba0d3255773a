//! How far the demo is: a bar on a terminal, plain lines elsewhere.

use std::sync::Mutex;
use std::time::Duration;

use escrow_payments::demo::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// How many plain lines a run prints about its orders.
const PLAIN_STEPS: u32 = 10;

/// Shows the progress of one run.
#[derive(Debug)]
pub(super) enum Shown {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a log.
    Plain {
        /// How many orders there are.
        orders: u32,
        /// The last line, so that nothing is said twice.
        last: Mutex<String>,
    },
}

impl Shown {
    pub(super) fn start(orders: u32, terminal: bool) -> Shown {
        if !terminal {
            return Shown::Plain { orders, last: Mutex::default() };
        }
        let bar = ProgressBar::new(u64::from(orders));
        let style = ProgressStyle::with_template("{elapsed:>4} {bar:24} {pos}/{len} orders  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Shown::Bar(bar)
    }

    pub(super) fn show(&self, progress: &Progress) {
        match self {
            Shown::Bar(bar) => {
                if let Progress::OrdersDone(done) = progress {
                    bar.set_position(u64::from(*done));
                } else {
                    bar.set_message(progress.to_string());
                }
            }
            Shown::Plain { orders, last } => {
                let step = (*orders / PLAIN_STEPS).max(1);
                let line = match progress {
                    Progress::OrdersDone(done) if done % step != 0 => return,
                    Progress::OrdersDone(done) => format!("{done} of {orders} orders done"),
                    other => other.to_string(),
                };
                say(last, line);
            }
        }
    }

    pub(super) fn finish(&self) {
        if let Shown::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn say(last: &Mutex<String>, line: String) {
    let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *last != line {
        // Progress is not worth failing for: nobody may be reading.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
        *last = line;
    }
}
