use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;

use escrow_store::conformance::sample::{gid, limit};
use escrow_store::{Cursor, ListQuery, StoreError, TxnSummary, Version};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::database;
use crate::disk::RealDisk;
use crate::samples::{at, finished};

mod closing;
mod damage;
mod model;
mod power;
mod purging;

const STORE: StoreId = StoreId(7);

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn open_at(dir: &Path, partition_rows: u64) -> Archive {
    Archive::open(&disk(), dir, STORE, ArchiveTuning { partition_rows, connections: 2 }).unwrap()
}

fn opened(partition_rows: u64) -> (TempDir, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let archive = open_at(dir.path(), partition_rows);
    (dir, archive)
}

/// Inserts transactions that were created and finished at the time `over`.
fn insert(archive: &Archive, names: &[&str], over: u64, now: u64) {
    let txns: Vec<_> = names.iter().map(|name| Arc::new(finished(name, over, over))).collect();
    archive.insert(&txns, at(now)).unwrap();
}

fn files(dir: &Path) -> Vec<String> {
    disk().list(dir).unwrap()
}

fn names(items: &[TxnSummary]) -> Vec<&str> {
    items.iter().map(|item| item.gid.as_str()).collect()
}

fn newest(archive: &Archive, count: usize) -> Vec<TxnSummary> {
    archive.list(&ListQuery::newest(NonZeroU32::MIN), count, None).unwrap()
}

fn version(archive: &Archive, name: &str) -> Option<u64> {
    archive.find(&gid(name), None).unwrap().map(|txn| txn.version.0)
}

/// What was written in the same directory, as it is at this moment.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in files(dir) {
        fs::copy(dir.join(&name), copy.path().join(&name)).unwrap();
    }
    copy
}

#[test]
fn what_was_inserted_is_found_as_it_was() {
    let (_dir, archive) = opened(100);
    let txn = finished("a", 3, 5);
    archive.insert(&[Arc::new(txn.clone())], at(DAY)).unwrap();
    assert_eq!(archive.find(&gid("a"), None).unwrap(), Some(txn));
    assert!(archive.may_hold(&gid("a")));
    assert_eq!(archive.find(&gid("b"), None).unwrap(), None);
    assert_eq!(archive.info(), ArchiveInfo { partitions: 1, rows: 1 });
}

#[test]
fn a_repeated_insert_changes_nothing() {
    let (_dir, archive) = opened(100);
    for _ in 0..2 {
        insert(&archive, &["b", "a", "c"], 5, DAY);
    }
    assert_eq!(archive.info().rows, 3);
    assert_eq!(names(&newest(&archive, 9)), ["c", "b", "a"]);
}

#[test]
fn of_two_images_the_one_that_finished_later_stays_then_the_one_of_the_higher_version() {
    let (_dir, archive) = opened(100);
    let put = |version, over| {
        let txn = StoredTxn { version: Version(version), ..finished("a", 1, over) };
        archive.insert(&[Arc::new(txn)], at(DAY)).unwrap();
    };
    put(3, 5);
    put(2, 5);
    assert_eq!(version(&archive, "a"), Some(3));
    put(4, 5);
    assert_eq!(version(&archive, "a"), Some(4));
    put(1, 9);
    assert_eq!(version(&archive, "a"), Some(1), "the gid was used again");
    put(4, 5);
    assert_eq!((version(&archive, "a"), archive.info().rows), (Some(1), 1));
}

#[test]
fn of_two_images_in_one_batch_the_later_one_stays() {
    let (_dir, archive) = opened(100);
    let txns =
        [(1, 9), (7, 5)].map(|(version, over)| StoredTxn { version: Version(version), ..finished("a", 1, over) });
    archive.insert(&txns.map(Arc::new), at(DAY)).unwrap();
    assert_eq!((version(&archive, "a"), archive.info().rows), (Some(1), 1));
}

#[test]
fn a_partition_ends_with_the_rows_it_may_hold() {
    let (dir, archive) = opened(4);
    insert(&archive, &["a", "b", "c"], 1, DAY);
    insert(&archive, &["d"], 2, DAY);
    assert_eq!(archive.info(), ArchiveInfo { partitions: 1, rows: 4 });
    insert(&archive, &["e"], 3, DAY);
    assert_eq!(archive.info(), ArchiveInfo { partitions: 2, rows: 5 });
    insert(&archive, &["f", "g", "h", "i", "j", "k"], 4, DAY);
    assert_eq!(archive.info(), ArchiveInfo { partitions: 3, rows: 11 }, "a batch is never divided");
    let found = files(dir.path());
    assert_eq!(found[..2], ["1970-01-02-0001.db", "1970-01-02-0002.db"], "a closed partition is one file: {found:?}");
    assert_eq!(names(&newest(&archive, 20)), ["k", "j", "i", "h", "g", "f", "e", "d", "c", "b", "a"]);
}

#[test]
fn a_partition_ends_with_its_day() {
    let (dir, archive) = opened(100);
    insert(&archive, &["a"], 1, DAY);
    insert(&archive, &["b"], 1, 2 * DAY - 1);
    assert_eq!(archive.info().partitions, 1);
    insert(&archive, &["c"], 1, 2 * DAY);
    assert_eq!(archive.info().partitions, 2);
    insert(&archive, &["d"], 1, DAY);
    assert_eq!(archive.info().partitions, 2, "a clock that is set back begins no partition");
    drop(archive);
    assert_eq!(files(dir.path()), ["1970-01-02-0001.db", "1970-01-03-0002.db"]);
}

#[test]
fn the_newer_partition_is_right_and_lists_show_a_gid_once() {
    let (_dir, archive) = opened(100);
    insert(&archive, &["a", "b"], 10, DAY);
    // Once more after a crash, and used again.
    insert(&archive, &["a"], 10, 2 * DAY);
    let again = StoredTxn { version: Version(3), ..finished("b", 4, 20) };
    archive.insert(&[Arc::new(again)], at(2 * DAY)).unwrap();
    insert(&archive, &["c"], 1, 3 * DAY);

    assert_eq!(names(&newest(&archive, 9)), ["a", "b", "c"]);
    assert_eq!(names(&newest(&archive, 2)), ["a", "b"]);
    assert_eq!(version(&archive, "b"), Some(3));
    assert_eq!(archive.export(None, 9, None).unwrap().len(), 3);
    let created_at_ten = ListQuery { created_from: Some(at(10)), ..ListQuery::newest(NonZeroU32::MIN) };
    assert_eq!(names(&archive.list(&created_at_ten, 9, None).unwrap()), ["a"], "b was created at 4");
}

#[test]
fn a_page_of_the_newest_does_not_open_old_partitions() {
    let (dir, archive) = opened(2);
    for number in 1..=8 {
        let names = [format!("{number}a"), format!("{number}b")];
        insert(&archive, &[&names[0], &names[1]], number, DAY);
    }
    drop(archive);
    let archive = open_at(dir.path(), 2);
    assert_eq!(names(&newest(&archive, 3)), ["8b", "8a", "7b"]);
    assert_eq!(archive.context.connections.connected(), 1);
    assert_eq!(newest(&archive, 100).len(), 16);
    assert_eq!(archive.context.connections.connected(), 2, "no more connections are kept than the tuning says");
}

#[test]
fn a_store_does_not_open_the_archive_of_another() {
    let (dir, archive) = opened(2);
    insert(&archive, &["a", "b"], 1, DAY);
    insert(&archive, &["c"], 1, DAY);
    drop(archive);
    let opened = Archive::open(&disk(), dir.path(), StoreId(8), ArchiveTuning::default());
    assert!(matches!(opened, Err(OpenError::OtherStore { expected: StoreId(8), .. })), "{opened:?}");
}

#[test]
fn readers_find_everything_while_partitions_come_and_go() {
    let (_dir, archive) = opened(10);
    let inserted = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while inserted.load(Relaxed) < 300 {
                let last = inserted.load(Relaxed);
                if last > 0 {
                    // Those before it may be purged at any time.
                    let name = format!("{last:04}");
                    assert!(archive.may_hold(&gid(&name)) && archive.find(&gid(&name), None).unwrap().is_some());
                    assert!(names(&newest(&archive, 5))[0] >= &*name);
                    reads += 1;
                }
            }
            reads
        });
        for number in 1..=300_u64 {
            insert(&archive, &[&format!("{number:04}")], number, DAY);
            inserted.store(number, Relaxed);
            if number % 40 == 0 {
                archive.drop_purged(at(number - 20)).unwrap();
            }
        }
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(archive.info().partitions, 5, "those of 251 to 300");
}
