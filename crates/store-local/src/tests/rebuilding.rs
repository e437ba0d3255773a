//! A repair or a restore that is cut off: what there is can be used, or the same can be done again.

use std::path::Path;
use std::sync::Arc;

use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, gid, seconds, start};
use escrow_txn::Status;

use super::bare::{Bare, dir};
use crate::check::{look_at, repair_in_place};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::error::OpenError;
use crate::identity::{self, Found, StoreId};
use crate::rebuild::{self, Contents, Still};
use crate::{backup, find};

/// What a repair has led to.
type Repaired = (Contents, bool);

fn disk(sim: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(sim.clone())
}

fn opened(sim: &SimDisk) -> Result<Bare, OpenError> {
    Bare::try_open(&disk(sim), &dir(), ManualClock::at(start()))
}

fn id(sim: &SimDisk) -> StoreId {
    let Found::Store(id) = identity::find(sim, &dir()).unwrap() else { panic!("a store") };
    id
}

/// Transactions in every place, finished and not, and a setting, over several segments.
fn filled(sim: &SimDisk) -> Bare {
    let bare = opened(sim).unwrap();
    let waiting = |name: &str| Sample::new(&gid(name)).waiting(start().plus(seconds(60)));
    let committed = |name: &str| Sample::new(&gid(name)).committed(start().plus(seconds(1)));
    for name in ["saved", "revived", "ended"] {
        bare.create(&waiting(name));
    }
    bare.save_all();
    bare.create(&committed("archived"));
    bare.archive_all();
    bare.commit(&waiting("revived"), 1);
    bare.commit(&committed("ended"), 1);
    let mut large = committed("finished");
    large.def.custom_data = "x".repeat(9_000);
    bare.create(&large);
    bare.create(&Sample::new(&gid("in flight")));
    bare
}

const ALL: [(&str, u64, Status); 6] = [
    ("archived", 1, Status::Committed),
    ("ended", 2, Status::Committed),
    ("finished", 1, Status::Committed),
    ("in flight", 1, Status::Submitted),
    ("revived", 2, Status::Submitted),
    ("saved", 1, Status::Submitted),
];

fn assert_holds_all(bare: &Bare, is_held: bool) {
    for (name, version, status) in ALL {
        assert_eq!(bare.found(name), Some((version, status)), "{name}");
        let found = find::find(&bare.core, &gid(name)).unwrap().unwrap();
        assert_eq!(found.held, is_held && !status.is_final(), "{name}");
    }
    bare.clock.advance(seconds(60));
    let expected: &[&str] = if is_held { &[] } else { &["in flight", "revived", "saved"] };
    let mut due = bare.claim();
    due.sort();
    assert_eq!(due, expected);
}

fn repair(sim: &SimDisk) -> Result<Repaired, OpenError> {
    let id = id(sim);
    rebuild::complete(&disk(sim), &dir(), id)?;
    repair_in_place(&disk(sim), &dir(), id, &*ManualClock::at(start()))
        .map(|(_, contents, is_held)| (contents, is_held))
}

/// Cuts the power at every operation of `work`, and shows each time what is found then.
fn cut_everywhere(sim: &SimDisk, work: impl Fn(&SimDisk) -> Result<(), OpenError>, look: impl Fn(SimDisk, u64)) {
    for operation in 1.. {
        let cut = sim.snapshot();
        cut.power_off_at(operation);
        let worked = work(&cut);
        let is_off = cut.is_off();
        for seed in 0..3 {
            look(cut.after_power_cut(seed), operation);
        }
        if !is_off {
            worked.unwrap();
            assert!(operation > 20, "{operation} operations");
            return;
        }
    }
}

#[test]
fn a_repair_of_what_is_sound_can_be_cut_off_anywhere_and_nothing_is_lost_or_held() {
    let sim = SimDisk::new(1);
    drop(filled(&sim));
    let sim = sim.after_kill();
    cut_everywhere(
        &sim,
        |sim| repair(sim).map(drop),
        |sim, operation| {
            let sim_again = sim.snapshot();
            assert_holds_all(&opened(&sim).unwrap_or_else(|error| panic!("cut at {operation}: {error:?}")), false);
            let (contents, is_held) = repair(&sim_again).unwrap();
            assert_eq!((contents.unfinished, is_held), (3, false), "cut at {operation}");
            assert_holds_all(&opened(&sim_again).unwrap(), false);
        },
    );
}

#[test]
fn a_repair_of_what_is_damaged_can_be_cut_off_anywhere_and_done_again() {
    let sim = SimDisk::new(1);
    filled(&sim).stop();
    let before = sim.after_kill();
    // Damage that takes nothing with it: the first frame is empty.
    before.flip("/store/log/0000000000000001.log", 1, 1);
    cut_everywhere(
        &before,
        |sim| repair(sim).map(drop),
        |sim, operation| {
            match opened(&sim.snapshot()) {
                Err(OpenError::Damaged { .. }) => {
                    let (contents, is_held) = repair(&sim).unwrap();
                    assert_eq!((contents.unfinished, is_held), (3, true), "cut at {operation}");
                }
                opened => drop(opened.unwrap_or_else(|error| panic!("cut at {operation}: {error:?}"))),
            }
            assert_holds_all(&opened(&sim).unwrap(), true);
        },
    );
}

#[test]
fn a_restore_that_is_cut_off_is_no_store_or_a_whole_one() {
    let sim = SimDisk::new(1);
    drop(filled(&sim));
    let sim = sim.after_kill();
    let id = id(&sim);
    let restored = Path::new("/restored");
    backup::copy(&disk(&sim), &dir(), restored, id).unwrap();
    cut_everywhere(
        &sim,
        |sim| backup::restore_in_place(&disk(sim), restored, id, &*ManualClock::at(start())).map(drop),
        |sim, operation| {
            match Bare::try_open(&disk(&sim), restored, ManualClock::at(start())) {
                Ok(bare) => assert_holds_all(&bare, true),
                Err(OpenError::Gone { .. } | OpenError::Log { .. }) => {}
                Err(error) => panic!("cut at {operation}: {error:?}"),
            }
            assert_holds_all(&opened(&sim).unwrap(), false);
        },
    );
}

#[test]
fn a_log_with_records_of_a_newer_version_is_neither_repaired_nor_restored() {
    let sim = SimDisk::new(1);
    filled(&sim).append(&[200, 1, 0, 0, 0, 7]);
    let sim = sim.after_kill();
    let is_newer = |result: Result<(), OpenError>| matches!(result, Err(OpenError::Newer { .. }));
    assert!(is_newer(repair(&sim).map(drop)));
    let restored = Path::new("/restored");
    backup::copy(&disk(&sim), &dir(), restored, id(&sim)).unwrap();
    let clock = ManualClock::at(start());
    assert!(is_newer(backup::restore_in_place(&disk(&sim), restored, id(&sim), &*clock).map(drop)));
    let still = Still::read(&disk(&sim), &dir(), id(&sim), start()).unwrap();
    let checked = look_at(&dir(), &still);
    assert!(checked.is_sound() && checked.findings.iter().any(|finding| finding.what.contains("kind 200")));
    drop(still);
    assert_holds_all(&opened(&sim).unwrap(), false);
}
