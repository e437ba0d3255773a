//! A small made-up run, for the tests of reports.

use super::{Machine, Origin, Results};
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
        failures: vec!["message, 64 clients: no transaction finished".to_owned()],
        notes: vec!["no Redis server was found".to_owned()],
    }
}
