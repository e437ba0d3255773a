//! A small made-up run, for the tests of reports.

use super::{Machine, Origin, Results};
use crate::backlog::BacklogPoint;
use crate::lateness::{Kind, Lateness};
use crate::load::Pace;
use crate::measure::Measurement;
use crate::workload::Workload;

/// A round at so many clients.
pub(crate) fn measured(target: &str, workload: Workload, clients: usize, round: u32, cpu_us: f64) -> Measurement {
    Measurement {
        target: target.to_owned(),
        workload,
        pace: Pace::Closed { clients },
        percent_of_capacity: None,
        round,
        finished: 1000,
        errors: 0,
        first_error: None,
        per_second: 250_000.0 / cpu_us,
        cpu_us,
        p50_us: 1500,
        p99_us: 4000 + u64::from(round) * 100,
        p999_us: 8000,
        changes: None,
        syncs: None,
        bytes: None,
        resident_bytes: 8 << 20,
    }
}

/// How late transactions of this kind were.
pub(crate) fn lateness(kind: Kind, p99_ms: f64) -> Lateness {
    Lateness {
        kind,
        samples: 1000,
        p50_ms: 1.5,
        p99_ms,
        max_ms: 2.0 * p99_ms,
        early: 0,
        errors: 0,
        first_error: None,
        scheduled: "its creation, and its delay of 1 s".to_owned(),
        beside_per_second: 3000.0,
    }
}

/// A point of a backlog curve.
pub(crate) fn backlog(unfinished: u64, finished: u64, ratio: f64) -> BacklogPoint {
    BacklogPoint {
        unfinished,
        finished,
        cpu_us: 80.0 * ratio,
        cpu_us_empty: 80.0,
        cpu_us_null: 42.0,
        ratio,
        ratio_low: ratio - 0.02,
        ratio_high: ratio + 0.02,
        start_ms: 150.0,
        resident_bytes: 48 << 20,
        resident_bytes_empty: 24 << 20,
        errors: 0,
        first_error: None,
    }
}

/// Two targets of our own and a peer, two levels of sagas, messages at one, and an open loop.
pub(crate) fn results() -> Results {
    let stored =
        |measurement| Measurement { changes: Some(2.0), syncs: Some(0.125), bytes: Some(1234.0), ..measurement };
    let open = |measurement: Measurement| Measurement {
        pace: Pace::Open { per_second: 1000.0 },
        percent_of_capacity: Some(50),
        ..measurement
    };
    let mut measurements = Vec::new();
    for (round, null, embedded, dtmrs) in [(1, 40.0, 80.0, 900.0), (2, 44.0, 77.0, 1000.0), (3, 42.0, 85.0, 950.0)] {
        measurements.push(measured("null", Workload::Saga, 1, round, null + 10.0));
        measurements.push(measured("null", Workload::Saga, 64, round, null));
        measurements.push(stored(measured("escrow, embedded", Workload::Saga, 64, round, embedded)));
        measurements.push(measured("dtmrs, SQLite", Workload::Saga, 64, round, dtmrs));
        measurements.push(open(stored(measured("escrow, embedded", Workload::Saga, 64, round, embedded))));
    }
    measurements.push(Measurement { finished: 0, errors: 3, ..measured("null", Workload::Message, 64, 1, 0.0) });
    Results {
        origin: Origin {
            date: "2025-01-02 03:04:05 UTC".to_owned(),
            command: "cargo xtask bench --peers".to_owned(),
            build: "release".to_owned(),
            loads: "3 rounds".to_owned(),
            versions: vec![("commit".to_owned(), "0123456789ab".to_owned())],
            durability: vec![("null".to_owned(), "none: it keeps nothing".to_owned())],
        },
        machine: Machine {
            processor: "A Processor".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1.0".to_owned(),
            filesystem: "ext4 on /dev/vda".to_owned(),
        },
        measurements,
        lateness: vec![lateness(Kind::Delay, 4.5), lateness(Kind::DelayOfMany, 90.0)],
        backlog: vec![
            backlog(0, 0, 1.01),
            backlog(1_000_000, 0, 1.04),
            backlog(0, 0, 0.99),
            backlog(0, 5_000_000, 1.07),
        ],
        failures: vec!["message, 64 clients: no transaction finished".to_owned()],
        notes: vec!["no Redis server was found".to_owned()],
    }
}
