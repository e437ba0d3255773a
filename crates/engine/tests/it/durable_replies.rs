//! A reply is never derived from a record that is not durable: nobody is answered while the store's sync is held back.

use std::time::Duration;

use escrow_engine::RequestError;
use escrow_txn::{Gid, Pattern};
use tokio::task::JoinSet;

use crate::world::{Answer, World, abort, begin, branch, registration, settle};

/// Asks everything at once while the sync is held back; nobody may be answered. Then lets it go: everybody is.
async fn held_back(world: &World, mut asked: JoinSet<&'static str>) {
    settle().await;
    assert!(asked.try_join_next().is_none(), "somebody was answered before the state was durable");
    world.memory().release_sync();
    let mut answered: Vec<_> = std::mem::take(&mut asked).join_all().await;
    answered.sort_unstable();
    assert!(!answered.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_submit_is_answered_before_the_first_one_is_durable() {
    let world = World::new();
    world.script.answer("s1/forward", &[Answer::Slow(Duration::from_secs(1))]);
    world.memory().hold_sync();
    let mut asked = JoinSet::new();
    for (name, steps) in [("first", 1), ("duplicate", 1), ("conflicting", 2)] {
        let coordinator = world.coordinator.clone();
        asked.spawn(async move {
            let answer = coordinator.submit(begin("g", Pattern::Saga, steps)).await;
            assert_eq!(answer.is_ok(), name != "conflicting", "{name}: {answer:?}");
            name
        });
        settle().await;
    }
    assert!(world.coordinator.query(&Gid::parse("g").unwrap()).await.unwrap().is_none(), "query shows what is durable");
    assert!(world.script.called().is_empty(), "no call leaves before its transaction is durable");
    held_back(&world, asked).await;
}

#[tokio::test(start_paused = true)]
async fn no_registration_is_answered_before_it_is_durable() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 0)).await.unwrap();
    world.memory().hold_sync();
    let mut asked = JoinSet::new();
    for name in ["first", "duplicate"] {
        let coordinator = world.coordinator.clone();
        asked.spawn(async move {
            coordinator.register(registration("g", Pattern::Tcc, 0)).await.unwrap();
            name
        });
        settle().await;
    }
    let coordinator = world.coordinator.clone();
    asked.spawn(async move {
        let mut other = registration("g", Pattern::Tcc, 0);
        other.branch = escrow_txn::Branch { forward_url: "elsewhere".to_owned(), ..branch(0) };
        coordinator.register(other).await.unwrap_err();
        "conflicting"
    });
    assert!(world.txn("g").await.def.branches.is_empty(), "query shows what is durable");
    held_back(&world, asked).await;
    assert_eq!(world.txn("g").await.def.branches.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_conflict_is_told_before_the_decision_it_tells_of_is_durable() {
    let world = World::new();
    world.coordinator.prepare(begin("g", Pattern::Tcc, 1)).await.unwrap();
    world.memory().hold_sync();
    let mut asked = JoinSet::new();
    let coordinator = world.coordinator.clone();
    asked.spawn(async move {
        coordinator.abort(abort("g", Pattern::Tcc)).await.unwrap();
        "abort"
    });
    settle().await;
    let coordinator = world.coordinator.clone();
    asked.spawn(async move {
        coordinator.submit(begin("g", Pattern::Tcc, 0)).await.unwrap_err();
        "submit"
    });
    settle().await;
    assert!(world.script.called().is_empty(), "no cancel leaves before the decision is durable");
    held_back(&world, asked).await;
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_never_became_durable_is_not_told_to_be_under_way() {
    let world = World::new();
    world.memory().hold_sync();
    for wait_result in [false, true] {
        let mut saga = begin("g", Pattern::Saga, 1);
        saga.options.wait_result = wait_result;
        // The caller is kept for as long as one may be kept, and then told that nobody knows.
        let answer = world.coordinator.submit(saga).await;
        assert!(matches!(answer, Err(RequestError::Interrupted { .. })), "{answer:?}");
    }
}
