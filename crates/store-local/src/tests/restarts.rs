//! What a start makes of steps that were cut off.

use std::sync::Arc;

use escrow_store::ListQuery;
use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, gid, seconds, start};
use escrow_txn::{Status, Timestamp};

use super::bare::{Bare, dir};
use crate::core::Outcome;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::list;

fn in_flight(name: &str) -> Sample {
    Sample::new(&gid(name))
}

fn committed(name: &str, at: Timestamp) -> Sample {
    Sample::new(&gid(name)).committed(at)
}

fn at(number: u64) -> Timestamp {
    start().plus(seconds(number))
}

fn disk(sim: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(sim.clone())
}

/// `a` was saved long ago, is committed, and stands in the archive; its row has not been deleted yet.
fn cut_off_before_the_row_is_deleted(sim: &SimDisk) -> Bare {
    let bare = Bare::open(&disk(sim), &dir());
    bare.put_saved(&[&in_flight("a")]);
    bare.commit(&committed("a", at(9)), 1);
    let rows = bare.core.table().finished(9);
    bare.core.archive.insert(&rows, bare.core.clock.now()).unwrap();
    bare
}

fn assert_is_committed_once(bare: &Bare) {
    assert_eq!(bare.found("a"), Some((2, Status::Committed)));
    let page = list::list(&bare.core, &ListQuery::newest(9.try_into().unwrap())).unwrap();
    let listed: Vec<_> = page.items.iter().map(|item| (item.gid.as_str(), item.status)).collect();
    assert_eq!(listed, [("a", Status::Committed)]);
    bare.clock.advance(seconds(1_000));
    assert_eq!(bare.claim(), [""; 0], "it is not due");
}

#[test]
fn what_was_archived_is_not_taken_for_unfinished_because_its_row_was_not_deleted() {
    let sim = SimDisk::new(1);
    drop(cut_off_before_the_row_is_deleted(&sim));
    let sim = sim.after_power_cut(2);
    let bare = Bare::open(&disk(&sim), &dir());
    assert_is_committed_once(&bare);
    bare.archive_all();
    assert_eq!((bare.core.spill.info().rows, bare.core.archive.info().rows), (0, 1));
    assert_is_committed_once(&bare);
}

#[test]
fn a_full_disk_does_not_keep_a_store_from_being_opened() {
    let sim = SimDisk::new(1);
    cut_off_before_the_row_is_deleted(&sim).stop();
    sim.set_capacity(Some(sim.used()));
    let bare = Bare::open(&disk(&sim), &dir());
    assert_is_committed_once(&bare);
    assert!(bare.keeper().archive(bare.core.clock.now()).is_err(), "the row cannot be deleted yet");
    sim.set_capacity(None);
    bare.archive_all();
    assert_eq!(bare.core.spill.info().rows, 0);
    assert_is_committed_once(&bare);
}

#[test]
fn what_was_purged_does_not_come_back_as_it_was_saved_before_it_was_finished() {
    let sim = SimDisk::new(1);
    let bare = Bare::open(&disk(&sim), &dir());
    bare.put_saved(&[&in_flight("a")]);
    // A purge whose answer comes before a write that its driver began long ago.
    assert!(matches!(bare.write(&bare.core.purge_request(at(100), None)).unwrap(), Outcome::Setting(_)));
    bare.commit(&committed("a", at(9)), 1);
    drop(bare);
    let sim = sim.after_power_cut(2);
    let bare = Bare::open(&disk(&sim), &dir());
    bare.clock.advance(seconds(1_000));
    assert_eq!(bare.claim(), [""; 0], "it is over");
    bare.archive_all();
    assert_eq!(bare.found("a"), None);
    assert_eq!(bare.core.spill.info().rows, 0);
}

#[test]
fn a_creation_that_is_cut_off_twice_is_finished_by_the_third_start() {
    let cut_at = |sim: &SimDisk, operation: u64, seed: u64| {
        let cut = sim.snapshot();
        cut.power_off_at(operation);
        let opened = Bare::try_open(&disk(&cut), &dir(), ManualClock::at(start()));
        assert_eq!(opened.is_err(), cut.is_off(), "{:?}", opened.err());
        cut.is_off().then(|| cut.after_power_cut(seed))
    };
    let sim = SimDisk::new(1);
    sim.create_dir(&dir()).unwrap();
    for first in 1.. {
        let Some(begun) = cut_at(&sim, first, first) else {
            assert!(first > 20, "{first} operations");
            return;
        };
        for second in 1..20 {
            let Some(begun) = cut_at(&begun, second, second) else { break };
            let opened = Bare::try_open(&disk(&begun), &dir(), ManualClock::at(start()));
            assert!(opened.is_ok(), "cut at {first} and {second}: {:?}", opened.err());
        }
    }
}
