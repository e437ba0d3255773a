//! What is on hold since a restore.

use std::time::Duration;

use escrow_engine::{RequestError, Retried};
use escrow_store::{ListQuery, Version};
use escrow_txn::{BranchOutcome, Gid, Operator, Options, Pattern, Status};

use crate::world::{Answer, World, abort, begin, eventually, registration, settle, waiting};

fn gid(text: &str) -> Gid {
    Gid::parse(text).unwrap()
}

fn operator() -> Operator {
    Operator { by: "ann".to_owned(), reason: "by hand".to_owned() }
}

/// A store that was restored with a saga that was in flight, `s`, and a prepared TCC, `t`, both on hold.
async fn restored() -> World {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Hang]);
    world.coordinator.submit(begin("s", Pattern::Saga, 1)).await.unwrap();
    world.coordinator.prepare(begin("t", Pattern::Tcc, 1)).await.unwrap();
    let world = world.crash().await;
    // Before the coordinator runs for the first time.
    world.hold("s");
    world.hold("t");
    world
}

fn is_held(result: Result<impl Sized, RequestError>, text: &str) -> bool {
    matches!(result, Err(RequestError::Held { gid: held }) if held == gid(text))
}

#[tokio::test(start_paused = true)]
async fn what_is_on_hold_is_not_driven_and_refuses_every_request_without_a_write() {
    let world = restored().await;
    let called = world.script.called().len();
    tokio::time::sleep(Duration::from_secs(3_600)).await;

    let it = &world.coordinator;
    assert!(is_held(it.submit(begin("s", Pattern::Saga, 1)).await, "s"));
    assert!(is_held(it.submit(waiting(begin("s", Pattern::Saga, 1))).await, "s"));
    assert!(is_held(it.prepare(begin("s", Pattern::Saga, 1)).await, "s"));
    assert!(is_held(it.order_abort(gid("s"), operator()).await, "s"));
    for text in ["s", "t"] {
        assert!(is_held(it.retry_now(gid(text)).await, text));
        assert!(is_held(it.force_stop(gid(text), operator()).await, text));
    }
    assert!(is_held(it.prepare(begin("t", Pattern::Tcc, 1)).await, "t"));
    assert!(is_held(it.register(registration("t", Pattern::Tcc, 1)).await, "t"));
    assert!(is_held(it.abort(abort("t", Pattern::Tcc)).await, "t"));
    assert!(is_held(it.submit(begin("t", Pattern::Tcc, 1)).await, "t"));

    settle().await;
    for (text, status) in [("s", Status::Submitted), ("t", Status::Prepared)] {
        let stands = it.query(&gid(text)).await.unwrap().unwrap();
        assert_eq!(
            (stands.version, stands.value.progress.status),
            (Version::FIRST, status),
            "{text}: nothing is written"
        );
    }
    assert_eq!(world.script.called().len(), called, "nobody is called");
    let page = it.list(&ListQuery::newest(9.try_into().unwrap())).await.unwrap();
    assert_eq!(page.items.len(), 2, "lists show it");
    it.submit(waiting(begin("other", Pattern::Saga, 1))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_released_goes_on_at_once() {
    let world = restored().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(world.coordinator.release_held(Some(&gid("nobody"))).await.unwrap(), 0);
    assert_eq!(world.coordinator.release_held(Some(&gid("s"))).await.unwrap(), 1);
    assert_eq!(world.coordinator.release_held(Some(&gid("s"))).await.unwrap(), 0, "once");
    eventually(|| async { world.status("s").await == Status::Committed }).await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());

    assert!(is_held(world.coordinator.submit(begin("t", Pattern::Tcc, 1)).await, "t"), "the other one stays");
    assert_eq!(world.coordinator.release_held(None).await.unwrap(), 1);
    world.coordinator.submit(waiting(begin("t", Pattern::Tcc, 1))).await.unwrap();
    assert_eq!(world.status("t").await, Status::Committed);
}

#[tokio::test(start_paused = true)]
async fn an_order_to_many_leaves_alone_what_is_on_hold() {
    let world = World::new();
    for text in ["held", "free"] {
        world.script.answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown)]);
        let options =
            Options { retry_interval: Some(Duration::from_secs(3_600)), wait_result: true, ..Options::default() };
        let mut stalled = begin(text, Pattern::Message, 1);
        stalled.options = options;
        world.coordinator.submit(stalled).await.unwrap();
    }
    world.hold("held");
    let retried = world.coordinator.retry_waiting(Duration::from_secs(60), 9).await.unwrap();
    assert_eq!(retried, Retried { count: 1, more: false });
    eventually(|| async { world.status("free").await == Status::Committed }).await;
    assert_eq!(world.status("held").await, Status::Submitted);
}
