//! `escrow demo`: settles payments through a real coordinator while things break, and audits what is left.

mod coordinator;
mod progress;
mod verdict;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use escrow_payments::demo::{self, ChaosLevel, Config, DemoReport, FaultRates};
use tempfile::TempDir;

use crate::serve::stop_signal;
use coordinator::ChildCoordinator;
use progress::Shown;

/// Settle payments through a real coordinator while things break, then audit the books.
///
/// Six services with a database each, a merchant and a bank run in this process; the coordinator is a process of its own,
/// killed (SIGKILL) and restarted in mid-flight. At the end the auditor recomputes the books from the databases and the
/// coordinator's records alone. The exit code is 0 only if nothing is violated.
#[derive(Debug, clap::Args)]
#[command(after_long_help = rates())]
pub(crate) struct Args {
    /// How many orders are pushed through.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    orders: u32,
    /// Fixes orders and faults, but not how things interleave.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much is broken: see the rates below.
    #[arg(long, value_enum, default_value_t = Chaos::Low)]
    chaos: Chaos,
    /// Keep the databases in this directory, which must be new or empty.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Switch the participants' barrier off, to see what it is for.
    #[arg(long, value_enum, default_value_t = Switch::On, hide = true)]
    barrier: Switch,
}

/// What `--help` says below the options.
fn rates() -> String {
    let [off, low, high] = [ChaosLevel::Off, ChaosLevel::Low, ChaosLevel::High].map(ChaosLevel::rates);
    let plain = |rate: fn(&FaultRates) -> u16| [&off, &low, &high].map(|rates| rate(rates).to_string());
    let with = |rate: fn(&FaultRates) -> u16, ms: fn(&FaultRates) -> u64| {
        [&off, &low, &high].map(|rates| match rate(rates) {
            0 => "0".to_owned(),
            rate => format!("{rate} ({} ms)", ms(rates)),
        })
    };
    let rows = [
        ("", ["off", "low", "high"].map(str::to_owned)),
        ("request lost", plain(|rates| rates.request_lost)),
        ("reply lost", plain(|rates| rates.reply_lost)),
        ("slow (up to)", with(|rates| rates.slow, |rates| rates.slow_ms_max)),
        ("Try refused", plain(|rates| rates.try_refused)),
        ("Try late (by)", with(|rates| rates.try_late, |rates| rates.try_late_ms)),
    ];
    let rows =
        rows.map(|(name, [off, low, high])| format!("  {name:<18}{off:<6}{low:<14}{high}\n").trim_end().to_owned());
    format!(
        "Of a thousand calls, so many are hit:\n{}\n\n\
         The coordinator is killed once per 200 orders on low, at least once; once per 100 orders on high, at least three \
         times.\n\
         A lost request was not processed, a lost reply was. A late Try comes after its transaction has timed out (3 s).",
        rows.join("\n")
    )
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Chaos {
    /// Nothing is broken.
    Off,
    /// Now and then.
    Low,
    /// All the time, and actions come after their undo.
    High,
}

impl From<Chaos> for ChaosLevel {
    fn from(chaos: Chaos) -> ChaosLevel {
        match chaos {
            Chaos::Off => ChaosLevel::Off,
            Chaos::Low => ChaosLevel::Low,
            Chaos::High => ChaosLevel::High,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs the demo and prints its verdict; the exit code says whether the books are sound.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = stop_signal(false)?;
    let home = Home::prepare(args.keep.as_deref())?;
    let report = tokio::select! {
        report = run_in(home.path(), &args) => report?,
        () = stop => bail!("interrupted"),
    };
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| columns);
    let mut out = std::io::stdout().lock();
    verdict::print(&mut out, &report, columns)?;
    if args.keep.is_some() {
        print_kept(&mut out, home.path(), &report)?;
    }
    Ok(if report.audit.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_in(dir: &Path, args: &Args) -> anyhow::Result<DemoReport> {
    let shown = Shown::start(args.orders, std::io::stderr().is_terminal());
    let coordinator = ChildCoordinator::start(dir).await?;
    let config = Config {
        orders: args.orders,
        seed: args.seed,
        chaos: args.chaos.into(),
        barrier_on: args.barrier == Switch::On,
        ..Config::new(dir)
    };
    let report = demo::run(&config, &coordinator, &|progress| shown.show(&progress)).await;
    shown.finish();
    coordinator.stop().await?;
    report.context("the demo could not run to its end")
}

/// Where the databases lie: kept where the user says, else in a directory that goes away at the end.
enum Home {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Home {
    fn prepare(keep: Option<&Path>) -> anyhow::Result<Home> {
        let Some(dir) = keep else {
            return Ok(Home::Temporary(tempfile::tempdir().context("cannot make a temporary directory")?));
        };
        let context = || format!("cannot use {}", dir.display());
        std::fs::create_dir_all(dir).with_context(context)?;
        if std::fs::read_dir(dir).with_context(context)?.next().is_some() {
            bail!("{} is not empty: the demo keeps its databases in a directory of their own", dir.display());
        }
        Ok(Home::Kept(dir.canonicalize().with_context(context)?))
    }

    fn path(&self) -> &Path {
        match self {
            Home::Kept(dir) => dir,
            Home::Temporary(dir) => dir.path(),
        }
    }
}

fn print_kept(out: &mut impl Write, dir: &Path, report: &DemoReport) -> std::io::Result<()> {
    // As it was called: who ran it from a build has no `escrow` in the path.
    let escrow = shell_word(&std::env::args().next().unwrap_or_else(|| "escrow".to_owned()));
    writeln!(out, "\nThe databases are kept in {}. To look at the coordinator's records:", dir.display())?;
    writeln!(out, "  {escrow} serve --data {}", shell_word(&dir.join(coordinator::DATA).to_string_lossy()))?;
    if let Some(gid) = &report.example_gid {
        writeln!(out, "  {escrow} tx show {gid}")?;
    }
    Ok(())
}

/// The text as a shell takes it for one word.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use escrow_payments::demo::kills_planned;

    use super::*;

    #[test]
    fn a_directory_with_a_space_is_still_one_word() {
        assert_eq!(shell_word("/tmp/kept-1"), "/tmp/kept-1");
        assert_eq!(shell_word("/tmp/it's kept"), r"'/tmp/it'\''s kept'");
    }

    #[test]
    fn the_help_states_the_rates_in_force() {
        let help = rates();
        assert!(help.contains("  slow (up to)      0     20 (100 ms)   50 (300 ms)\n"), "{help}");
        assert!(
            help.contains("once per 200 orders on low, at least once; once per 100 orders on high, at least three")
        );
        assert_eq!([10, 200, 2_000].map(|orders| kills_planned(ChaosLevel::Low, orders)), [1, 1, 10]);
        assert_eq!([10, 300, 2_000].map(|orders| kills_planned(ChaosLevel::High, orders)), [3, 3, 20]);
    }
}
