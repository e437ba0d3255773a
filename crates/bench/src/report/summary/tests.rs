use super::*;
use crate::report::sample::{self, measured};

fn row(target: &str, level: Level) -> Row {
    let rows = rows(&sample::results().measurements, Workload::Saga);
    rows.into_iter().find(|row| row.target == target && row.level == level).unwrap()
}

#[test]
fn a_spread_is_the_middle_value_between_the_ends() {
    let spread = |median, low, high| Some(Spread { median, low, high });
    assert_eq!(Spread::of([3.0, 1.0, 9.0]), spread(3.0, 1.0, 9.0));
    assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), spread(3.0, 1.0, 9.0));
    assert_eq!(Spread::of([5.0]), spread(5.0, 5.0, 5.0));
    assert_eq!(Spread::of([f64::NAN, 5.0, f64::INFINITY]), spread(5.0, 5.0, 5.0));
    assert_eq!(Spread::of([]), None);
}

#[test]
fn the_rate_per_cpu_second_turns_the_range_around() {
    let spread = Spread { median: 50.0, low: 40.0, high: 100.0 };
    assert_eq!(spread.inverse_of(1e6), Spread { median: 20_000.0, low: 10_000.0, high: 25_000.0 });
}

#[test]
fn ratios_are_of_rounds_and_not_of_medians() {
    // Rounds: 80/40, 77/44, 85/42; the medians alone would be 80/42.
    let ratio = row("escrow, embedded", Level::Clients(64)).times_null.unwrap();
    assert_eq!((ratio.low, ratio.median, ratio.high), (1.75, 2.0, 85.0 / 42.0));
}

#[test]
fn an_open_loop_is_not_compared_and_keeps_what_was_asked() {
    let open = row("escrow, embedded", Level::Percent(50));
    assert_eq!(open.times_null, None);
    assert_eq!(open.asked_per_second.map(|asked| asked.median), Some(1000.0));
    assert_eq!(row("null", Level::Clients(64)).asked_per_second, None);
}

#[test]
fn rows_stand_by_target_as_measured_and_by_level() {
    let rows = rows(&sample::results().measurements, Workload::Saga);
    let order: Vec<(&str, Level)> = rows.iter().map(|row| (row.target.as_str(), row.level)).collect();
    assert_eq!(
        order,
        [
            ("null", Level::Clients(1)),
            ("null", Level::Clients(64)),
            ("escrow, embedded", Level::Clients(64)),
            ("escrow, embedded", Level::Percent(50)),
            ("dtmrs, SQLite", Level::Clients(64)),
        ]
    );
}

#[test]
fn a_round_in_which_nothing_finished_has_errors_and_no_numbers() {
    let good = measured("null", Workload::Saga, 4, 1, 40.0);
    let bad = Measurement { round: 2, finished: 0, errors: 7, cpu_us: 0.0, per_second: 0.0, ..good.clone() };
    let only_bad = rows(std::slice::from_ref(&bad), Workload::Saga).remove(0);
    assert_eq!((only_bad.per_second, only_bad.cpu_us, only_bad.errors), (None, None, 7));
    let both = rows(&[good, bad], Workload::Saga).remove(0);
    assert_eq!((both.cpu_us, both.errors), (Spread::of([40.0]), 7));
}

#[test]
fn comparisons_are_made_at_64_clients_or_the_most() {
    let at = |clients: &[usize]| {
        let measurements: Vec<Measurement> =
            clients.iter().map(|clients| measured("null", Workload::Saga, *clients, 1, 1.0)).collect();
        company(&measurements)
    };
    assert_eq!(at(&[1, 64, 256]), Some(64));
    assert_eq!(at(&[4, 1]), Some(4));
    assert_eq!(at(&[]), None);
}
