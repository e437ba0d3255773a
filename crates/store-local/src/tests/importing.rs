//! What is carried over into a store that holds something already.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, claim, gid, limit, seconds, start};
use escrow_store::{Backend, Clock, Setting, Settings, Store, StoreError, StoredTxn, Transfer, Version};

use super::bare::tuning;
use crate::LocalStore;

fn opened(dir: &std::path::Path, clock: &Arc<ManualClock>) -> LocalStore {
    LocalStore::open_with(dir, Arc::clone(clock) as Arc<dyn Clock>, tuning()).unwrap()
}

fn row(sample: &Sample) -> StoredTxn {
    sample.new_txn().into()
}

#[tokio::test]
async fn settings_that_are_taken_over_take_the_place_of_those_that_are_there() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let store = opened(dir.path(), &clock);
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    store.put("topic", "t", value("old"), None).await.unwrap();
    let newer = Setting { key: "t".to_owned(), value: value("new"), version: Version(7) };
    store.import_settings(vec![("topic".to_owned(), newer.clone())]).await.unwrap();
    assert_eq!(store.get("topic", "t").await.unwrap(), Some(newer.clone()));
    // So much that the keeper clears the segments of both.
    let mut large = Sample::new(&gid("large"));
    large.def.custom_data = "x".repeat(10_000);
    for number in 0..9 {
        large.def.gid = gid(&number.to_string());
        large.create(&store).await;
    }
    let has_little = || store.stats().embedded.unwrap().segments < 4;
    tokio::time::timeout(Duration::from_secs(60), async {
        while !has_little() {
            // A frame tells which segments can go.
            store.put("topic", "other", value("x"), None).await.unwrap();
            store.delete("topic", "other", Version::FIRST).await.unwrap();
        }
    })
    .await
    .unwrap();
    drop(store);
    let store = opened(dir.path(), &clock);
    assert_eq!(store.get("topic", "t").await.unwrap(), Some(newer));
}

#[tokio::test]
async fn what_was_purged_in_one_store_is_purged_in_no_other() {
    let clock = ManualClock::at(start());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = [&dirs[0], &dirs[1]].map(|dir| opened(dir.path(), &clock));
    Sample::new(&gid("a")).committed(start()).create(&one).await;
    Sample::new(&gid("b")).committed(start()).create(&other).await;
    assert_eq!(one.purge(start().plus(seconds(9)), limit(9)).await.unwrap(), 1);
    assert_eq!(one.export_settings().await.unwrap(), []);
    other.import_settings(one.export_settings().await.unwrap()).await.unwrap();
    assert!(other.load(&gid("b")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_live_is_not_replaced() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let store = opened(dir.path(), &clock);
    let sample = Sample::new(&gid("a"));
    sample.create(&store).await;
    let refused = store.import(vec![row(&sample)]).await;
    assert!(matches!(refused, Err(StoreError::Down { .. })), "{refused:?}");
    assert_eq!(store.load(&gid("a")).await.unwrap().unwrap().value, sample.txn());
}

#[tokio::test]
async fn a_time_that_was_replaced_is_not_waited_for() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let store = opened(dir.path(), &clock);
    let waiting = |after: u64| row(&Sample::new(&gid("a")).waiting(start().plus(seconds(after))));
    store.import(vec![waiting(5)]).await.unwrap();
    assert_eq!(claim(&store, 9).await, (vec![], Some(start().plus(seconds(5)))));
    store.import(vec![StoredTxn { version: Version(2), ..waiting(7) }]).await.unwrap();
    assert_eq!(claim(&store, 9).await, (vec![], Some(start().plus(seconds(7)))));
    let done = row(&Sample::new(&gid("a")).committed(start()));
    store.import(vec![StoredTxn { version: Version(3), ..done }]).await.unwrap();
    assert_eq!(claim(&store, 9).await, (vec![], None));
    assert_eq!(store.export(None, NonZeroU32::MIN).await.unwrap().len(), 1);
}
