//! What the in-memory store does beyond what all stores do: hold the sync back, and crash.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use super::*;
use crate::conformance::sample::{OWNER, Sample, claim, gid, limit, loaded, opened, seconds, start};
use crate::conformance::{ManualClock, Subject};

struct Memory {
    store: Arc<MemoryStore>,
}

impl Subject for Memory {
    type Store = MemoryStore;

    async fn open(clock: Arc<dyn Clock>) -> Self {
        Self { store: Arc::new(MemoryStore::new(clock)) }
    }

    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        Self { store: Arc::new(self.store.crash()) }
    }

    async fn damage(&self, gid: &Gid) {
        assert!(self.store.damage(gid));
    }
}

crate::conformance!(Memory);

async fn memory() -> (Arc<MemoryStore>, Arc<ManualClock>) {
    let (memory, clock) = opened::<Memory>().await;
    (memory.store, clock)
}

/// Whether the future has to wait when it is asked once.
async fn waits<T>(future: &mut Pin<&mut impl Future<Output = T>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn while_the_sync_is_held_no_write_is_answered_and_nothing_of_it_is_seen() {
    let (store, _clock) = memory().await;
    let stored = Sample::new(&gid("stored")).waiting(start());
    stored.create(&*store).await;
    store.hold_sync();

    let mut create = pin!(store.create(Sample::new(&gid("new")).new_txn()));
    let mut duplicate = pin!(store.create(Sample::new(&gid("new")).new_txn()));
    let mut commit = pin!(store.commit(stored.clone().committed(start()).change(Version::FIRST)));
    let mut conflict = pin!(store.commit(stored.change(Version::FIRST)));
    let mut put = pin!(store.put("topic", "paid", Bytes::new(), None));
    assert!(waits(&mut create).await && waits(&mut duplicate).await, "nobody is told that the gid is taken");
    assert!(waits(&mut commit).await && waits(&mut conflict).await, "nor that the version has moved");
    assert!(waits(&mut put).await);

    assert_eq!(store.load(&gid("new")).await.unwrap(), None);
    assert_eq!(loaded(&*store, &gid("stored")).await.value, stored.txn());
    assert_eq!(store.get("topic", "paid").await.unwrap(), None);
    let page = store.list(&ListQuery::newest(limit(9))).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.gid.as_str()).collect::<Vec<_>>(), ["stored"]);

    store.release_sync();
    assert!(matches!(create.await.unwrap(), Created::New(Version::FIRST)));
    assert!(matches!(duplicate.await.unwrap(), Created::Exists(stands) if stands.version == Version::FIRST));
    assert_eq!(commit.await.unwrap(), Version(2));
    assert!(matches!(conflict.await, Err(CommitError::Conflict { current: Some(Version(2)) })));
    put.await.unwrap();
}

#[tokio::test]
async fn timers_follow_what_is_durable() {
    let (store, clock) = memory().await;
    store.hold_sync();
    let mut create = pin!(store.create(Sample::new(&gid("a")).waiting(start()).new_txn()));
    assert!(waits(&mut create).await);
    clock.advance(seconds(1));
    assert_eq!(claim(&*store, 9).await, (vec![], None));
    store.release_sync();
    assert_eq!(claim(&*store, 9).await.0, ["a"]);
}

#[tokio::test]
async fn a_crash_leaves_what_was_durable_and_nothing_else() {
    let (store, _clock) = memory().await;
    let stored = Sample::new(&gid("stored"));
    stored.create(&*store).await;
    store.hold_sync();
    let mut create = pin!(store.create(Sample::new(&gid("new")).new_txn()));
    let mut commit = pin!(store.commit(stored.clone().committed(start()).change(Version::FIRST)));
    assert!(waits(&mut create).await && waits(&mut commit).await);

    let next = store.crash();
    assert!(matches!(create.await, Err(StoreError::Unknown { .. })));
    assert!(matches!(commit.await, Err(CommitError::Store(StoreError::Unknown { .. }))));
    assert_eq!(next.load(&gid("new")).await.unwrap(), None);
    assert_eq!(loaded(&next, &gid("stored")).await, Versioned { version: Version::FIRST, value: stored.txn() });
    assert_eq!(claim(&next, 9).await.0, ["stored"], "what was in flight is due at once");
    Sample::new(&gid("new")).create(&next).await;
}

#[tokio::test]
async fn after_a_crash_every_call_of_the_former_life_fails() {
    let (store, _clock) = memory().await;
    let sample = Sample::new(&gid("a"));
    sample.create(&*store).await;
    let next = store.crash();
    let handle = store.clone();

    fn is_down<T>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Down { .. }))
    }
    assert!(is_down(handle.create(Sample::new(&gid("b")).new_txn()).await));
    assert!(is_down(handle.load(&gid("a")).await));
    assert!(is_down(handle.claim_due(OWNER, limit(9)).await));
    assert!(is_down(handle.list(&ListQuery::newest(limit(9))).await));
    assert!(is_down(handle.purge(start(), limit(9)).await));
    assert!(is_down(handle.get("topic", "paid").await));
    assert!(is_down(handle.scan("topic", None, NonZeroU32::MIN).await));
    let commit = handle.commit(sample.change(Version::FIRST)).await;
    assert!(matches!(commit, Err(CommitError::Store(StoreError::Down { .. }))));
    assert_eq!(loaded(&next, &gid("a")).await.version, Version::FIRST, "the next life does not see any of it");
}

#[tokio::test]
async fn a_crash_lifts_the_hold() {
    let (store, _clock) = memory().await;
    store.hold_sync();
    Sample::new(&gid("a")).create(&store.crash()).await;
}
