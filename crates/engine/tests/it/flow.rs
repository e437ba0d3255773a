//! The patterns, from the first request to the end.

use std::time::Duration;

use escrow_engine::{Receipt, RequestError};
use escrow_txn::{BranchOutcome, Gid, Operator, Options, Pattern, Status};

use crate::world::{Answer, World, abort, begin, eventually, registration, waiting};

const REFUSED: Answer = Answer::Outcome(BranchOutcome::Refused);
const UNKNOWN: Answer = Answer::Outcome(BranchOutcome::Unknown);
const IN_PROGRESS: Answer = Answer::Outcome(BranchOutcome::InProgress);

fn ended(status: Status) -> Receipt {
    Receipt::Ended { status, reason: None }
}

fn operator() -> Operator {
    Operator { by: "olga".to_owned(), reason: "test".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_saga_runs_its_actions_in_order() {
    let world = World::new();
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Saga, 3))).await.unwrap();
    assert_eq!(receipt, ended(Status::Committed));
    assert_eq!(world.script.called(), ["s1/forward", "s2/forward", "s3/forward"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_saga_compensates_in_reverse_the_refused_step_first() {
    let world = World::new();
    world.script.answer("s2/forward", &[REFUSED]);
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Saga, 3))).await.unwrap();
    let reason = Some("url:s2/forward return failed: Refused".to_owned());
    assert_eq!(receipt, Receipt::Ended { status: Status::Aborted, reason });
    assert_eq!(world.script.called(), ["s1/forward", "s2/forward", "s2/back", "s1/back"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_is_told_of_a_durable_wait() {
    let world = World::new();
    world.script.answer("s1/forward", &[IN_PROGRESS]);
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Saga, 1))).await.unwrap();
    assert_eq!(receipt, Receipt::Waiting { status: Status::Submitted, reason: None });
    assert!(world.txn("g").await.progress.next_run_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_tcc_confirms_in_reverse_order_of_registration() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 0)).await.unwrap();
    for number in 0..2 {
        world.coordinator.register(registration("g", Pattern::Tcc, number)).await.unwrap();
    }
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
    assert_eq!(receipt, ended(Status::Committed));
    assert_eq!(world.script.called(), ["s2/forward", "s1/forward"]);
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_is_down_delays_only_itself_in_a_concurrent_tcc() {
    for (concurrent, called_at_once) in [(true, vec!["s2/forward", "s1/forward"]), (false, vec!["s2/forward"])] {
        let world = World::new();
        world.script.answer("s2/forward", &[UNKNOWN, UNKNOWN]);
        let mut declared = begin("g", Pattern::Tcc, 2);
        declared.options.concurrent = concurrent;
        world.coordinator.prepare(declared).await.unwrap();
        let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
        assert_eq!(receipt, Receipt::Waiting { status: Status::Submitted, reason: None });
        assert_eq!(world.script.called(), called_at_once, "concurrent: {concurrent}");
        eventually(|| async { world.status("g").await == Status::Committed }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn retries_come_exactly_when_they_are_due() {
    let world = World::new();
    world.script.answer("s1/forward", &[UNKNOWN, UNKNOWN, IN_PROGRESS]);
    world.coordinator.submit(begin("g", Pattern::Message, 1)).await.unwrap();
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    let times = world.script.times("s1/forward");
    let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    // The engine's timers have a resolution of a millisecond.
    for (wait, due) in waits.iter().zip([2_000, 4_000, 1_000]) {
        assert!((due..due + 3).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_initiator_vanished_is_checked_back() {
    for (answer, status) in [(Answer::Outcome(BranchOutcome::Done), Status::Committed), (REFUSED, Status::Aborted)] {
        let world = World::new();
        world.script.answer("app/check", &[UNKNOWN, answer]);
        world.coordinator.prepare(begin("g", Pattern::Message, 1)).await.unwrap();
        eventually(|| async { world.status("g").await == status }).await;
        assert_eq!(world.script.times("app/check").len(), 2);
        assert_eq!(world.script.times("s1/forward").len(), usize::from(status == Status::Committed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_leaves_after_its_delay() {
    let world = World::new();
    let mut message = begin("g", Pattern::Message, 1);
    message.options.delay = Some(Duration::from_secs(3));
    let submitted = tokio::time::Instant::now();
    world.coordinator.submit(message).await.unwrap();
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    let after = (world.script.times("s1/forward")[0] - submitted).as_millis();
    assert!((3_000..3_003).contains(&after), "{after} ms");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_submit_neither_replays_nor_forgets() {
    let world = World::new();
    world.script.answer("s2/forward", &[UNKNOWN]);
    world.coordinator.prepare(begin("g", Pattern::Tcc, 2)).await.unwrap();
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
    assert_eq!(receipt, Receipt::Waiting { status: Status::Submitted, reason: None });
    let receipt = world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
    assert_eq!(receipt, ended(Status::Committed));
    assert_eq!(world.script.called(), ["s2/forward", "s2/forward", "s1/forward"]);
}

#[tokio::test(start_paused = true)]
async fn a_gid_is_not_used_for_two_things() {
    let world = World::new();
    world.coordinator.submit(waiting(begin("g", Pattern::Saga, 1))).await.unwrap();
    let late = world.coordinator.submit(begin("g", Pattern::Saga, 1)).await.unwrap_err();
    assert_eq!(late.status(), Some(Status::Committed));
    assert!(matches!(
        world.coordinator.submit(begin("g", Pattern::Message, 1)).await,
        Err(RequestError::Repeat { source: escrow_txn::RepeatRefused::Pattern { .. }, .. })
    ));
    world.coordinator.prepare(begin("h", Pattern::Message, 1)).await.unwrap();
    assert!(matches!(
        world.coordinator.submit(begin("h", Pattern::Message, 2)).await,
        Err(RequestError::Repeat { source: escrow_txn::RepeatRefused::Definition, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_two_phase_transaction_nobody_prepared_cannot_be_submitted() {
    let world = World::new();
    for pattern in [Pattern::Tcc, Pattern::Xa] {
        assert!(matches!(
            world.coordinator.submit(begin("g", pattern, 0)).await,
            Err(RequestError::NotPrepared { .. })
        ));
        assert!(matches!(world.coordinator.abort(abort("g", pattern)).await, Err(RequestError::NotFound { .. })));
    }
    assert_eq!(world.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_check_back_is_not_prepared() {
    let world = World::new();
    let mut message = begin("g", Pattern::Message, 1);
    message.check_back_url.clear();
    assert!(matches!(world.coordinator.prepare(message).await, Err(RequestError::Invalid { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_operator_turns_back_retries_and_stops() {
    let world = World::new();
    let gid = |text: &str| Gid::parse(text).unwrap();
    world.script.answer("s1/forward", &[UNKNOWN, UNKNOWN]);
    world.coordinator.submit(waiting(begin("a", Pattern::Saga, 1))).await.unwrap();
    world.coordinator.order_abort(gid("a"), operator()).await.unwrap();
    eventually(|| async { world.status("a").await == Status::Aborted }).await;
    assert_eq!(world.txn("a").await.progress.order.unwrap().by, "olga");

    let mut patient = begin("b", Pattern::Saga, 1);
    patient.options = Options { retry_interval: Some(Duration::from_secs(1_000)), ..Options::default() };
    world.coordinator.submit(waiting(patient)).await.unwrap();
    let before = world.script.times("s1/forward").len();
    world.coordinator.retry_now(gid("b")).await.unwrap();
    eventually(|| async { world.status("b").await == Status::Committed }).await;
    assert_eq!(world.script.times("s1/forward").len(), before + 1);
    assert!(tokio::time::Instant::now() - world.script.times("s1/forward")[0] < Duration::from_secs(100));

    world.script.answer("s1/forward", &[UNKNOWN]);
    world.coordinator.submit(waiting(begin("c", Pattern::Saga, 1))).await.unwrap();
    world.coordinator.force_stop(gid("c"), operator()).await.unwrap();
    assert_eq!(world.status("c").await, Status::Stopped);
    assert!(world.coordinator.force_stop(gid("c"), operator()).await.is_err());
}
