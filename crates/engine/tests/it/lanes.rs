//! Targets that hang, and more work than there is room for.

use std::time::Duration;

use escrow_engine::{EngineConfig, Receipt, RequestError};
use escrow_txn::{Pattern, Status};
use tokio::task::JoinSet;

use crate::world::{Answer, World, begin, settle, waiting};

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
