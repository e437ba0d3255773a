//! Whether a measurement can be believed: did every transaction finish, with as many commits as its kind has to have?

use crate::backlog::BacklogPoint;
use crate::lateness::Lateness;
use crate::load::Pace;
use crate::measure::Measurement;
use crate::target::Target;

/// How far the commits of a transaction may be off: a commit more or less in a TCC of five is 20 %. All transactions of a load count,
/// from before it to after it, so none is cut off in the middle, however short the load is.
const TOLERANCE: f64 = 0.10;

/// What is wrong with a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The run has failed.
    Failure(String),
    /// A reader has to know it: what a peer does wrong is not our failure.
    Note(String),
}

/// Judges one measurement.
pub(crate) fn judge(target: &Target, measurement: &Measurement) -> Vec<Finding> {
    let mut wrong = Vec::new();
    if measurement.errors > 0 {
        let first = measurement.first_error.as_deref().unwrap_or("not told");
        wrong.push(format!("{} transactions failed, the first: {first}", measurement.errors));
    }
    if measurement.finished == 0 {
        wrong.push("no transaction finished".to_owned());
    } else if matches!(target, Target::Embedded | Target::Sqlite) {
        wrong.extend(wrong_commits(measurement));
    }
    let name = load_name(measurement);
    let wrong = wrong.into_iter().map(|wrong| format!("{name}: {wrong}"));
    match (target, measurement.pace) {
        // Three quarters of what the null coordinator can take may be more than the load can make at a fixed rate.
        (Target::Null, Pace::Open { .. }) | (Target::Dtmrs(_) | Target::Dtm(_), _) => {
            wrong.map(Finding::Note).collect()
        }
        (Target::Null | Target::Embedded | Target::Sqlite, _) => wrong.map(Finding::Failure).collect(),
    }
}

/// Judges how late one kind of waiting transactions was: late is a number, early is wrong.
pub(crate) fn judge_lateness(lateness: &Lateness) -> Vec<Finding> {
    let Lateness { kind, early, errors, first_error, .. } = lateness;
    let mut wrong = Vec::new();
    if *early > 0 {
        wrong.push(format!("lateness, {kind:?}: {early} calls came before their time"));
    }
    if *errors > 0 {
        let first = first_error.as_deref().unwrap_or("not told");
        wrong.push(format!("lateness, {kind:?}: {errors} transactions failed, the first: {first}"));
    }
    wrong.into_iter().map(Finding::Failure).collect()
}

/// Judges one point of the backlog curves: what it costs is a number, but all its sagas have to end.
pub(crate) fn judge_backlog(point: &BacklogPoint) -> Option<Finding> {
    let BacklogPoint { unfinished, finished, errors, first_error, .. } = point;
    let first = first_error.as_deref().unwrap_or("not told");
    let what =
        format!("backlog, {unfinished} unfinished, {finished} finished: {errors} sagas failed, the first: {first}");
    (*errors > 0).then_some(Finding::Failure(what))
}

fn wrong_commits(measurement: &Measurement) -> Option<String> {
    let expected = f64::from(measurement.workload.commits());
    let Some(changes) = measurement.changes else {
        return Some("the coordinator does not tell what its store has committed".to_owned());
    };
    let is_off = (changes - expected).abs() > TOLERANCE * expected;
    is_off.then(|| format!("{changes:.2} commits for a transaction, expected {expected}"))
}

/// A load as progress and findings name it: `saga, 64 clients, round 2, escrow, embedded`.
pub(crate) fn load_name(measurement: &Measurement) -> String {
    let Measurement { target, workload, pace, round, .. } = measurement;
    let workload = clap::ValueEnum::to_possible_value(workload);
    let workload = workload.as_ref().map_or("", |value| value.get_name());
    let pace = match pace {
        Pace::Closed { clients } => format!("{clients} clients"),
        Pace::Open { per_second } => format!("{per_second:.0} a second"),
    };
    format!("{workload}, {pace}, round {round}, {target}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lateness::Kind;
    use crate::workload::Workload;

    fn measured() -> Measurement {
        Measurement {
            target: Target::Embedded.to_string(),
            workload: Workload::Tcc,
            pace: Pace::Closed { clients: 4 },
            percent_of_capacity: None,
            round: 2,
            finished: 4000,
            errors: 0,
            first_error: None,
            per_second: 1000.0,
            cpu_us: 100.0,
            p50_us: 3000,
            p99_us: 9000,
            p999_us: 12_000,
            changes: Some(5.0),
            syncs: Some(1.2),
            bytes: Some(900.0),
            resident_bytes: 20_000_000,
        }
    }

    fn failure(measurement: &Measurement) -> Option<String> {
        match judge(&Target::Embedded, measurement).pop() {
            Some(Finding::Failure(text)) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn a_measurement_without_errors_and_with_its_commits_passes() {
        assert_eq!(judge(&Target::Embedded, &measured()), []);
        assert_eq!(judge(&Target::Embedded, &Measurement { changes: Some(4.6), ..measured() }), []);
    }

    #[test]
    fn an_error_fails_the_run_and_is_shown() {
        let measurement = Measurement { errors: 2, first_error: Some("429 slow down".into()), ..measured() };
        assert_eq!(
            failure(&measurement).as_deref(),
            Some("tcc, 4 clients, round 2, escrow, embedded: 2 transactions failed, the first: 429 slow down")
        );
    }

    #[test]
    fn a_load_of_which_nothing_finishes_fails_the_run() {
        let measurement = Measurement { finished: 0, changes: None, ..measured() };
        assert!(failure(&measurement).is_some_and(|text| text.ends_with("no transaction finished")));
    }

    #[test]
    fn a_commit_too_many_or_too_few_fails_the_run() {
        for changes in [3.0, 4.0, 6.0] {
            let measurement = Measurement { changes: Some(changes), ..measured() };
            assert!(failure(&measurement).is_some_and(|text| text.contains("expected 5")), "{changes}");
        }
        assert!(failure(&Measurement { changes: None, ..measured() }).is_some());
    }

    #[test]
    fn waiting_transactions_may_be_late_but_neither_early_nor_lost() {
        let late = crate::report::sample::lateness(Kind::Delay, 250.0);
        assert_eq!(judge_lateness(&late), []);
        assert_eq!(judge_lateness(&Lateness { early: 1, ..late.clone() }).len(), 1);
        let lost = judge_lateness(&Lateness { errors: 2, first_error: Some("gone".into()), ..late });
        assert_eq!(lost, [Finding::Failure("lateness, Delay: 2 transactions failed, the first: gone".to_owned())]);
    }

    #[test]
    fn a_backlog_may_cost_something_but_no_saga_may_fail() {
        let point = crate::report::sample::backlog(1_000_000, 0, 3.0);
        assert_eq!(judge_backlog(&point), None);
        let failed = judge_backlog(&BacklogPoint { errors: 4, first_error: Some("refused".to_owned()), ..point });
        let text = "backlog, 1000000 unfinished, 0 finished: 4 sagas failed, the first: refused";
        assert_eq!(failed, Some(Finding::Failure(text.to_owned())));
    }

    #[test]
    fn what_a_peer_does_wrong_is_noted_and_fails_nothing() {
        let peer = Target::Dtm("dtm".into());
        let measurement = Measurement { target: peer.to_string(), errors: 1, changes: None, ..measured() };
        assert!(matches!(judge(&peer, &measurement).as_slice(), [Finding::Note(_)]));
        let fine = Measurement { errors: 0, ..measurement };
        assert_eq!(judge(&peer, &fine), []);
        assert_eq!(judge(&Target::Null, &fine), []);
    }

    #[test]
    fn a_load_that_cannot_keep_up_with_the_null_coordinator_is_noted() {
        let closed = Measurement { target: Target::Null.to_string(), errors: 1, changes: None, ..measured() };
        assert!(matches!(judge(&Target::Null, &closed).as_slice(), [Finding::Failure(_)]));
        let open = Measurement { pace: Pace::Open { per_second: 20_000.0 }, ..closed };
        assert!(matches!(judge(&Target::Null, &open).as_slice(), [Finding::Note(_)]));
    }
}
