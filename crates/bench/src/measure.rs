//! One measurement: a load on a running coordinator, and what it cost.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::{self, Edge, Load, LoadResult, Pace};
use crate::participant::Participants;
use crate::process::Usage;
use crate::target::{Counters, Running};
use crate::workload::Workload;

/// What one round of one load on one target came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The target's name, as [`crate::target::Target`] shows it.
    pub(crate) target: String,
    pub(crate) workload: Workload,
    pub(crate) pace: Pace,
    /// Share of the capacity that an open loop asks for, in percent: only who planned the load knows it, and sets it.
    pub(crate) percent_of_capacity: Option<u32>,
    /// From 1.
    pub(crate) round: u32,
    pub(crate) finished: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) per_second: f64,
    /// Processor time of the coordinator, and of its database, per transaction. 0 if none has finished.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// The store's own counters, per transaction of the whole load; `None` where the target has none, or none has finished.
    pub(crate) changes: Option<f64>,
    pub(crate) syncs: Option<f64>,
    pub(crate) bytes: Option<f64>,
    /// Resident memory at the end.
    pub(crate) resident_bytes: u64,
}

/// Puts the load on the coordinator, says what a transaction took and cost, and waits until the coordinator has settled.
///
/// It has to have settled before, too.
///
/// # Errors
/// The coordinator cannot be reached at all. Transactions that failed are counted in the measurement.
pub(crate) async fn measure(
    running: &Running,
    load: &Load,
    participants: &Participants,
    round: u32,
) -> anyhow::Result<Measurement> {
    let before = running.counters().await;
    let (mut begin, mut end) = (Usage::default(), Usage::default());
    let result = load::drive(load, participants, async |edge| match edge {
        Edge::Begin => begin = running.usage(),
        Edge::End => end = running.usage(),
    })
    .await?;
    running.settle().await;
    let counters = before.zip(running.counters().await).map(|(before, after)| after.since(before));
    let spent = Spent { cpu: end.cpu.saturating_sub(begin.cpu), counters, resident_bytes: end.resident_bytes };
    Ok(Measurement { target: running.target().to_string(), round, ..summary(load, result, spent) })
}

/// What a load cost its coordinator.
#[derive(Clone, Copy, Debug)]
struct Spent {
    /// Within the measured time.
    cpu: Duration,
    /// From before the load until everything that it set off was over: what a store puts off belongs to it, and no transaction is cut
    /// in two. `None` if the target does not count.
    counters: Option<Counters>,
    /// At the end of the measured time.
    resident_bytes: u64,
}

/// All of a measurement that follows from the load, its result and what was spent; the target is without a name, the round 0.
fn summary(load: &Load, result: LoadResult, spent: Spent) -> Measurement {
    let each = |total: u64, count: u64| (count > 0).then(|| ratio(total, count));
    let counted = |total: fn(&Counters) -> u64| spent.counters.and_then(|counters| each(total(&counters), result.made));
    let at = |latency: &Histogram<u64>, quantile| latency.value_at_quantile(quantile);
    Measurement {
        target: String::new(),
        workload: load.workload,
        pace: load.pace,
        percent_of_capacity: None,
        round: 0,
        finished: result.finished,
        errors: result.errors,
        per_second: result.finished as f64 / result.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        cpu_us: each(spent.cpu.as_micros() as u64, result.finished).unwrap_or(0.0),
        p50_us: at(&result.latency, 0.5),
        p99_us: at(&result.latency, 0.99),
        p999_us: at(&result.latency, 0.999),
        changes: counted(|counters| counters.changes),
        syncs: counted(|counters| counters.syncs),
        bytes: counted(|counters| counters.bytes),
        resident_bytes: spent.resident_bytes,
        first_error: result.first_error,
    }
}

/// Counts of a benchmark are far below 2^53: nothing is lost.
fn ratio(total: u64, count: u64) -> f64 {
    total as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Dialect;

    fn load() -> Load {
        Load {
            target: ([127, 0, 0, 1], 1).into(),
            dialect: Dialect::Dtm,
            workload: Workload::Saga,
            pace: Pace::Closed { clients: 4 },
            warmup: Duration::ZERO,
            length: Duration::from_secs(2),
        }
    }

    /// Within the measured time; twice as many in all.
    fn result(finished: u64) -> LoadResult {
        let mut latency = Histogram::new(3).unwrap();
        (1..=finished).for_each(|micros| latency.record(micros).unwrap());
        let elapsed = Duration::from_secs(2);
        LoadResult { made: 2 * finished, finished, errors: 3, first_error: None, latency, elapsed }
    }

    fn spent(cpu_ms: u64, syncs: Option<u64>) -> Spent {
        Spent {
            cpu: Duration::from_millis(cpu_ms),
            counters: syncs.map(|syncs| Counters { changes: 2 * syncs, syncs, bytes: 100 * syncs }),
            resident_bytes: 600,
        }
    }

    #[test]
    fn time_is_shared_by_the_measured_transactions_and_counters_by_all() {
        let shown = summary(&load(), result(1000), spent(100, Some(100)));
        assert_eq!((shown.finished, shown.errors), (1000, 3));
        assert!((shown.per_second - 500.0).abs() < 1e-9);
        assert!((shown.cpu_us - 100.0).abs() < 1e-9);
        assert_eq!((shown.changes, shown.syncs, shown.bytes), (Some(0.1), Some(0.05), Some(5.0)));
        assert_eq!((shown.p50_us, shown.p99_us, shown.p999_us), (500, 990, 999));
        assert_eq!(shown.resident_bytes, 600);
    }

    #[test]
    fn a_target_that_counts_nothing_has_no_counters() {
        assert_eq!(summary(&load(), result(1), spent(1, None)).syncs, None);
    }

    #[test]
    fn a_round_in_which_nothing_finished_is_shown_and_divides_by_nothing() {
        let shown = summary(&load(), result(0), spent(100, Some(10)));
        assert_eq!((shown.per_second, shown.cpu_us, shown.syncs), (0.0, 0.0, None));
    }
}
