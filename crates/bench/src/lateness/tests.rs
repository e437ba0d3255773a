use super::*;

fn lateness(outcomes: Vec<Outcome>) -> anyhow::Result<Lateness> {
    Lateness::of(Kind::Delay, outcomes.iter(), 100.0)
}

#[test]
fn quantiles_are_values_that_were_measured() {
    let shown = lateness((1..=1000).rev().map(|ms| Ok(ms * 1000)).collect()).unwrap();
    assert_eq!((shown.samples, shown.p50_ms, shown.p99_ms, shown.max_ms), (1000, 500.0, 990.0, 1000.0));
    let alone = lateness(vec![Ok(1_500)]).unwrap();
    assert_eq!((alone.p50_ms, alone.p99_ms, alone.max_ms), (1.5, 1.5, 1.5));
    let two = lateness(vec![Ok(3_000), Ok(1_000)]).unwrap();
    assert_eq!((two.p50_ms, two.p99_ms), (1.0, 3.0));
}

#[test]
fn what_came_early_is_counted_and_makes_up_for_nothing() {
    let shown = lateness(vec![Ok(-5_000), Ok(-1), Ok(0), Ok(2_000)]).unwrap();
    assert_eq!((shown.early, shown.samples, shown.p50_ms, shown.max_ms), (2, 4, 0.0, 2.0));
}

#[test]
fn errors_are_counted_beside_the_samples_and_the_first_is_shown() {
    let outcomes = vec![Ok(1_000), Err(anyhow::anyhow!("inner").context("outer")), Err(anyhow::anyhow!("later"))];
    let shown = lateness(outcomes).unwrap();
    assert_eq!((shown.samples, shown.errors, shown.first_error.as_deref()), (1, 2, Some("outer: inner")));
}

#[test]
fn a_kind_without_samples_is_an_error_that_says_why() {
    let error = lateness(vec![Err(anyhow::anyhow!("refused"))]).unwrap_err().to_string();
    assert!(error.contains("Delay") && error.contains("refused"), "{error}");
}

#[test]
fn transactions_begin_one_after_the_other_in_their_shares_of_the_time() {
    let share = Duration::from_secs_f64(1.0 / PROBES_PER_SECOND);
    for index in 0..100 {
        let at = place(index);
        assert!(at >= share * index as u32 && at <= share * (index as u32 + 1), "{index}: {at:?}");
    }
}
