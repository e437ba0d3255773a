//! The power goes at every operation of the disk, in turn.

use super::*;
use crate::disk::sim::SimDisk;

fn open_on(disk: &SimDisk) -> Result<Spill, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    disk.create_dir(Path::new("store")).map_err(|source| OpenError::Io { path: "store".into(), source })?;
    Spill::open(&disk, Path::new("store/unfinished.db"), STORE)
}

/// What is acknowledged: version by name, and the version of the only setting.
#[derive(Clone, Debug, Default, PartialEq)]
struct Done {
    versions: BTreeMap<String, u64>,
    setting: u64,
}

/// Saves and deletes. Returns what was acknowledged before the last step, and after it if it went well.
fn work(spill: &Spill) -> (Done, Done) {
    let mut after = Done::default();
    for step in 1..=6_u64 {
        let before = after.clone();
        after.setting = step;
        let names = [format!("{}", step % 4), format!("x{step}")];
        let txns = names.clone().map(|name| Arc::new(at_version(&name, step)));
        for name in names {
            after.versions.insert(name, step);
        }
        if spill.save(&txns, &[setting("only", Some((step, "value")))]).is_err() {
            return (before, after);
        }
        let before = after.clone();
        let gone = format!("x{}", step - 1);
        after.versions.remove(&gone);
        if spill.delete(&[gid(&gone), gid("absent")]).is_err() || (step % 2 == 0 && spill.settle().is_err()) {
            return (before, after);
        }
    }
    (after.clone(), after)
}

fn state(spill: &Spill) -> Done {
    let versions = spill.export(None, 99).unwrap().into_iter().map(|row| (row.txn.gid.to_string(), row.txn.version.0));
    let setting = spill.settings().unwrap().first().and_then(|found| found.value.as_ref().map(|value| value.0.0));
    let done = Done { versions: versions.collect(), setting: setting.unwrap_or(0) };
    assert!(done.versions.keys().all(|name| spill.may_hold(&gid(name))));
    assert_eq!(spill.info().rows, done.versions.len() as u64);
    let findings = spill.check();
    assert!(findings.is_empty(), "{findings:?}");
    done
}

#[test]
fn each_write_happens_altogether_or_not_at_all_at_every_power_cut_and_kill() {
    let whole = SimDisk::new(0);
    work(&open_on(&whole).unwrap());
    let operations = whole.operations();
    assert!(operations > 50, "{operations}");
    for nth in 1..=operations {
        let disk = SimDisk::new(nth);
        disk.power_off_at(nth);
        let spill = open_on(&disk);
        let (before, after) = spill.as_ref().map_or_else(|_| Default::default(), work);
        for next in [disk.after_power_cut(nth), disk.after_kill().after_power_cut(nth)] {
            let found = state(&open_on(&next).unwrap_or_else(|error| panic!("cut at {nth}: {error:?}")));
            assert!(found == before || found == after, "cut at {nth}: {found:?} is not {before:?} or {after:?}");
        }
    }
}

/// After a failed sync, what can be read was never on the disk, and no later sync alone brings it there.
#[test]
fn a_failed_sync_and_a_kill_and_a_power_cut_at_every_operation_of_the_next_start_leave_a_whole_database() {
    let whole = SimDisk::new(0);
    work(&open_on(&whole).unwrap());
    for nth in 1..=whole.syncs() {
        let disk = SimDisk::new(nth);
        disk.fail_sync(nth);
        // Nothing is closed in an orderly way.
        let spill = open_on(&disk);
        let (before, after) = spill.as_ref().map_or_else(|_| Default::default(), work);
        let killed = disk.after_kill();
        drop(spill);
        for cut in 1.. {
            let starting = killed.snapshot();
            starting.power_off_at(cut);
            let found = open_on(&starting).ok().filter(|_| !starting.is_off()).map(|spill| state(&spill));
            let next = starting.after_power_cut(cut);
            let context = format!("sync {nth}, cut at {cut}");
            let left = state(&open_on(&next).unwrap_or_else(|error| panic!("{context}: {error:?}")));
            assert!(left == before || left == after, "{context}: {left:?} is not {before:?} or {after:?}");
            if let Some(found) = found {
                assert_eq!(left, found, "{context}: what was read is durable");
                break;
            }
        }
    }
}

#[test]
fn a_refused_write_leaves_no_trace() {
    let disk = SimDisk::new(1);
    let spill = open_on(&disk).unwrap();
    save(&spill, &[at_version("a", 1)]);
    let expected = state(&spill);
    disk.set_capacity(Some(disk.used() + 100));
    let txns: Vec<_> = (0..40).map(|number| Arc::new(at_version(&format!("b{number}"), 1))).collect();
    let refused = spill.save(&txns, &[]);
    assert!(matches!(refused, Err(Failure::Full(_))), "{refused:?}");
    assert!(!spill.may_hold(&gid("b7")));
    assert_eq!(state(&spill), expected);
    disk.set_capacity(None);
    spill.save(&txns, &[]).unwrap();
    spill.delete(&[gid("b7")]).unwrap();
    assert!(!spill.may_hold(&gid("b7")) && spill.may_hold(&gid("b8")));
}
