//! Backups of a store that goes on meanwhile: whatever moves or changes between their parts, a restore holds at least what was
//! acknowledged before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, gid, seconds, start};
use escrow_txn::{Status, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::bare::{Bare, Hooked, tuning};
use crate::core::Outcome;
use crate::disk::{Disk, RealDisk};
use crate::identity::{self, Found};
use crate::{backup, find};

/// What is known of a transaction at one time.
type Known = Option<(Timestamp, u64, Status)>;

/// A store, and everything that each gid has been, one after the other.
struct World {
    bare: Bare,
    rng: ChaCha8Rng,
    histories: BTreeMap<String, Vec<Known>>,
}

impl World {
    fn new(dir: &Path, seed: u64) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut tuning = tuning();
        tuning.archive.partition_rows = 3;
        tuning.archive_batch = 3;
        let bare = Bare::try_open_with(&disk, dir, ManualClock::at(start()), tuning).unwrap();
        Self { bare, rng: ChaCha8Rng::seed_from_u64(seed), histories: BTreeMap::new() }
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            match self.rng.random_range(0..20) {
                0..13 => self.write(),
                13..15 => self.bare.archive_all(),
                15..17 => self.bare.save_all(),
                17..19 => drop(self.bare.keeper().step(self.bare.core.clock.now()).unwrap()),
                _ => self.purge(),
            }
        }
    }

    fn write(&mut self) {
        let name = self.rng.random_range(0..8).to_string();
        let history = self.histories.entry(name.clone()).or_insert_with(|| vec![None]);
        let last = *history.last().unwrap();
        let now = self.bare.core.clock.now();
        let created_at = last.map_or(now, |(at, _, _)| at);
        let sample = Sample::new(&gid(&name)).created_at(created_at);
        let mut sample = match self.rng.random_range(0..5) {
            0 => sample,
            1 => sample.waiting(now.plus(seconds(9))),
            _ => sample.committed(now),
        };
        sample.def.custom_data = "x".repeat(self.rng.random_range(0..3_000));
        let status = sample.progress.status;
        match last {
            None => self.bare.create(&sample),
            Some((_, version, Status::Submitted)) => self.bare.commit(&sample, version),
            Some(_) => return self.bare.clock.advance(seconds(1)),
        }
        history.push(Some((created_at, last.map_or(1, |(_, version, _)| version + 1), status)));
    }

    fn purge(&mut self) {
        let version = self.bare.core.purged_version();
        let purgeable = self.bare.keeper().purgeable(self.bare.core.clock.now(), 3).unwrap();
        if purgeable.rows == 0 {
            return;
        }
        let request = self.bare.core.purge_request(purgeable.cut, version);
        assert!(matches!(self.bare.write(&request).unwrap(), Outcome::Setting(_)));
        self.bare.keeper().drop_purged().unwrap();
        for (name, history) in &mut self.histories {
            if history.last().is_some_and(Option::is_some) && self.bare.found(name).is_none() {
                history.push(None);
            }
        }
    }
}

/// Makes a backup; something happens between any two of its parts.
fn back_up(world: &Arc<Mutex<World>>, dir: &Path, to: &Path) {
    let hooked = Hooked::on(Arc::new(RealDisk));
    for part in ["/store/log/", "/store/log/", "/store/unfinished.db", "/store/archive/", "/store/archive/"] {
        let world = Arc::clone(world);
        hooked.before_opening(part, move || world.lock().unwrap().run(12));
    }
    let disk: Arc<dyn Disk> = hooked;
    disk.create_dir(to).unwrap();
    let Found::Store(id) = identity::find(&*disk, dir).unwrap() else { panic!("a store") };
    world.lock().unwrap().bare.pin(true);
    backup::copy(&disk, dir, to, id).unwrap();
    world.lock().unwrap().bare.pin(false);
    identity::write_backup(&*disk, to, id).unwrap();
}

fn assert_holds_what_was_or_came(restored: &Bare, before: &BTreeMap<String, usize>, world: &World, seed: u64) {
    for (name, history) in &world.histories {
        let found = find::find(&restored.core, &gid(name)).unwrap();
        let known: Known = found.as_ref().map(|found| {
            let txn = &found.txn;
            (txn.created_at, txn.version.0, txn.head.status)
        });
        let possible = &history[before.get(name).map_or(0, |length| length - 1)..];
        assert!(possible.contains(&known), "seed {seed}: {name} is {known:?} of {possible:?}");
        let is_unfinished = known.is_some_and(|(_, _, status)| !status.is_final());
        assert_eq!(found.is_some_and(|found| found.held), is_unfinished, "seed {seed}: {name}");
    }
    restored.clock.advance(seconds(1_000_000));
    assert_eq!(restored.claim(), [""; 0], "seed {seed}");
}

#[test]
fn a_backup_holds_at_least_what_was_acknowledged_before_it_began() {
    let mut moved = 0;
    for seed in 0..25 {
        let home = tempfile::tempdir().unwrap();
        let [dir, to, restored_dir] = ["store", "backup", "restored"].map(|name| home.path().join(name));
        let world = Arc::new(Mutex::new(World::new(&dir, seed)));
        world.lock().unwrap().run(40);
        let before: BTreeMap<String, usize> = {
            let histories = &world.lock().unwrap().histories;
            histories.iter().map(|(name, history)| (name.clone(), history.len())).collect()
        };
        back_up(&world, &dir, &to);
        backup::restore(&to, &restored_dir, &*ManualClock::at(start())).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let restored = Bare::open(&disk, &restored_dir);
        let world = world.lock().unwrap();
        assert_holds_what_was_or_came(&restored, &before, &world, seed);
        moved += world.histories.iter().filter(|(name, history)| before.get(*name) != Some(&history.len())).count();
        assert_holds_all_when_it_goes_on(&world, &dir);
    }
    assert!(moved > 50, "only {moved} transactions changed during their backup");
}

/// The store itself is as it was told.
fn assert_holds_all_when_it_goes_on(world: &World, dir: &Path) {
    assert!(dir.is_dir());
    for (name, history) in &world.histories {
        let known = history.last().unwrap().map(|(_, version, status)| (version, status));
        assert_eq!(world.bare.found(name), known, "{name}");
    }
}
