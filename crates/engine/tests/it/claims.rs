//! What is claimed because it is due: found again whatever happens, and never driven from an image that is out of date.

use std::time::Duration;

use escrow_txn::{BranchOutcome, Gid, Operator, Pattern, Status};

use crate::world::{Answer, Claim, World, begin, eventually, registration};

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_delays_what_is_due_and_loses_nothing() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(34)).await;
    world.next_claim(Claim::ClockSetBack(world.clock.clone(), Duration::from_secs(10)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.status("g").await, Status::Prepared, "by the clock it is not late any more");
    eventually(|| async { world.status("g").await == Status::Aborted }).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_others_overtook_is_driven_as_the_transaction_stands() {
    let world = World::new();
    world
        .script
        .answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown), Answer::Outcome(BranchOutcome::Refused)]);
    world.coordinator.submit(begin("g", Pattern::Saga, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_990)).await;
    // The retry is claimed. While the claim is on its way, somebody else drives the transaction to its end.
    world.next_claim(Claim::Slow(Duration::from_secs(5)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.coordinator.retry_now(Gid::parse("g").unwrap()).await.unwrap();
    eventually(|| async { world.status("g").await == Status::Aborted }).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.script.called(), ["s1/forward", "s1/forward", "s1/back"], "no action follows its compensation");
}

#[tokio::test(start_paused = true)]
async fn a_registration_after_the_deadline_leaves_the_transaction_where_a_restart_finds_it() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(34_990)).await;
    // The time-out is on its way to the driver when the registration comes.
    world.next_claim(Claim::Slow(Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.coordinator.register(registration("g", Pattern::Tcc, 1)).await.unwrap();
    eventually(|| async { world.status("g").await == Status::Aborted }).await;
    assert_eq!(world.script.called(), ["s2/back", "s1/back"]);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_overtakes_a_claim_holds() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Outcome(BranchOutcome::Unknown)]);
    world.coordinator.submit(begin("g", Pattern::Saga, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_990)).await;
    world.next_claim(Claim::Slow(Duration::from_secs(5)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let operator = Operator { by: "anna".to_owned(), reason: "test".to_owned() };
    world.coordinator.force_stop(Gid::parse("g").unwrap(), operator).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.status("g").await, Status::Stopped);
    assert_eq!(world.script.called(), ["s1/forward"], "what is stopped is not called");
}
