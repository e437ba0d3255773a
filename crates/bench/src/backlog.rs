//! What a transaction costs beside many that wait and many that are finished.
//!
//! ```text
//!   for each size:  fill a new directory ─▶ start a coordinator on it ─▶ rounds ─▶ stop it, delete the directory
//!   each round:     the null coordinator, one whose store was empty when it started, and the one on the filled store
//! ```
//!
//! What the rounds themselves finish comes to some 10^5 sagas a point. Beside the sizes of the curve of finished ones that is
//! little, and the store that was empty gets as many in the same rounds. The filling is not in the log any more, as if it had been
//! there for long. So the time to start is without what a busy coordinator needs to read its log, which never grows past a bound.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use escrow_store::SystemClock;
use escrow_store_local::LocalStore;

use crate::fill::{Filling, fill};
use crate::load::{Load, Pace};
use crate::measure::{self, Measurement};
use crate::participant::Participants;
use crate::plan::Plan;
use crate::report::Spread;
use crate::target::{Programs, Running, Target};
use crate::workload::Workload;

/// What a saga of two steps costs on the embedded store beside so many others. All costs are medians of the rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BacklogPoint {
    /// Transactions that wait for days.
    pub(crate) unfinished: u64,
    /// Transactions that were finished before the first round.
    pub(crate) finished: u64,
    /// Processor time per saga.
    pub(crate) cpu_us: f64,
    /// The same on a store that was empty when it started.
    pub(crate) cpu_us_empty: f64,
    /// The same of the null coordinator.
    pub(crate) cpu_us_null: f64,
    /// Of each round, its cost to that on the empty store: their median, the lowest and the highest.
    pub(crate) ratio: f64,
    pub(crate) ratio_low: f64,
    pub(crate) ratio_high: f64,
    /// From the start of the process to its first answer.
    pub(crate) start_ms: f64,
    /// Resident memory after the last round, and that of the coordinator whose store was empty.
    pub(crate) resident_bytes: u64,
    pub(crate) resident_bytes_empty: u64,
    /// Sagas that failed, on all three.
    pub(crate) errors: u64,
    /// Where the first of them failed, and why.
    pub(crate) first_error: Option<String>,
}

/// Sizes of the curve of a filling, ascending.
fn sizes(filling: Filling, quick: bool) -> &'static [u64] {
    match (filling, quick) {
        (_, true) => &[0, 1_000],
        (Filling::Waiting, false) => &[0, 1_000, 10_000, 100_000, 1_000_000],
        (Filling::Finished, false) => &[0, 100_000, 1_000_000, 5_000_000],
    }
}

/// Both curves. The largest point needs about 5 GB in the directory for temporary files.
///
/// # Errors
/// A store cannot be filled, a coordinator does not start, or one of them finishes nothing.
pub(crate) async fn measure(
    plan: &Plan,
    programs: &Programs,
    participants: &Participants,
) -> anyhow::Result<Vec<BacklogPoint>> {
    let mut points = Vec::new();
    for filling in [Filling::Waiting, Filling::Finished] {
        for &size in sizes(filling, plan.quick) {
            let backlog = Backlog::make(filling, size).await;
            let backlog = backlog.with_context(|| format!("cannot fill a store with {size} {filling:?}"))?;
            let (start_ms, rounds) = rounds(&backlog, plan, programs, participants).await?;
            points.push(BacklogPoint::of(&backlog, start_ms, &rounds)?);
        }
    }
    Ok(points)
}

/// A directory with a store, and what was put into it.
struct Backlog {
    directory: TempDir,
    filling: Filling,
    size: u64,
}

impl Backlog {
    async fn make(filling: Filling, size: u64) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("escrow-bench-").tempdir()?;
        if size > 0 {
            let store = LocalStore::open(directory.path(), Arc::new(SystemClock))?;
            fill(&store, filling, size).await?;
            // The system writes back what the filling left in its memory: that is no part of what is measured next.
            drop(store);
            ensure!(std::process::Command::new("sync").status()?.success(), "`sync` failed");
        }
        Ok(Self { directory, filling, size })
    }
}

/// One round of all three.
#[derive(Debug)]
struct Round {
    null: Measurement,
    empty: Measurement,
    filled: Measurement,
}

/// Milliseconds that the coordinator took to start on the backlog, and what the rounds came to.
async fn rounds(
    backlog: &Backlog,
    plan: &Plan,
    programs: &Programs,
    participants: &Participants,
) -> anyhow::Result<(f64, Vec<Round>)> {
    let null = Running::start(&Target::Null, programs).await?;
    let empty = Running::start(&Target::Embedded, programs).await?;
    let begin = Instant::now();
    let filled = Running::start_in(backlog.directory.path(), programs).await?;
    let start_ms = begin.elapsed().as_secs_f64() * 1e3;
    // What a start sets off, such as filters over all that is there, is no part of a transaction's cost.
    filled.settle().await;

    let one =
        async |running: &Running, round| measure::measure(running, &load(running, plan), participants, round).await;
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        // Whoever comes later in a round finds another machine, perhaps: so they take turns.
        let null = one(&null, round).await?;
        let (empty, filled) = if round % 2 == 1 {
            let empty = one(&empty, round).await?;
            (empty, one(&filled, round).await?)
        } else {
            let filled = one(&filled, round).await?;
            (one(&empty, round).await?, filled)
        };
        rounds.push(Round { null, empty, filled });
    }
    for running in [null, empty, filled] {
        running.stop().await;
    }
    Ok((start_ms, rounds))
}

fn load(running: &Running, plan: &Plan) -> Load {
    Load {
        target: running.address(),
        dialect: running.dialect(),
        workload: Workload::Saga,
        pace: Pace::Closed { clients: plan.capacity_clients() },
        warmup: plan.warmup,
        length: plan.length,
    }
}

impl BacklogPoint {
    fn of(backlog: &Backlog, start_ms: f64, rounds: &[Round]) -> anyhow::Result<Self> {
        let all = || rounds.iter().flat_map(|round| [&round.null, &round.empty, &round.filled]);
        if let Some(idle) = all().find(|one| one.finished == 0) {
            let why = idle.first_error.as_deref().unwrap_or("no error");
            anyhow::bail!("{} finished nothing in round {}: {why}", idle.target, idle.round);
        }
        let spread = |of: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(of)).context("no round was measured");
        let ratio = spread(&|round| round.filled.cpu_us / round.empty.cpu_us)?;
        let last = rounds.last().context("no round was measured")?;
        ensure!(ratio.median > 0.0, "no processor time was counted");
        Ok(Self {
            unfinished: if backlog.filling == Filling::Waiting { backlog.size } else { 0 },
            finished: if backlog.filling == Filling::Finished { backlog.size } else { 0 },
            cpu_us: spread(&|round| round.filled.cpu_us)?.median,
            cpu_us_empty: spread(&|round| round.empty.cpu_us)?.median,
            cpu_us_null: spread(&|round| round.null.cpu_us)?.median,
            ratio: ratio.median,
            ratio_low: ratio.low,
            ratio_high: ratio.high,
            start_ms,
            resident_bytes: last.filled.resident_bytes,
            resident_bytes_empty: last.empty.resident_bytes,
            errors: all().map(|one| one.errors).sum(),
            first_error: all().find_map(|one| {
                one.first_error.as_ref().map(|error| format!("{}, round {}: {error}", one.target, one.round))
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use escrow_store::Backend;

    use super::*;

    fn measurement(cpu_us: f64) -> Measurement {
        Measurement {
            target: "t".to_owned(),
            workload: Workload::Saga,
            pace: Pace::Closed { clients: 1 },
            percent_of_capacity: None,
            round: 1,
            finished: 10,
            errors: 1,
            first_error: None,
            per_second: 1.0,
            cpu_us,
            p50_us: 1,
            p99_us: 1,
            p999_us: 1,
            changes: None,
            syncs: None,
            bytes: None,
            resident_bytes: cpu_us as u64,
        }
    }

    fn round(null: f64, empty: f64, filled: f64) -> Round {
        Round { null: measurement(null), empty: measurement(empty), filled: measurement(filled) }
    }

    fn of(size: u64) -> Backlog {
        Backlog { directory: tempfile::tempdir().unwrap(), filling: Filling::Waiting, size }
    }

    #[test]
    fn a_point_is_the_median_of_the_ratios_within_a_round() {
        // The machine was half as fast in the second round: within each, the filled store is 10 % or less above the empty one.
        let rounds = [round(40.0, 100.0, 110.0), round(80.0, 200.0, 210.0), round(41.0, 100.0, 99.0)];
        let point = BacklogPoint::of(&of(7), 12.5, &rounds).unwrap();
        let ratios = [point.ratio_low, point.ratio, point.ratio_high];
        assert!(ratios.iter().zip([0.99, 1.05, 1.1]).all(|(is, should)| (is - should).abs() < 1e-9), "{ratios:?}");
        assert_eq!((point.cpu_us_null, point.cpu_us_empty, point.cpu_us), (41.0, 100.0, 110.0));
        assert_eq!((point.unfinished, point.finished, point.start_ms), (7, 0, 12.5));
        assert_eq!((point.resident_bytes, point.resident_bytes_empty, point.errors), (99, 100, 9));
    }

    #[test]
    fn nothing_is_told_of_rounds_that_measured_nothing() {
        assert!(BacklogPoint::of(&of(0), 1.0, &[]).is_err());
        assert!(BacklogPoint::of(&of(0), 1.0, &[round(0.0, 0.0, 0.0)]).is_err());
        let mut idle = round(1.0, 1.0, 1.0);
        idle.filled.finished = 0;
        idle.filled.first_error = Some("refused".to_owned());
        let error = BacklogPoint::of(&of(0), 1.0, &[idle]).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }

    #[test]
    fn curves_begin_with_nothing_and_rise() {
        for filling in [Filling::Waiting, Filling::Finished] {
            for quick in [true, false] {
                let sizes = sizes(filling, quick);
                assert_eq!(sizes[0], 0);
                assert!(sizes.is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[tokio::test]
    async fn a_backlog_is_what_a_coordinator_will_open() {
        for (filling, unfinished, finished) in [(Filling::Waiting, 5, 0), (Filling::Finished, 0, 5)] {
            let backlog = Backlog::make(filling, 5).await.unwrap();
            let store = LocalStore::open(backlog.directory.path(), Arc::new(SystemClock)).unwrap();
            let holds = store.stats().embedded.unwrap();
            assert_eq!((holds.spilled, holds.archived), (unfinished, finished));
        }
    }
}
