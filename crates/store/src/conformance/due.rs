use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use escrow_txn::Status;

use super::Subject;
use super::sample::{self, Sample, claim, gid, loaded, seconds, start};
use crate::{Store, StoreError, Version};

fn gids<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

pub async fn what_is_due_is_claimed_the_longest_due_first<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    for (text, after) in [("c", 3), ("a", 9), ("d", 1), ("b", 5)] {
        Sample::new(&gid(text)).waiting(start().plus(seconds(after))).create(&*store).await;
    }
    assert_eq!(claim(&*store, 9).await, (vec![], Some(start().plus(seconds(1)))), "not before its time");
    clock.advance(seconds(5));
    assert_eq!(claim(&*store, 2).await, (gids(["d", "c"]), Some(start().plus(seconds(5)))), "the limit holds");
    assert_eq!(claim(&*store, 2).await, (gids(["b"]), Some(start().plus(seconds(9)))));
    clock.advance(seconds(4));
    assert_eq!(claim(&*store, 2).await, (gids(["a"]), None));
}

pub async fn what_is_claimed_is_not_due_again_until_a_new_time_is_stored<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a")).waiting(start());
    sample.create(&*store).await;

    assert_eq!(claim(&*store, 9).await, (gids(["a"]), None));
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(claim(&*store, 9).await, (vec![], None), "it is claimed");

    let in_flight = Sample::new(&gid("a"));
    let version = store.commit(in_flight.change(Version::FIRST)).await.unwrap();
    assert_eq!(claim(&*store, 9).await, (vec![], None), "it is in flight");

    let later = start().plus(Duration::from_secs(3_601));
    store.commit(sample.waiting(later).change(version)).await.unwrap();
    assert_eq!(claim(&*store, 9).await, (vec![], Some(later)));
    clock.advance(seconds(1));
    assert_eq!(claim(&*store, 9).await, (gids(["a"]), None));
}

pub async fn near_and_far_timers_fire_at_their_time<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let times = [1, 60, 3_600, 86_400, 30 * 86_400].map(seconds);
    for (number, after) in times.iter().enumerate().rev() {
        Sample::new(&gid(&number.to_string())).waiting(start().plus(*after)).create(&*store).await;
    }
    let mut passed = Duration::ZERO;
    for (number, after) in times.into_iter().enumerate() {
        assert_eq!(claim(&*store, 9).await, (vec![], Some(start().plus(after))));
        clock.advance(after - passed - Duration::from_micros(1));
        assert_eq!(claim(&*store, 9).await, (vec![], Some(start().plus(after))), "one microsecond before its time");
        clock.advance(Duration::from_micros(1));
        assert_eq!(claim(&*store, 1).await.0, [number.to_string()]);
        passed = after;
    }
    assert_eq!(claim(&*store, 9).await, (vec![], None));
}

pub async fn a_new_earlier_time_replaces_a_far_one<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let (near, far) = (start().plus(seconds(2)), start().plus(seconds(86_400)));
    let sample = Sample::new(&gid("a")).waiting(far);
    sample.create(&*store).await;
    let version = store.commit(sample.clone().waiting(near).change(Version::FIRST)).await.unwrap();
    assert_eq!(claim(&*store, 9).await, (vec![], Some(near)));
    store.commit(sample.waiting(far).change(version)).await.unwrap();
    clock.advance(seconds(2));
    assert_eq!(claim(&*store, 9).await, (vec![], Some(far)), "and back");
}

pub async fn what_is_in_flight_is_not_due<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("a")).create(&*store).await;
    clock.advance(seconds(86_400));
    assert_eq!(claim(&*store, 9).await, (vec![], None));
}

pub async fn what_was_in_flight_is_due_at_once_after_opening<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("created")).create(&*store).await;
    Sample::new(&gid("claimed")).waiting(start()).create(&*store).await;
    claim(&*store, 9).await;
    let moved = Sample::new(&gid("moved")).waiting(None);
    moved.create(&*store).await;
    store.commit(Sample::new(&gid("moved")).change(Version::FIRST)).await.unwrap();
    drop(store);

    let subject = subject.reopen().await;
    let store = subject.store();
    let (mut due, next) = claim(&*store, 9).await;
    due.sort();
    assert_eq!((due, next), (gids(["claimed", "created", "moved"]), None));
    assert_eq!(claim(&*store, 9).await, (vec![], None), "once");

    // A second life that ends without having written anything changes nothing.
    drop(store);
    clock.advance(seconds(1));
    let subject = subject.reopen().await;
    assert_eq!(claim(&*subject.store(), 9).await.0.len(), 3);
}

pub async fn waits_survive_opening<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let (near, far) = (start().plus(seconds(2)), start().plus(seconds(86_400)));
    Sample::new(&gid("far")).waiting(far).create(&*store).await;
    Sample::new(&gid("near")).waiting(near).create(&*store).await;
    drop(store);

    let subject = subject.reopen().await;
    let store = subject.store();
    assert_eq!(claim(&*store, 9).await, (vec![], Some(near)));
    clock.advance(seconds(2));
    assert_eq!(claim(&*store, 9).await, (gids(["near"]), Some(far)));
    clock.advance(seconds(86_398));
    assert_eq!(claim(&*store, 9).await, (gids(["far"]), None));
}

pub async fn without_a_time_nothing_is_due<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("a")).status(Status::Prepared).waiting(None).create(&*store).await;
    clock.advance(seconds(86_400));
    assert_eq!(claim(&*store, 9).await, (vec![], None));
    drop(store);
    let subject = subject.reopen().await;
    assert_eq!(claim(&*subject.store(), 9).await, (vec![], None), "nor after opening");
}

pub async fn what_is_final_is_not_due<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a")).waiting(start().plus(seconds(1)));
    sample.create(&*store).await;
    store.commit(sample.committed(start()).change(Version::FIRST)).await.unwrap();
    Sample::new(&gid("b")).committed(start()).create(&*store).await;
    clock.advance(seconds(86_400));
    assert_eq!(claim(&*store, 9).await, (vec![], None));
    drop(store);
    let subject = subject.reopen().await;
    assert_eq!(claim(&*subject.store(), 9).await, (vec![], None), "nor after opening");
}

pub async fn what_is_released_is_due_at_the_given_time<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("claimed")).waiting(start()).create(&*store).await;
    claim(&*store, 9).await;
    Sample::new(&gid("in flight")).create(&*store).await;

    let later = start().plus(seconds(2));
    store.release(&gid("claimed"), later).await;
    assert_eq!(claim(&*store, 9).await, (vec![], Some(later)), "the time that led to the claim has passed");
    store.release(&gid("in flight"), start()).await;
    assert_eq!(claim(&*store, 9).await, (gids(["in flight"]), Some(later)));
    clock.advance(seconds(2));
    assert_eq!(claim(&*store, 9).await, (gids(["claimed"]), None));

    let far = start().plus(seconds(86_400));
    store.release(&gid("claimed"), far).await;
    assert_eq!(claim(&*store, 9).await, (vec![], Some(far)));
    assert_eq!(loaded(&*store, &gid("claimed")).await.version, Version::FIRST, "nothing durable changes");
}

pub async fn a_release_changes_nothing_that_waits_or_is_final_or_unknown<S: Subject>() {
    let (subject, clock) = sample::opened::<S>().await;
    let store = subject.store();
    let later = start().plus(seconds(9));
    Sample::new(&gid("waiting")).waiting(later).create(&*store).await;
    Sample::new(&gid("idle")).status(Status::Prepared).waiting(None).create(&*store).await;
    Sample::new(&gid("final")).committed(start()).create(&*store).await;
    for text in ["waiting", "idle", "final", "unknown"] {
        store.release(&gid(text), start()).await;
    }
    clock.advance(seconds(1));
    assert_eq!(claim(&*store, 9).await, (vec![], Some(later)));
}

pub async fn concurrent_claimers_get_each_transaction_once<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let names: BTreeSet<String> = (0..200).map(|number| format!("txn {number}")).collect();
    let creates = names.clone().into_iter().map(|name| {
        let store = Arc::clone(&store);
        async move { Sample::new(&gid(&name)).waiting(start()).create(&*store).await }
    });
    sample::together(creates).await;

    let claimers = (0..4).map(|_| {
        let store = Arc::clone(&store);
        async move {
            let mut all = Vec::new();
            loop {
                let (due, _) = claim(&*store, 7).await;
                if due.is_empty() {
                    return all;
                }
                all.extend(due);
            }
        }
    });
    let claimed = sample::together(claimers).await.concat();
    assert_eq!(claimed.len(), names.len());
    assert_eq!(BTreeSet::from_iter(claimed), names);
}

pub async fn a_damaged_record_is_never_read_as_absent_and_the_others_go_on<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    for text in ["a", "b", "c"] {
        Sample::new(&gid(text)).waiting(start()).create(&*store).await;
    }
    subject.damage(&gid("b")).await;
    let (mut due, _) = claim(&*store, 9).await;
    due.sort();
    assert_eq!(due, gids(["a", "b", "c"]), "a claim reads no record");
    assert_eq!(claim(&*store, 9).await, (vec![], None), "who has it may keep it");
    for text in ["a", "c"] {
        loaded(&*store, &gid(text)).await;
    }
    is_damaged(&*store).await;
    drop(store);

    let subject = subject.reopen().await;
    is_damaged(&*subject.store()).await;
}

async fn is_damaged(store: &impl Store) {
    let is_damaged = |error: &StoreError| matches!(error, StoreError::Corrupt { gid, .. } if gid.as_str() == "b");
    let error = store.load(&gid("b")).await.unwrap_err();
    assert!(is_damaged(&error), "it is neither absent nor empty: {error:?}");
    let error = store.create(Sample::new(&gid("b")).new_txn()).await.unwrap_err();
    assert!(is_damaged(&error), "its gid is not free: {error:?}");
}
