//! The keeper's thread, and purges.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, gid, limit, seconds, start};
use escrow_store::{Backend, Clock, Store, StoreError};
use escrow_txn::Timestamp;

use super::bare::{Bare, dir};
use crate::core::Outcome;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::{LocalStore, files};

/// A clock that ends the keeper once it is told to.
#[derive(Default)]
struct Faulty {
    is_broken: AtomicBool,
}

impl Clock for Faulty {
    fn now(&self) -> Timestamp {
        let is_keeper = std::thread::current().name() == Some("escrow-keeper");
        assert!(!(is_keeper && self.is_broken.load(SeqCst)), "a planned panic");
        start()
    }
}

fn committed(name: &str, after: u64) -> Sample {
    Sample::new(&gid(name)).committed(start().plus(seconds(after)))
}

#[tokio::test]
async fn a_panic_of_the_keeper_is_a_failure_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Faulty::default());
    let store = LocalStore::open(dir.path(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    clock.is_broken.store(true, SeqCst);
    committed("a", 1).create(&store).await;
    tokio::time::timeout(Duration::from_secs(60), store.failed()).await.unwrap();
    let refused = store.create(committed("b", 1).new_txn()).await;
    assert!(matches!(refused, Err(StoreError::Down { .. })), "{refused:?}");
    drop(store);
    clock.is_broken.store(false, SeqCst);
    let store = LocalStore::open(dir.path(), clock).unwrap();
    assert!(store.load(&gid("a")).await.unwrap().is_some());
}

#[test]
fn of_two_purges_at_one_time_the_slower_one_does_not_bring_back_what_the_faster_one_has_purged() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let bare = Bare::open(&disk, &dir());
    for number in 1..9 {
        bare.create(&committed(&number.to_string(), number));
    }
    let far = start().plus(seconds(100));
    let (slow_version, slow) = (bare.core.purged_version(), bare.keeper().purgeable(far, 2).unwrap());
    let (fast_version, fast) = (bare.core.purged_version(), bare.keeper().purgeable(far, 5).unwrap());
    let request = bare.core.purge_request(fast.cut, fast_version);
    assert!(matches!(bare.write(&request).unwrap(), Outcome::Setting(_)));
    assert_eq!(bare.found("4"), None);
    let request = bare.core.purge_request(slow.cut, slow_version);
    assert!(matches!(bare.write(&request).unwrap(), Outcome::SettingConflict(_)));
    assert_eq!(bare.found("4"), None);
}

#[tokio::test]
async fn what_a_backup_kept_a_purge_from_removing_goes_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), ManualClock::at(start())).unwrap();
    committed("a", 1).create(&store).await;
    let pin = files::pin(dir.path()).unwrap();
    let far = start().plus(seconds(100));
    assert_eq!(store.purge(far, limit(9)).await.unwrap(), 1);
    let partitions = || store.stats().embedded.unwrap().partitions;
    assert_eq!(partitions(), 1);
    drop(pin);
    assert_eq!(store.purge(far, limit(9)).await.unwrap(), 0);
    assert_eq!(partitions(), 0);
}

#[test]
fn what_has_a_purged_gid_is_purged_in_its_turn() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let bare = Bare::open(&disk, &dir());
    let purge = |before: u64| {
        let version = bare.core.purged_version();
        let purgeable = bare.keeper().purgeable(start().plus(seconds(before)), 9).unwrap();
        let request = bare.core.purge_request(purgeable.cut, version);
        assert!(matches!(bare.write(&request).unwrap(), Outcome::Setting(_)));
        purgeable.rows
    };
    bare.create(&committed("a", 1));
    bare.create(&committed("b", 50));
    assert_eq!(purge(10), 1);
    // Into the same partition.
    bare.create(&committed("a", 20));
    assert_eq!(purge(30), 1);
    assert_eq!((bare.found("a"), bare.found("b").is_some()), (None, true));
}
