//! The power goes at every operation of the disk, in turn.

use super::*;
use crate::disk::sim::SimDisk;

const DIR: &str = "store/archive";

fn open_on(disk: &SimDisk) -> Result<Archive, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Archive::open(&disk, Path::new(DIR), STORE, ArchiveTuning { partition_rows: 3, connections: 2 })
}

/// What was acknowledged: the gids inserted, and up to when was purged.
#[derive(Default)]
struct Done {
    inserted: Vec<String>,
    purged: u64,
}

/// Fills partitions by rows and by days, settles, and purges.
fn work(archive: &Archive) -> Done {
    let mut done = Done::default();
    for step in 1..=8_u64 {
        let names = [format!("{step}a"), format!("{step}b")];
        let txns = names.clone().map(|name| Arc::new(finished(&name, step, step)));
        if archive.insert(&txns, at(DAY * (1 + step / 6))).is_err() {
            break;
        }
        done.inserted.extend(names);
        if step % 3 == 0 && archive.settle().is_err() {
            break;
        }
        if step % 4 == 0 {
            // Stored elsewhere before any file goes.
            done.purged = step - 2;
            if archive.drop_purged(at(done.purged)).is_err() {
                break;
            }
        }
    }
    done
}

impl Done {
    /// Those that are not purged, with the time at which they became final.
    fn kept(&self) -> impl Iterator<Item = (&str, u64)> {
        let over = |name: &str| name[..1].parse().unwrap();
        self.inserted.iter().map(move |name| (&**name, over(name))).filter(|(_, over)| *over >= self.purged)
    }

    fn assert_kept(&self, archive: &Archive, context: &str) {
        for (name, over) in self.kept() {
            assert!(archive.may_hold(&gid(name)), "{name}, {context}");
            assert_eq!(archive.find(&gid(name), None).unwrap(), Some(finished(name, over, over)), "{context}");
        }
        let items = newest(archive, 99);
        let mut gids = names(&items);
        gids.sort_unstable();
        gids.dedup();
        assert_eq!(gids.len(), items.len(), "{context}");
        let findings = archive.check();
        assert!(findings.is_empty(), "{findings:?}, {context}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_operation() {
    let whole = SimDisk::new(0);
    work(&open_on(&whole).unwrap());
    let operations = whole.operations();
    assert!(operations > 100, "{operations}");
    for nth in 1..=operations {
        let disk = SimDisk::new(nth);
        disk.power_off_at(nth);
        let archive = open_on(&disk);
        let done = archive.as_ref().map_or_else(|_| Done::default(), work);
        let context = format!("cut at {nth}");
        let after = disk.after_power_cut(nth);
        let archive = open_on(&after).unwrap_or_else(|error| panic!("{context}: {error:?}"));
        done.assert_kept(&archive, &context);
        // It goes on: a replay repeats what it does not know to be done.
        for (name, over) in done.kept() {
            archive.insert(&[Arc::new(finished(name, over, over))], at(3 * DAY)).unwrap();
        }
        done.assert_kept(&archive, &context);
    }
}

/// After a failed sync, what can be read was never on the disk, and no later sync alone brings it there.
#[test]
fn what_was_acknowledged_survives_a_failed_sync_with_a_kill_and_a_power_cut_at_the_next_start() {
    let whole = SimDisk::new(0);
    work(&open_on(&whole).unwrap());
    for nth in 1..=whole.syncs() {
        let disk = SimDisk::new(nth);
        disk.fail_sync(nth);
        // Nothing is closed in an orderly way.
        let archive = open_on(&disk);
        let done = archive.as_ref().map_or_else(|_| Done::default(), work);
        let killed = disk.after_kill();
        drop(archive);
        // Every third operation, each time other ones, until the start comes to its end.
        for cut in (nth % 3 + 1..).step_by(3) {
            let starting = killed.snapshot();
            starting.power_off_at(cut);
            let is_whole = open_on(&starting).is_ok() && !starting.is_off();
            let context = format!("sync {nth}, cut at {cut}");
            let next = starting.after_power_cut(cut);
            let archive = open_on(&next).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            done.assert_kept(&archive, &context);
            if is_whole {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_from_a_failure_and_work_goes_on_when_there_is_room() {
    let disk = SimDisk::new(1);
    let archive = open_on(&disk).unwrap();
    insert(&archive, &["a", "b"], 1, DAY);
    disk.set_capacity(Some(disk.used() + 100));
    let txns = ["c", "d", "e"].map(|name| Arc::new(finished(name, 2, 2)));
    let refused = archive.insert(&txns, at(DAY));
    assert!(matches!(refused, Err(Failure::Full(_))), "{refused:?}");
    assert_eq!(names(&newest(&archive, 9)), ["b", "a"]);
    disk.set_capacity(None);
    archive.insert(&txns, at(DAY)).unwrap();
    assert_eq!(newest(&archive, 9).len(), 5);
}

#[test]
fn after_a_failed_sync_nothing_is_written_any_more() {
    let mut failures = 0;
    for nth in 1..=12 {
        let disk = SimDisk::new(nth);
        let archive = open_on(&disk).unwrap();
        insert(&archive, &["a"], 1, DAY);
        disk.fail_sync(nth);
        let insert = |name: &str| archive.insert(&[Arc::new(finished(name, 1, 1))], at(DAY));
        if let Some(failure) = (0..4).find_map(|step| insert(&format!("b{step}")).err()) {
            assert!(matches!(failure, Failure::Failed(_)), "sync {nth}: {failure:?}");
            failures += 1;
            assert!(insert("c").is_err(), "sync {nth}");
        }
    }
    assert!(failures > 2, "{failures}");
}
