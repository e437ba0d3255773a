//! Start, recovery, damage, shutdown, purge.

use std::time::Duration;

use escrow_engine::{EngineConfig, RequestError};
use escrow_txn::{BranchOutcome, Gid, Pattern, Status};

use crate::world::{Answer, World, begin, eventually, settle};

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_is_taken_up_after_a_crash() {
    let world = World::new();
    world.script.answer("s2/forward", &[Answer::Hang]);
    for number in 0..300 {
        world.coordinator.submit(begin(&format!("g{number}"), Pattern::Saga, 2)).await.unwrap();
    }
    let world = world.crash().await;
    for number in 0..300 {
        let gid = format!("g{number}");
        eventually(|| async { world.status(&gid).await == Status::Committed }).await;
    }
    assert!(world.script.called().iter().all(|url| url.ends_with("forward")), "a crash turns nothing back");
}

#[tokio::test(start_paused = true)]
async fn a_wait_survives_a_crash_and_ends_in_time() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown)]);
    world.coordinator.submit(begin("g", Pattern::Message, 1)).await.unwrap();
    settle().await;
    let world = world.crash().await;
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    let times = world.script.times("s1/forward");
    assert!((2_000..2_003).contains(&(times[1] - times[0]).as_millis()), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_held_and_the_others_go_on() {
    let world = World::new();
    for gid in ["damaged", "sound"] {
        world.script.answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown)]);
        world.coordinator.submit(begin(gid, Pattern::Saga, 1)).await.unwrap();
    }
    settle().await;
    assert!(world.memory().damage(&Gid::parse("damaged").unwrap()));
    let world = world.crash().await;
    eventually(|| async { world.status("sound").await == Status::Committed }).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.coordinator.query(&Gid::parse("damaged").unwrap()).await.is_err(), "damage is never read as absence");
    assert_eq!(world.script.called().len(), 3, "the damaged one is not called again");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_calls_finish_and_keeps_what_they_brought() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(2))]);
    world.coordinator.submit(begin("g", Pattern::Saga, 2)).await.unwrap();
    settle().await;
    assert!(world.coordinator.shutdown(Duration::from_secs(10)).await, "it ended in time");
    assert_eq!(world.script.called(), ["s1/forward"], "no new call leaves during a shutdown");
    assert!(matches!(world.coordinator.submit(begin("h", Pattern::Saga, 1)).await, Err(RequestError::ShuttingDown)));
    let world = world.crash().await;
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    assert_eq!(world.script.called(), ["s1/forward", "s2/forward"], "what was done is not done again");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_longer_than_its_grace() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(100))]);
    let mut slow = begin("g", Pattern::Saga, 1);
    slow.options.request_timeout = Some(Duration::from_secs(200));
    world.coordinator.submit(slow).await.unwrap();
    settle().await;
    let before = tokio::time::Instant::now();
    assert!(!world.coordinator.shutdown(Duration::from_secs(5)).await);
    assert_eq!(before.elapsed().as_secs(), 5);
    let world = world.crash().await;
    eventually(|| async { world.status("g").await == Status::Committed }).await;
}

#[tokio::test(start_paused = true)]
async fn final_transactions_are_forgotten_after_their_retention() {
    let config = EngineConfig { retention: Some(Duration::from_secs(7_200)), ..EngineConfig::default() };
    let world = World::with(config);
    world.coordinator.submit(begin("g", Pattern::Saga, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7_000)).await;
    assert_eq!(world.status("g").await, Status::Committed);
    tokio::time::sleep(Duration::from_secs(5_000)).await;
    assert!(world.coordinator.query(&Gid::parse("g").unwrap()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_takes_no_writes_one_transaction_at_a_time_is_tried() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(1)); 50]);
    for number in 0..50 {
        world.coordinator.submit(begin(&format!("g{number}"), Pattern::Saga, 1)).await.unwrap();
    }
    world.take_writes(false);
    tokio::time::sleep(Duration::from_secs(62)).await;
    let repeats = world.script.called().len() - 50;
    assert!((50..=62).contains(&repeats), "{repeats} calls in a minute that could lead to nothing");
    world.take_writes(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for number in 0..50 {
        assert_eq!(world.status(&format!("g{number}")).await, Status::Committed);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_in_memory_of_what_ended_or_waits() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown)]);
    world.coordinator.submit(begin("waits", Pattern::Saga, 1)).await.unwrap();
    world.coordinator.submit(begin("ends", Pattern::Saga, 0)).await.unwrap();
    world.coordinator.prepare(begin("prepared", Pattern::Tcc, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.coordinator.active(), 0);
}
