//! Targets that hang, and more work than there is room for.

use std::time::Duration;

use escrow_engine::{ACTIVE_BYTES_MIN, EngineConfig, Receipt, RequestError};
use escrow_txn::{Pattern, Status};
use tokio::task::JoinSet;

use crate::world::{Answer, World, begin, eventually, settle, waiting};

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_delays_only_its_own() {
    let world = World::with(EngineConfig { lane_calls_max: 4, calls_max: 16, ..EngineConfig::default() });
    world.script.answer("s1/forward", &[Answer::Hang; 100]);
    let mut hanging = JoinSet::new();
    for number in 0..100 {
        let coordinator = world.coordinator.clone();
        hanging.spawn(async move { coordinator.submit(begin(&format!("h{number}"), Pattern::Saga, 1)).await });
    }
    settle().await;
    let mut healthy = begin("g", Pattern::Saga, 2);
    healthy.branches.remove(0);
    let before = tokio::time::Instant::now();
    let receipt = world.coordinator.submit(waiting(healthy)).await.unwrap();
    assert_eq!(receipt, Receipt::Ended { status: Status::Committed, reason: None });
    assert_eq!(tokio::time::Instant::now(), before, "the healthy target was called at once");
}

#[tokio::test(start_paused = true)]
async fn a_submit_past_the_room_there_is_is_refused_and_stores_nothing() {
    let world = World::with(EngineConfig { active_max: 1, ..EngineConfig::default() });
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(1))]);
    world.coordinator.submit(begin("a", Pattern::Saga, 1)).await.unwrap();
    let refused = world.coordinator.submit(begin("b", Pattern::Saga, 1)).await.unwrap_err();
    assert!(matches!(refused, RequestError::Overloaded { .. }));
    assert_eq!(world.writes(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.coordinator.submit(begin("b", Pattern::Saga, 1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn payloads_past_the_memory_there_is_are_refused_and_due_ones_put_off() {
    let world = World::with(EngineConfig { active_bytes_max: ACTIVE_BYTES_MIN, ..EngineConfig::default() });
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(10)); 20]);
    let large = |number: usize| {
        let mut saga = begin(&format!("g{number}"), Pattern::Saga, 1);
        saga.branches[0].payload = vec![b'x'; 2 * 1024 * 1024 - 1024].into();
        saga.options.request_timeout = Some(Duration::from_secs(20));
        saga
    };
    let mut accepted = 0;
    while world.coordinator.submit(large(accepted)).await.is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 8, "as many as fit");
    assert_eq!(world.writes(), 8, "a refused one is not stored");
    // All of them are due at once after a crash, and no more than fit are taken up at a time.
    let world = world.crash().await;
    for number in 0..accepted {
        let gid = format!("g{number}");
        eventually(|| async { world.status(&gid).await == Status::Committed }).await;
    }
    world.coordinator.submit(large(99)).await.unwrap();
}

/// So many sagas were in flight when the coordinator crashed, and all of them call one target, which answers like this.
async fn due_for_one_target(sagas: usize, answer: Answer) -> World {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Hang; 64]);
    for number in 0..sagas {
        world.coordinator.submit(begin(&format!("g{number}"), Pattern::Saga, 1)).await.unwrap();
    }
    settle().await;
    assert_eq!(world.script.called().len(), 64);
    world.script.answer("s1/forward", &vec![answer; sagas]);
    world.crash().await
}

#[tokio::test(start_paused = true)]
async fn what_is_due_for_one_target_all_at_once_takes_as_long_as_its_calls() {
    let world = due_for_one_target(3_000, Answer::Slow(Duration::from_millis(10))).await;
    let begun = tokio::time::Instant::now();
    eventually(|| async { world.script.called().len() == 64 + 3_000 }).await;
    // 64 calls of 10 ms at a time: half a second.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_due_for_a_target_that_hangs_is_looked_at_now_and_then() {
    let world = due_for_one_target(3_000, Answer::Hang).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let looks = world.loads();
    assert!(looks < 20_000, "{looks} looks at 3,000 transactions in a minute");
}
