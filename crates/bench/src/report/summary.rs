//! Rounds made one: medians with their range, and ratios between targets of one run.

#[cfg(test)]
mod tests;

use crate::load::Pace;
use crate::measure::Measurement;
use crate::workload::Workload;

/// A median with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// How hard a target was driven: what rounds and targets have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// A closed loop of so many clients.
    Clients(usize),
    /// An open loop at this share of the target's own capacity.
    Percent(u32),
}

/// All rounds of one target at one level of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) level: Level,
    /// Of rounds in which nothing was finished there is nothing to tell; without any round left, all of these are `None`.
    pub(crate) per_second: Option<Spread>,
    pub(crate) cpu_us: Option<Spread>,
    /// Processor time as a multiple of the null coordinator's in the same round.
    pub(crate) times_null: Option<Spread>,
    pub(crate) p50_ms: Option<Spread>,
    pub(crate) p99_ms: Option<Spread>,
    pub(crate) p999_ms: Option<Spread>,
    pub(crate) changes: Option<Spread>,
    pub(crate) syncs: Option<Spread>,
    pub(crate) bytes: Option<Spread>,
    pub(crate) resident_bytes: Option<Spread>,
    /// How many a second an open loop asked for.
    pub(crate) asked_per_second: Option<Spread>,
    /// Of all rounds.
    pub(crate) errors: u64,
}

impl Spread {
    /// Of at least one value; values that are no finite numbers do not count.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, low, high })
    }

    /// The same with 1 divided by it.
    pub(crate) fn inverse_of(self, one: f64) -> Self {
        Self { median: one / self.median, low: one / self.high, high: one / self.low }
    }
}

impl Level {
    pub(crate) fn of(measurement: &Measurement) -> Self {
        match (measurement.percent_of_capacity, measurement.pace) {
            (Some(percent), _) => Self::Percent(percent),
            (None, Pace::Closed { clients }) => Self::Clients(clients),
            // An open loop that was not derived from a capacity is not made by any plan.
            (None, Pace::Open { .. }) => Self::Percent(100),
        }
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Percent(_))
    }
}

impl Row {
    fn of(target: &str, level: Level, rounds: &[&Measurement], null: &[&Measurement]) -> Self {
        let finished: Vec<&Measurement> = rounds.iter().copied().filter(|round| round.finished > 0).collect();
        let spread = |value: fn(&Measurement) -> f64| Spread::of(finished.iter().map(|round| value(round)));
        let known =
            |value: fn(&Measurement) -> Option<f64>| Spread::of(finished.iter().filter_map(|round| value(round)));
        Self {
            target: target.to_owned(),
            level,
            per_second: spread(|round| round.per_second),
            cpu_us: spread(|round| round.cpu_us),
            times_null: ratio(&finished, null),
            p50_ms: spread(|round| ms(round.p50_us)),
            p99_ms: spread(|round| ms(round.p99_us)),
            p999_ms: spread(|round| ms(round.p999_us)),
            changes: known(|round| round.changes),
            syncs: known(|round| round.syncs),
            bytes: known(|round| round.bytes),
            resident_bytes: spread(|round| round.resident_bytes as f64),
            asked_per_second: known(|round| match round.pace {
                Pace::Open { per_second } => Some(per_second),
                Pace::Closed { .. } => None,
            }),
            errors: rounds.iter().map(|round| round.errors).sum(),
        }
    }

    /// Transactions for a second of the coordinator's processor time.
    pub(crate) fn per_cpu_second(&self) -> Option<Spread> {
        self.cpu_us.map(|cpu_us| cpu_us.inverse_of(1e6))
    }
}

/// The rows of a workload: targets in the order in which they were first measured, each with its levels ascending.
pub(crate) fn rows(measurements: &[Measurement], workload: Workload) -> Vec<Row> {
    let of_workload: Vec<&Measurement> = measurements.iter().filter(|one| one.workload == workload).collect();
    let mut targets: Vec<&str> = Vec::new();
    for one in &of_workload {
        if !targets.contains(&one.target.as_str()) {
            targets.push(&one.target);
        }
    }
    let mut rows = Vec::new();
    for target in targets {
        let mut levels: Vec<Level> =
            of_workload.iter().filter(|one| one.target == target).map(|one| Level::of(one)).collect();
        levels.sort();
        levels.dedup();
        for level in levels {
            let rounds = rounds(&of_workload, target, level);
            let null = rounds_of_null(&of_workload, level);
            rows.push(Row::of(target, level, &rounds, &null));
        }
    }
    rows
}

/// The closed loop that comparisons are made at: 64 clients, or the most there are.
pub(crate) fn company(measurements: &[Measurement]) -> Option<usize> {
    let clients = measurements.iter().filter_map(|one| match Level::of(one) {
        Level::Clients(clients) => Some(clients),
        Level::Percent(_) => None,
    });
    clients.max_by_key(|clients| (*clients == 64, *clients))
}

/// Processor time of `target` per transaction as a multiple of that of `base` in the same round.
pub(crate) fn cpu_ratio(
    measurements: &[Measurement],
    workload: Workload,
    level: Level,
    target: &str,
    base: &str,
) -> Option<Spread> {
    let of_workload: Vec<&Measurement> = measurements.iter().filter(|one| one.workload == workload).collect();
    ratio(&rounds(&of_workload, target, level), &rounds(&of_workload, base, level))
}

fn rounds<'a>(measurements: &[&'a Measurement], target: &str, level: Level) -> Vec<&'a Measurement> {
    measurements.iter().copied().filter(|one| one.target == target && Level::of(one) == level).collect()
}

/// Shares of different capacities are different loads, so an open loop is not compared.
fn rounds_of_null<'a>(measurements: &[&'a Measurement], level: Level) -> Vec<&'a Measurement> {
    if level.is_open() { Vec::new() } else { rounds(measurements, super::NULL, level) }
}

/// Round by round, not of medians: what a noisy machine did to one round it did to both of its targets.
fn ratio(rounds: &[&Measurement], bases: &[&Measurement]) -> Option<Spread> {
    let base = |round: u32| bases.iter().find(|base| base.round == round && base.cpu_us > 0.0);
    Spread::of(rounds.iter().filter_map(|one| Some(one.cpu_us / base(one.round)?.cpu_us)))
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}
