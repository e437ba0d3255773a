//! Decisions that race: exactly one wins, and the loser is told the truth, before and after a restart.

use std::time::Duration;

use escrow_engine::RequestError;
use escrow_txn::{Pattern, Status};

use crate::world::{World, abort, begin, eventually, registration, settle};

const PATTERNS: [Pattern; 2] = [Pattern::Tcc, Pattern::Xa];

async fn prepared(pattern: Pattern) -> World {
    let world = World::new();
    world.coordinator.prepare(begin("g", pattern, 1)).await.unwrap();
    world
}

/// What the losers are told, now and after a crash.
async fn loser_is_told(world: World, pattern: Pattern, status: Status) {
    let mut world = world;
    for _ in 0..2 {
        eventually(|| async { world.status("g").await == status }).await;
        let told = match status {
            Status::Committed => world.coordinator.abort(abort("g", pattern)).await.unwrap_err(),
            _ => world.coordinator.submit(begin("g", pattern, 0)).await.unwrap_err(),
        };
        assert_eq!(told.status(), Some(status));
        let late = world.coordinator.register(registration("g", pattern, 1)).await.unwrap_err();
        assert_eq!(late.status(), Some(status));
        world = world.crash().await;
    }
    let direction = if status == Status::Committed { "s1/forward" } else { "s1/back" };
    assert!(world.script.called().iter().all(|url| url == direction), "{:?}", world.script.called());
}

#[tokio::test(start_paused = true)]
async fn submit_and_abort_exclude_each_other_whoever_comes_first() {
    for pattern in PATTERNS {
        for submit_first in [true, false] {
            let world = prepared(pattern).await;
            world.memory().hold_sync();
            let (one, two) = (world.coordinator.clone(), world.coordinator.clone());
            let submit = async move { one.submit(begin("g", pattern, 0)).await };
            let abort = async move { two.abort(abort("g", pattern)).await };
            let (submit, abort) = if submit_first {
                let submit = tokio::spawn(submit);
                settle().await;
                (submit, tokio::spawn(abort))
            } else {
                let abort = tokio::spawn(abort);
                settle().await;
                (tokio::spawn(submit), abort)
            };
            settle().await;
            world.memory().release_sync();
            let (submit, abort) = (submit.await.unwrap(), abort.await.unwrap());
            assert_eq!((submit.is_ok(), abort.is_ok()), (submit_first, !submit_first), "{submit:?} {abort:?}");
            let status = if submit_first { Status::Committed } else { Status::Aborted };
            loser_is_told(world, pattern, status).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_comes_after_the_time_out_loses() {
    for pattern in PATTERNS {
        let world = prepared(pattern).await;
        tokio::time::sleep(Duration::from_secs(35)).await;
        // The sync is held back, so that the submit arrives between the time-out's decision and its durability.
        world.memory().hold_sync();
        let coordinator = world.coordinator.clone();
        let submit = tokio::spawn(async move { coordinator.submit(begin("g", pattern, 0)).await });
        settle().await;
        world.memory().release_sync();
        // Whoever was first has won; the other one is told.
        match submit.await.unwrap() {
            Ok(_) => loser_is_told(world, pattern, Status::Committed).await,
            Err(error) => {
                assert!(matches!(error.status(), Some(Status::Aborting | Status::Aborted)), "{error:?}");
                loser_is_told(world, pattern, Status::Aborted).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_comes_before_the_time_out_wins() {
    for pattern in PATTERNS {
        let world = prepared(pattern).await;
        tokio::time::sleep(Duration::from_millis(34_990)).await;
        world.memory().hold_sync();
        let coordinator = world.coordinator.clone();
        let submit = tokio::spawn(async move { coordinator.submit(begin("g", pattern, 0)).await });
        settle().await;
        // The time-out passes while the decision is on its way to the disk.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.memory().release_sync();
        submit.await.unwrap().unwrap();
        loser_is_told(world, pattern, Status::Committed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_part_of_the_decision_or_refused() {
    for pattern in PATTERNS {
        for (submits, registers_first) in [(true, true), (true, false), (false, true), (false, false)] {
            let world = World::new();
            world.coordinator.prepare(begin("g", pattern, 0)).await.unwrap();
            world.memory().hold_sync();
            let (one, two) = (world.coordinator.clone(), world.coordinator.clone());
            let register = async move { one.register(registration("g", pattern, 0)).await };
            let decide = async move {
                match submits {
                    true => two.submit(begin("g", pattern, 0)).await,
                    false => two.abort(abort("g", pattern)).await,
                }
            };
            let (register, decide) = if registers_first {
                let register = tokio::spawn(register);
                settle().await;
                (register, tokio::spawn(decide))
            } else {
                let decide = tokio::spawn(decide);
                settle().await;
                (tokio::spawn(register), decide)
            };
            settle().await;
            world.memory().release_sync();
            decide.await.unwrap().unwrap();
            let registered = register.await.unwrap();
            assert_eq!(registered.is_ok(), registers_first, "{registered:?}");
            let status = if submits { Status::Committed } else { Status::Aborted };
            eventually(|| async { world.status("g").await == status }).await;
            let called = world.script.called();
            assert_eq!(
                called.len(),
                usize::from(registers_first),
                "a branch is called if and only if it was registered"
            );
            let world = world.crash().await;
            let late = world.coordinator.register(registration("g", pattern, 0)).await.unwrap_err();
            assert!(matches!(late, RequestError::Illegal { .. }), "{late:?}");
        }
    }
}
