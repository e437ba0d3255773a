//! What is run, as the command line asks for it: [`RunArgs`] is what was typed, [`Plan`] is checked and ready.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::target::{DtmrsStore, Programs, Target};
use crate::workload::{Dialect, Workload};

/// A part of a run that can be had alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Part {
    /// Clients that each begin their next transaction when the last one has ended.
    Closed,
    /// So many transactions per second, at shares of the capacity.
    Open,
    /// How late retries, delays and time-outs are under load.
    Lateness,
    /// What a transaction costs beside many that wait or are finished.
    Backlog,
}

/// A target that needs no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum OwnTarget {
    /// The HTTP work alone.
    Null,
    /// Escrow on the embedded store.
    Embedded,
    /// Escrow on the SQLite store.
    Sqlite,
}

/// The arguments of `escrow-bench run`, as typed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A minute instead of an hour: shows that everything works, and nothing about speed
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure dtmrs too: on SQLite, and on Redis and PostgreSQL where a server is found
    #[arg(long)]
    pub(crate) peers: bool,
    /// Measure the DTM server at this path too
    #[arg(long, value_name = "PATH")]
    pub(crate) dtm: Option<PathBuf>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_name = "PART,...")]
    pub(crate) parts: Vec<Part>,
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_name = "WORKLOAD,...")]
    pub(crate) only: Vec<Workload>,
    /// Only these of our own targets
    #[arg(long, value_delimiter = ',', value_name = "TARGET,...")]
    pub(crate) targets: Vec<OwnTarget>,
    /// Numbers of clients of the closed loop
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    pub(crate) clients: Vec<usize>,
    /// How often each load is measured; results are medians
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u32>,
    /// Length of a measurement
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// How long a load runs before it is measured
    #[arg(long, value_name = "SECONDS")]
    pub(crate) warmup: Option<f64>,
    /// Where results are written [default: target/bench/ and the time]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The `escrow` program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) escrow: Option<PathBuf>,
}

/// What is run: every value is in its range, and no list is empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// For correctness only, in small sizes.
    pub(crate) quick: bool,
    pub(crate) parts: BTreeSet<Part>,
    /// In the order of the reports, as are `targets`.
    pub(crate) workloads: Vec<Workload>,
    pub(crate) targets: Vec<Target>,
    /// Ascending.
    pub(crate) clients: Vec<usize>,
    /// Shares of the capacity that the open loop asks for, in percent.
    pub(crate) percents: Vec<u32>,
    /// The most that an open loop asks for, whatever the capacity is.
    pub(crate) per_second_max: Option<f64>,
    pub(crate) rounds: u32,
    pub(crate) warmup: Duration,
    pub(crate) length: Duration,
    /// How long transactions that have to wait are begun.
    pub(crate) lateness: Duration,
}

const CLIENTS: RangeInclusive<usize> = 1..=4096;
const ROUNDS: RangeInclusive<u32> = 1..=100;
const SECONDS: RangeInclusive<f64> = 0.1..=600.0;
const WARMUP_SECONDS: RangeInclusive<f64> = 0.0..=60.0;

/// With so many clients a coordinator is asked for its capacity: group commit has company, and no queue is long.
const CAPACITY_CLIENTS: usize = 64;

/// The quick form has to pass on a machine that does something else as well, half a second after the capacity was measured.
const PER_SECOND_MAX_QUICK: f64 = 500.0;

/// What goes by around a measurement: connections, counters, settling.
const AROUND_A_MEASUREMENT: Duration = Duration::from_millis(450);

/// What a measurement of lateness takes besides the time in which transactions begin.
const AROUND_LATENESS: Duration = Duration::from_secs(6);

/// Filling stores for all points of the backlog curves, and starting on them.
const FILLING: Duration = Duration::from_secs(300);
const FILLING_QUICK: Duration = Duration::from_secs(2);

impl Plan {
    /// Checks what was typed. Peers without a program are left out, with a line in `missing`; dtmrs itself has to be there.
    ///
    /// # Errors
    /// A value is out of range (flag, value and range are named), or a program that was asked for is missing.
    pub(crate) fn new(args: &RunArgs, programs: &Programs, missing: &mut Vec<String>) -> anyhow::Result<Self> {
        let (clients, percents, rounds, warmup, seconds, lateness) = if args.quick {
            (&[4][..], &[50][..], 1, 0.2, 0.5, Duration::from_secs(1))
        } else {
            (&[1, 16, 64, 256][..], &[25, 50, 75][..], 3, 1.0, 4.0, Duration::from_secs(20))
        };
        let mut targets = own_targets(&args.targets);
        targets.extend(peers(args, programs, missing)?);
        let plan = Self {
            quick: args.quick,
            parts: chosen(&args.parts, <Part as clap::ValueEnum>::value_variants()).into_iter().collect(),
            workloads: chosen(&args.only, &Workload::ALL),
            targets,
            clients: chosen(&args.clients, clients),
            percents: percents.to_vec(),
            per_second_max: args.quick.then_some(PER_SECOND_MAX_QUICK),
            rounds: args.rounds.unwrap_or(rounds),
            warmup: duration("--warmup", args.warmup.unwrap_or(warmup), &WARMUP_SECONDS)?,
            length: duration("--seconds", args.seconds.unwrap_or(seconds), &SECONDS)?,
            lateness,
        };
        plan.clients.iter().try_for_each(|clients| in_range("--clients", clients, &CLIENTS))?;
        in_range("--rounds", &plan.rounds, &ROUNDS)?;
        Ok(plan)
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Whether a target can be asked for such transactions.
    pub(crate) fn knows(target: &Target, workload: Workload) -> bool {
        let dialect = match target {
            Target::Dtmrs(_) => Dialect::Dtmrs,
            Target::Null | Target::Embedded | Target::Sqlite | Target::Dtm(_) => Dialect::Dtm,
        };
        workload.is_known_in(dialect)
    }

    /// How many clients say what a target's capacity is: 64, or the most there are.
    pub(crate) fn capacity_clients(&self) -> usize {
        let most = self.clients.last().copied().unwrap_or(CAPACITY_CLIENTS);
        if self.clients.contains(&CAPACITY_CLIENTS) { CAPACITY_CLIENTS } else { most }
    }

    /// The closed loops. Without [`Part::Closed`] only the one that says what the capacity is, if something needs it.
    pub(crate) fn closed_clients(&self) -> Vec<usize> {
        if self.has(Part::Closed) {
            self.clients.clone()
        } else if self.has(Part::Open) {
            vec![self.capacity_clients()]
        } else {
            Vec::new()
        }
    }

    /// The open loops.
    pub(crate) fn open_percents(&self) -> &[u32] {
        if self.has(Part::Open) { &self.percents } else { &[] }
    }

    /// So many a second, of this capacity.
    pub(crate) fn share(&self, capacity: f64, percent: u32) -> f64 {
        let share = capacity * f64::from(percent) / 100.0;
        share.min(self.per_second_max.unwrap_or(share))
    }

    /// How long the run will take, about.
    pub(crate) fn estimate(&self) -> Duration {
        let levels = self.closed_clients().len() + self.open_percents().len();
        let loads = self.workloads.iter().map(|workload| {
            let known = self.targets.iter().filter(|target| Self::knows(target, *workload)).count();
            known * levels * self.rounds as usize
        });
        let each = self.warmup + self.length + AROUND_A_MEASUREMENT;
        let lateness = if self.has(Part::Lateness) { self.lateness + AROUND_LATENESS } else { Duration::ZERO };
        each.mul_f64(loads.sum::<usize>() as f64) + lateness + self.estimate_of_backlog(each)
    }

    fn estimate_of_backlog(&self, each: Duration) -> Duration {
        let (points, filling) = match (self.has(Part::Backlog), self.quick) {
            (false, _) => return Duration::ZERO,
            (true, true) => (4, FILLING_QUICK),
            (true, false) => (9, FILLING),
        };
        // Each round measures three: on the backlog, on a store that was empty, and without one.
        filling + each * 3 * points * self.rounds
    }
}

/// What was asked for, in the order of `all`, once each; everything if nothing was asked for.
fn chosen<T: Clone + Ord>(asked: &[T], all: &[T]) -> Vec<T> {
    if asked.is_empty() {
        return all.to_vec();
    }
    asked.iter().cloned().collect::<BTreeSet<T>>().into_iter().collect()
}

fn own_targets(asked: &[OwnTarget]) -> Vec<Target> {
    let targets = chosen(asked, <OwnTarget as clap::ValueEnum>::value_variants());
    let target = |own| match own {
        OwnTarget::Null => Target::Null,
        OwnTarget::Embedded => Target::Embedded,
        OwnTarget::Sqlite => Target::Sqlite,
    };
    targets.into_iter().map(target).collect()
}

fn peers(args: &RunArgs, programs: &Programs, missing: &mut Vec<String>) -> anyhow::Result<Vec<Target>> {
    let mut peers = Vec::new();
    if args.peers {
        programs.dtmrs.as_ref().context("--peers: dtmrs is not installed")?;
        peers.push(Target::Dtmrs(DtmrsStore::Sqlite));
        for (store, program, name) in
            [(DtmrsStore::Redis, &programs.redis, "Redis"), (DtmrsStore::Postgres, &programs.postgres, "PostgreSQL")]
        {
            if program.is_some() {
                peers.push(Target::Dtmrs(store));
            } else {
                missing.push(format!("no {name} server was found: dtmrs is not measured on it"));
            }
        }
    }
    if let Some(path) = &args.dtm {
        ensure!(path.is_file(), "--dtm {}: there is no such file", path.display());
        peers.push(Target::Dtm(path.clone()));
    }
    Ok(peers)
}

fn duration(flag: &str, seconds: f64, allowed: &RangeInclusive<f64>) -> anyhow::Result<Duration> {
    in_range(flag, &seconds, allowed)?;
    Ok(Duration::from_secs_f64(seconds))
}

fn in_range<T: PartialOrd + std::fmt::Display>(
    flag: &str,
    value: &T,
    allowed: &RangeInclusive<T>,
) -> anyhow::Result<()> {
    if !allowed.contains(value) {
        bail!("{flag} {value}: allowed is {} to {}", allowed.start(), allowed.end());
    }
    Ok(())
}
