//! What a transaction costs in durable writes.

use escrow_txn::{Pattern, Status};

use crate::world::{World, begin, eventually, registration, waiting};

#[tokio::test(start_paused = true)]
async fn a_saga_costs_two_writes_whatever_its_length() {
    let world = World::new();
    world.coordinator.submit(waiting(begin("g", Pattern::Saga, 5))).await.unwrap();
    assert_eq!(world.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_tcc_costs_five_writes_and_three_with_declared_branches() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 0)).await.unwrap();
    for number in 0..2 {
        world.coordinator.register(registration("g", Pattern::Tcc, number)).await.unwrap();
    }
    world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
    assert_eq!(world.writes(), 5);

    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 2)).await.unwrap();
    world.coordinator.submit(waiting(begin("g", Pattern::Tcc, 0))).await.unwrap();
    assert_eq!(world.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_costs_two_writes_and_three_with_prepare() {
    let world = World::new();
    world.coordinator.submit(waiting(begin("g", Pattern::Message, 1))).await.unwrap();
    assert_eq!(world.writes(), 2);
    world.coordinator.prepare(begin("h", Pattern::Message, 1)).await.unwrap();
    world.coordinator.submit(begin("h", Pattern::Message, 0)).await.unwrap();
    eventually(|| async { world.status("h").await == Status::Committed }).await;
    assert_eq!(world.writes(), 5);
}
