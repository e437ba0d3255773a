//! What goes on while there is no room, and what comes back when there is.

use std::sync::Arc;

use escrow_store::StoredTxn;
use escrow_store::conformance::sample::{Sample, branch, gid, seconds, start};
use escrow_txn::Status;

use super::bare::{Bare, dir};
use crate::core::Outcome;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::log::AppendError;

fn opened() -> (SimDisk, Bare) {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let bare = Bare::open(&disk, &dir());
    (sim, bare)
}

fn fill(sim: &SimDisk) {
    sim.set_capacity(Some(sim.used()));
}

/// One that is over, with so many bytes.
fn committed(name: &str, bytes: usize) -> Sample {
    let mut sample = Sample::new(&gid(name)).committed(start().plus(seconds(1)));
    sample.def.branches[0] = branch("01", vec![b'x'; bytes]);
    sample
}

fn in_flight(name: &str) -> Sample {
    Sample::new(&gid(name))
}

#[test]
fn segments_make_room_while_the_archive_finds_none() {
    let (sim, bare) = opened();
    for number in 0..20 {
        bare.create(&committed(&format!("done {number}"), 3_000));
    }
    bare.archive_all();
    bare.keeper().settle().unwrap();
    // From this frame on nobody needs the segments before.
    bare.create(&committed("waits", 100_000));
    assert!(bare.core.segments.durable_first() > bare.core.segments.oldest(), "some can go");
    let (oldest, used) = (bare.core.segments.oldest(), sim.used());
    fill(&sim);
    bare.keeper().step(bare.core.clock.now()).unwrap_err();
    assert!(bare.core.segments.oldest() > oldest && sim.used() < used, "{} of {used} bytes", sim.used());
    bare.keeper().step(bare.core.clock.now()).unwrap();
    assert_eq!(bare.core.table().backlog(), 0, "which is enough for the archive");
}

#[test]
fn new_work_is_refused_while_the_log_is_full_and_what_is_in_progress_goes_on_first() {
    let (sim, bare) = opened();
    bare.create(&in_flight("a"));
    fill(&sim);
    let new = |number: usize| Bare::creation(&committed(&format!("new {number}"), 3_000));
    let refused = (0..99).find_map(|number| bare.write(&new(number)).err());
    assert!(matches!(refused, Some(AppendError::Full(_))), "{refused:?}");
    assert!(matches!(bare.write(&new(100)), Ok(Outcome::Busy)));
    bare.keeper().step(bare.core.clock.now()).unwrap_err();
    assert!(matches!(bare.write(&new(100)), Ok(Outcome::Busy)), "a step that found no room changes nothing");
    assert_eq!(bare.found("a"), Some((1, Status::Submitted)), "reads go on");

    bare.commit(&in_flight("a"), 1);
    sim.set_capacity(None);
    bare.keeper().step(bare.core.clock.now()).unwrap();
    assert!(matches!(bare.write(&new(100)), Ok(Outcome::Created)));
}

#[test]
fn new_work_is_refused_while_what_waits_for_the_archive_takes_much_memory() {
    let (sim, bare) = opened();
    let rows = 9;
    let bytes = StoredTxn::from(committed("0", 1_000_000).new_txn()).bytes();
    assert!(bare.core.tuning.backlog_bytes_max < rows * bytes, "the store of these tests has a small limit");
    bare.archive_all();
    // The log has room, the archive none.
    for number in 0..rows {
        let outcome = bare.write(&Bare::creation(&committed(&number.to_string(), 1_000_000))).unwrap();
        assert!(matches!(outcome, Outcome::Created), "{number}: {outcome:?}");
    }
    fill(&sim);
    bare.keeper().step(bare.core.clock.now()).unwrap_err();
    let new = Bare::creation(&in_flight("new"));
    assert!(matches!(bare.write(&new), Ok(Outcome::Busy)));
    sim.set_capacity(None);
    while bare.keeper().step(bare.core.clock.now()).unwrap() {}
    bare.keeper().step(bare.core.clock.now()).unwrap();
    assert!(matches!(bare.write(&new), Ok(Outcome::Created)));
}
