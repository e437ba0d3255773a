//! What operators ask for, and what they are told.

use std::time::Duration;

use escrow_engine::{EngineConfig, RequestError, Retried, RetryError};
use escrow_txn::{Begin, BranchOutcome, Defaults, Gid, Options, Pattern, Status};

use crate::world::{Answer, World, abort, begin, eventually, settle, waiting};

const REFUSED: Answer = Answer::Outcome(BranchOutcome::Refused);
const UNKNOWN: Answer = Answer::Outcome(BranchOutcome::Unknown);
const HOUR: Duration = Duration::from_secs(3_600);

fn slow(begin: Begin) -> Begin {
    let options = Options { retry_interval: Some(HOUR), ..begin.options };
    waiting(Begin { options, ..begin })
}

/// A message that waits an hour and more for its second attempt.
async fn stalled(world: &World, gid: &str) {
    world.script.answer("s1/forward", &[UNKNOWN]);
    world.coordinator.submit(slow(begin(gid, Pattern::Message, 1))).await.unwrap();
    assert_eq!(world.status(gid).await, Status::Submitted);
}

#[tokio::test(start_paused = true)]
async fn an_order_to_go_on_is_durable_before_it_is_acknowledged() {
    let world = World::new();
    stalled(&world, "g").await;
    world.script.answer("s1/forward", &[Answer::Hang]);
    world.coordinator.retry_now(Gid::parse("g").unwrap()).await.unwrap();
    let world = world.crash().await;
    let before = tokio::time::Instant::now();
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_counts_who_goes_on_and_says_whether_there_are_more() {
    let world = World::new();
    for number in 0..10 {
        stalled(&world, &format!("g{number}")).await;
    }
    let retry = async |limit| world.coordinator.retry_waiting(Duration::from_secs(105), limit).await.unwrap();
    assert_eq!(retry(0).await, Retried { count: 0, more: true });
    assert_eq!(retry(9).await, Retried { count: 9, more: true });
    eventually(|| async { world.status("g1").await == Status::Committed }).await;
    assert_eq!(world.status("g0").await, Status::Submitted, "the newest come first");
    assert_eq!(retry(10).await, Retried { count: 1, more: false });
    assert_eq!(retry(10).await, Retried { count: 0, more: false });
    assert_eq!(retry(0).await, Retried { count: 0, more: false });
    eventually(|| async { world.status("g0").await == Status::Committed }).await;
}

#[tokio::test(start_paused = true)]
async fn one_order_to_many_is_carried_out_at_a_time() {
    let world = World::new();
    stalled(&world, "g").await;
    let order = || {
        let coordinator = world.coordinator.clone();
        async move { coordinator.retry_waiting(Duration::from_secs(105), 1).await }
    };
    world.memory().hold_sync();
    let first = tokio::spawn(order());
    settle().await;
    assert!(matches!(order().await, Err(RetryError::Request(RequestError::Overloaded { .. }))));
    world.memory().release_sync();
    assert_eq!(first.await.unwrap().unwrap(), Retried { count: 1, more: false });
    assert_eq!(order().await.unwrap(), Retried { count: 0, more: false });
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_leaves_alone_who_waits_for_another_reason() {
    let defaults = Defaults { timeout_to_fail: HOUR, ..Defaults::default() };
    let world = World::with(EngineConfig { defaults, ..EngineConfig::default() });
    let mut delayed = begin("delayed", Pattern::Message, 1);
    delayed.options.delay = Some(HOUR);
    world.coordinator.submit(delayed).await.unwrap();
    world.coordinator.prepare(begin("undecided", Pattern::Message, 1)).await.unwrap();
    world.coordinator.prepare(begin("open", Pattern::Tcc, 1)).await.unwrap();
    world.script.answer("s2/forward", &[UNKNOWN]);
    world.coordinator.submit(waiting(begin("soon", Pattern::Saga, 2))).await.unwrap();
    world.script.answer("s1/back", &[UNKNOWN]);
    world.coordinator.prepare(slow(begin("turned back", Pattern::Tcc, 1))).await.unwrap();
    world.coordinator.abort(abort("turned back", Pattern::Tcc)).await.unwrap();
    let called = world.script.called().len();

    let retried = world.coordinator.retry_waiting(Duration::from_secs(105), 99).await.unwrap();
    assert_eq!(retried, Retried { count: 1, more: false });
    eventually(|| async { world.status("turned back").await == Status::Aborted }).await;
    assert_eq!(world.script.called()[called..], ["s1/back"]);
    let statuses = [("delayed", Status::Submitted), ("undecided", Status::Prepared), ("open", Status::Prepared)];
    for (gid, status) in statuses {
        assert_eq!(world.status(gid).await, status, "{gid}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_in_a_row_is_told_and_a_sagas_refusal_is_none() {
    let world = World::new();
    world.script.answer("s1/forward", &[UNKNOWN, REFUSED, Answer::Outcome(BranchOutcome::InProgress), UNKNOWN]);
    world.coordinator.submit(begin("m", Pattern::Message, 1)).await.unwrap();
    eventually(|| async { world.status("m").await == Status::Committed }).await;
    let of = |answer: &str, in_a_row: u32| format!("m Submitted s1/forward {answer} {in_a_row}");
    assert_eq!(world.heard.failures(), [of("Unknown", 1), of("Refused", 2), of("Unknown", 1)]);

    world.script.answer("s1/forward", &[REFUSED]);
    world.script.answer("s1/back", &[REFUSED]);
    world.coordinator.submit(begin("s", Pattern::Saga, 1)).await.unwrap();
    eventually(|| async { world.status("s").await == Status::Aborted }).await;
    assert_eq!(world.heard.failures()[3..], ["s Aborting s1/back Refused 1"]);
}
