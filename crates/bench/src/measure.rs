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
    /// The store's own counters, per transaction; `None` where the target has none, or none has finished.
    pub(crate) changes: Option<f64>,
    pub(crate) syncs: Option<f64>,
    pub(crate) bytes: Option<f64>,
    /// Resident memory at the end.
    pub(crate) resident_bytes: u64,
}

/// Puts the load on the coordinator, and says what a transaction took and cost.
///
/// What the coordinator does after the measured time is nobody's: [`Running::settle`] before the next round.
///
/// # Errors
/// The coordinator cannot be reached at all. Transactions that failed are counted in the measurement.
pub(crate) async fn measure(
    running: &Running,
    load: &Load,
    participants: &Participants,
    round: u32,
) -> anyhow::Result<Measurement> {
    let mut begin = Reading::default();
    let mut end = Reading::default();
    let result = load::drive(load, participants, async |edge| match edge {
        Edge::Begin => begin = Reading::of(running, edge).await,
        Edge::End => end = Reading::of(running, edge).await,
    })
    .await?;
    let spent = Spent::between(begin, end);
    Ok(Measurement { target: running.target().to_string(), round, ..summary(load, result, spent) })
}

/// What a coordinator shows at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    usage: Usage,
    counters: Option<Counters>,
}

impl Reading {
    /// Asking for the counters costs the coordinator something: it is asked outside the processor time that is measured.
    async fn of(running: &Running, edge: Edge) -> Self {
        match edge {
            Edge::Begin => {
                let counters = running.counters().await;
                Self { usage: running.usage(), counters }
            }
            Edge::End => {
                let usage = running.usage();
                Self { usage, counters: running.counters().await }
            }
        }
    }
}

/// What was used between two readings.
#[derive(Clone, Copy, Debug)]
struct Spent {
    cpu: Duration,
    /// `None` unless both readings have them.
    counters: Option<Counters>,
    /// At the second one.
    resident_bytes: u64,
}

impl Spent {
    /// Differences stop at zero: a child that has ended takes its processor time out of the sum.
    fn between(begin: Reading, end: Reading) -> Self {
        let counters = begin.counters.zip(end.counters).map(|(begin, end)| Counters {
            changes: end.changes.saturating_sub(begin.changes),
            syncs: end.syncs.saturating_sub(begin.syncs),
            bytes: end.bytes.saturating_sub(begin.bytes),
        });
        Self { cpu: end.usage.cpu.saturating_sub(begin.usage.cpu), counters, resident_bytes: end.usage.resident_bytes }
    }
}

/// All of a measurement that follows from the load, its result and what was spent; the target is without a name, the round 0.
fn summary(load: &Load, result: LoadResult, spent: Spent) -> Measurement {
    let each = |total: u64| (result.finished > 0).then(|| ratio(total, result.finished));
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
        cpu_us: each(spent.cpu.as_micros() as u64).unwrap_or(0.0),
        p50_us: at(&result.latency, 0.5),
        p99_us: at(&result.latency, 0.99),
        p999_us: at(&result.latency, 0.999),
        changes: spent.counters.and_then(|counters| each(counters.changes)),
        syncs: spent.counters.and_then(|counters| each(counters.syncs)),
        bytes: spent.counters.and_then(|counters| each(counters.bytes)),
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

    fn result(finished: u64) -> LoadResult {
        let mut latency = Histogram::new(3).unwrap();
        (1..=finished).for_each(|micros| latency.record(micros).unwrap());
        LoadResult { finished, errors: 3, first_error: None, latency, elapsed: Duration::from_secs(2) }
    }

    fn reading(cpu_ms: u64, syncs: Option<u64>) -> Reading {
        Reading {
            usage: Usage { cpu: Duration::from_millis(cpu_ms), resident_bytes: cpu_ms },
            counters: syncs.map(|syncs| Counters { changes: 2 * syncs, syncs, bytes: 100 * syncs }),
        }
    }

    #[test]
    fn costs_are_differences_of_both_edges_per_transaction() {
        let spent = Spent::between(reading(500, Some(10)), reading(600, Some(60)));
        let shown = summary(&load(), result(1000), spent);
        assert_eq!((shown.finished, shown.errors), (1000, 3));
        assert!((shown.per_second - 500.0).abs() < 1e-9);
        assert!((shown.cpu_us - 100.0).abs() < 1e-9);
        assert_eq!((shown.changes, shown.syncs, shown.bytes), (Some(0.1), Some(0.05), Some(5.0)));
        assert_eq!((shown.p50_us, shown.p99_us, shown.p999_us), (500, 990, 999));
        assert_eq!(shown.resident_bytes, 600);
    }

    #[test]
    fn a_target_that_counts_nothing_has_no_counters() {
        for (begin, end) in [(None, None), (Some(1), None), (None, Some(1))] {
            let spent = Spent::between(reading(0, begin), reading(1, end));
            assert_eq!(summary(&load(), result(1), spent).syncs, None);
        }
    }

    #[test]
    fn a_round_in_which_nothing_finished_is_shown_and_divides_by_nothing() {
        let spent = Spent::between(reading(0, Some(0)), reading(100, Some(10)));
        let shown = summary(&load(), result(0), spent);
        assert_eq!((shown.per_second, shown.cpu_us, shown.syncs), (0.0, 0.0, None));
    }
}
