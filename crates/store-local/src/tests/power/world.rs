use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, branch, gid, limit, start};
use escrow_store::{Change, Clock, EncodedChange, Head, ListQuery, OwnerEpoch, StoredTxn, Version, WriteId};
use escrow_txn::{Gid, Status, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::asked::{Asked, What};
use super::counts::Counts;
use super::model::{Model, is_purged};
use crate::core::{Core, Outcome, Request};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::identity::{self, Found, StoreId};
use crate::keeper::{Keeper, KeeperError};
use crate::log::{AppendError, Log};
use crate::record::{self, SettingKey};
use crate::tuning::Tuning;
use crate::{backup, find, list, open};

mod asking;

const DIR: &str = "/store";
const BACKUP: &str = "/backup";
/// Few, so that they meet again in every state.
const GIDS: u32 = 40;

/// How a life of the store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PowerCut,
    Kill,
    FailedSync,
    CleanStop,
}

/// A step could not be made, because of the fault that was planned.
#[derive(Debug)]
struct Down;

pub(super) struct World {
    seed: u64,
    rng: ChaCha8Rng,
    clock: Arc<ManualClock>,
    disk: SimDisk,
    store: Option<Life>,
    end: End,
    is_disk_full: bool,
    writes: u64,
    model: Model,
    pub(super) counts: Counts,
}

struct Life {
    core: Arc<Core>,
    log: Log,
    keeper: Keeper,
}

fn tuning() -> Tuning {
    let mut tuning = Tuning {
        archive_batch: 6,
        save_batch: 4,
        backlog_max: 1_000,
        log_bytes_kept: 24 * 1024,
        segments_kept: 3,
        timers_chunk: 3,
        ..Tuning::default()
    };
    tuning.log.segment_min = 4 * 1024;
    tuning.log.segment_max = 16 * 1024;
    tuning.archive.partition_rows = 12;
    tuning
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            clock: ManualClock::at(start()),
            disk: SimDisk::new(seed),
            store: None,
            end: End::PowerCut,
            is_disk_full: false,
            writes: 0,
            model: Model::default(),
            counts: Counts::default(),
        };
        world.recover();
        world
    }

    /// A random load until the planned end.
    pub(super) fn live_until_it_ends(&mut self) {
        self.plan_the_end();
        let steps = self.rng.random_range(5..40);
        for _ in 0..steps {
            if self.step().is_err() {
                break;
            }
        }
        self.free_disk();
        self.stop();
    }

    fn plan_the_end(&mut self) {
        self.end = match self.rng.random_range(0..20) {
            0 => End::CleanStop,
            1..3 => End::Kill,
            3..5 => End::FailedSync,
            _ => End::PowerCut,
        };
        match self.end {
            End::PowerCut => self.disk.power_off_at(self.rng.random_range(1..150)),
            End::FailedSync => self.disk.fail_sync(self.rng.random_range(1..20)),
            End::Kill | End::CleanStop => {}
        }
    }

    /// The end of this life, and what the next one finds.
    fn stop(&mut self) {
        let Some(Life { core, log, keeper }) = self.store.take() else { return };
        let next_seed = self.rng.next_u64();
        match self.end {
            End::CleanStop => {
                log.stop(core.first_needed()).unwrap();
                self.counts.clean_stops += 1;
            }
            End::Kill => {
                self.counts.kills += 1;
                let next = self.disk.after_kill();
                drop(std::mem::replace(&mut self.disk, next));
            }
            // The system goes on after a failed sync, or does not.
            End::FailedSync if next_seed.is_multiple_of(2) => {
                self.counts.failed_syncs += 1;
                let next = self.disk.after_kill();
                drop(std::mem::replace(&mut self.disk, next));
            }
            End::FailedSync | End::PowerCut => self.cut(next_seed),
        }
        drop((core, keeper));
    }

    fn cut(&mut self, seed: u64) {
        self.counts.cuts += 1;
        let next = self.disk.after_power_cut(seed);
        drop(std::mem::replace(&mut self.disk, next));
    }

    /// Copies the store, which is not running, and looks at what a restore of the copy holds. Perhaps the power is cut
    /// meanwhile, which is the store's business.
    pub(super) fn back_up(&mut self) {
        let Ok(Found::Store(id)) = identity::find(&self.disk, Path::new(DIR)) else { return };
        if self.rng.random_range(0..2) == 0 {
            self.disk.power_off_at(self.rng.random_range(1..80));
        }
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let copied = self.clear_backup().and_then(|()| {
            backup::copy(&disk, Path::new(DIR), Path::new(BACKUP), id)
                .map_err(|error| escrow_store::error_chain(&error))
        });
        match copied {
            Ok(_) if !self.disk.is_off() => {
                self.disk.power_off_at(u64::MAX);
                self.look_at_the_backup(id);
                self.counts.backups += 1;
            }
            copied => {
                assert!(self.disk.is_off(), "seed {}: a backup: {}", self.seed, copied.unwrap_err());
                self.counts.backups_cut += 1;
                let seed = self.rng.next_u64();
                self.cut(seed);
            }
        }
    }

    fn clear_backup(&self) -> Result<(), String> {
        for dir in ["/backup", "/backup/log", "/backup/archive"] {
            let clear = || {
                self.disk.create_dir(Path::new(dir))?;
                let names = self.disk.list(Path::new(dir))?;
                names.iter().try_for_each(|name| self.disk.remove(&Path::new(dir).join(name)))
            };
            clear().map_err(|error: std::io::Error| error.to_string())?;
        }
        Ok(())
    }

    fn look_at_the_backup(&self, id: StoreId) {
        let sim = self.disk.snapshot();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let dir = Path::new(BACKUP);
        backup::restore_in_place(&disk, dir, id, &*self.clock).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(sim.after_power_cut(self.seed));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (core, _log) = open::open(&disk, dir, clock, tuning()).unwrap();
        for (gid, known) in &self.model.txns {
            let found = find::find(&core, gid).unwrap();
            let is_held = found.as_ref().is_some_and(|found| found.held);
            let found = found.map(|found| found.txn);
            assert!(
                known.is_possible(&found, core.purged_before()),
                "seed {}: {gid} in a backup: {found:?}",
                self.seed
            );
            let is_unfinished = found.is_some_and(|row| !row.head.status.is_final());
            assert_eq!(is_held, is_unfinished, "seed {}: {gid} in a backup", self.seed);
        }
        assert!(core.table().schedule.is_empty(), "seed {}: nothing of a backup is due", self.seed);
        assert!(core.spill.due(None, 9).unwrap().is_empty());
        for (at, known) in &self.model.settings {
            assert!(known.is_possible(core.table().setting(at)), "seed {}: {at:?} in a backup", self.seed);
        }
    }

    /// Starts the store, however often the power is cut meanwhile, and looks at all it holds.
    pub(super) fn recover(&mut self) {
        loop {
            let is_cut = self.rng.random_range(0..4) == 0;
            if is_cut {
                self.disk.power_off_at(self.rng.random_range(1..60));
            }
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
            let opened = disk.create_dir(Path::new(DIR)).map_err(|error| error.to_string()).and_then(|()| {
                open::open(&disk, Path::new(DIR), clock, tuning()).map_err(|error| escrow_store::error_chain(&error))
            });
            match opened {
                Ok((core, log)) if !self.disk.is_off() => {
                    self.disk.power_off_at(u64::MAX);
                    let keeper = Keeper::new(Arc::clone(&core), Box::new(|| Some(Box::new(()))));
                    self.store = Some(Life { core, log, keeper });
                    self.look_at_everything();
                    return;
                }
                opened => {
                    assert!(
                        self.disk.is_off(),
                        "seed {}: sound and refused: {}",
                        self.seed,
                        opened.err().unwrap_or_default()
                    );
                    self.counts.cuts_in_recovery += 1;
                    let seed = self.rng.next_u64();
                    self.cut(seed);
                }
            }
        }
    }

    fn free_disk(&mut self) {
        if std::mem::take(&mut self.is_disk_full) {
            self.disk.set_capacity(None);
        }
    }

    fn step(&mut self) -> Result<(), Down> {
        match self.rng.random_range(0..100) {
            0..60 => self.write_some(),
            60..66 => self.archive(),
            66..72 => self.save(),
            72..84 => self.keep(),
            84..88 => self.purge(),
            88..94 => {
                let by = [1, 10, 600, 90_000][self.rng.random_range(0..4)];
                self.clock.advance(Duration::from_secs(by));
                Ok(())
            }
            94..97 => self.claim(),
            97 => {
                self.disk.set_short_reads(self.rng.random_range(0..2) == 0);
                Ok(())
            }
            _ => {
                if self.is_disk_full {
                    self.free_disk();
                } else {
                    self.is_disk_full = true;
                    self.counts.full_disks += 1;
                    self.disk.set_capacity(Some(self.disk.used() + self.rng.random_range(0..6_000)));
                }
                Ok(())
            }
        }
    }

    fn life(&mut self) -> &mut Life {
        self.store.as_mut().unwrap()
    }

    /// A failure has to come from the fault that was planned.
    fn judge<T>(&mut self, result: Result<T, KeeperError>) -> Result<Option<T>, Down> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let is_planned = self.disk.is_off() || self.end == End::FailedSync;
                assert!(is_planned || self.is_disk_full, "seed {}: {}", self.seed, escrow_store::error_chain(&error));
                if is_planned || error.is_fatal() { Err(Down) } else { Ok(None) }
            }
        }
    }

    fn archive(&mut self) -> Result<(), Down> {
        let now = self.clock.now();
        let before = self.life().core.table().backlog();
        let archived = self.life().keeper.archive(now);
        self.judge(archived)?;
        let after = self.life().core.table().backlog();
        self.counts.archived += (before - after) as u64;
        Ok(())
    }

    fn save(&mut self) -> Result<(), Down> {
        let saved = self.life().keeper.save();
        if self.judge(saved)? == Some(true) {
            self.counts.saved += 1;
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Down> {
        let now = self.clock.now();
        let oldest = self.life().core.segments.oldest().0;
        let result = self.life().keeper.step(now);
        self.judge(result)?;
        self.counts.retired += self.life().core.segments.oldest().0 - oldest;
        Ok(())
    }

    fn purge(&mut self) -> Result<(), Down> {
        let final_before =
            Timestamp::from_micros(self.clock.now().as_micros() - self.rng.random_range(0..200_000_000_000));
        let limit = self.rng.random_range(1..30);
        let version = self.life().core.purged_version();
        let purgeable = self.life().keeper.purgeable(final_before, limit);
        let Some(purgeable) = self.judge(purgeable)? else { return Ok(()) };
        if purgeable.rows == 0 {
            return Ok(());
        }
        let expected = self.model.txns.values().filter_map(|known| known.acknowledged.as_ref());
        let expected = expected.filter(|row| is_purged(row, purgeable.cut)).count() as u64;
        assert_eq!(purgeable.rows, expected, "seed {}: what is to be purged", self.seed);
        let request = self.life().core.purge_request(purgeable.cut, version);
        self.model.purge_attempted = Some(purgeable.cut);
        match self.write(&[request])?.as_deref() {
            Some([Outcome::Setting(_)]) => self.model.purge(purgeable.cut),
            Some(other) => panic!("{other:?}"),
            None => {
                self.model.purge_attempted = None;
                return Ok(());
            }
        }
        self.counts.purged += purgeable.rows;
        let dropped = self.life().keeper.drop_purged();
        self.judge(dropped)?;
        Ok(())
    }

    /// Claims what is due, and gives it back: drivers that end.
    fn claim(&mut self) -> Result<(), Down> {
        let now = self.clock.now();
        let refilled = self.life().keeper.refill(now);
        self.judge(refilled)?;
        let mut table = self.life().core.table();
        for (gid, _) in table.schedule.claim(now, 5) {
            table.schedule.release(&gid, now.plus(Duration::from_secs(7)), now);
        }
        Ok(())
    }

    /// One batch. `None`: there was no room, and nothing happened.
    fn write(&mut self, requests: &[Request]) -> Result<Option<Vec<Outcome>>, Down> {
        let Life { core, log, .. } = self.store.as_mut().unwrap();
        let requests: Vec<&Request> = requests.iter().collect();
        match core.write(log, &requests) {
            Ok(outcomes) => Ok(Some(outcomes)),
            Err(AppendError::Full(error)) => {
                assert!(self.is_disk_full || self.disk.is_off(), "seed {}: {error}", self.seed);
                Ok(None)
            }
            Err(error) => {
                let is_planned = self.disk.is_off() || self.end == End::FailedSync;
                assert!(is_planned, "seed {}: {error}", self.seed);
                Err(Down)
            }
        }
    }

    /// A batch of random requests; those that have to look elsewhere are asked again.
    fn write_some(&mut self) -> Result<(), Down> {
        let mut asked: Vec<Asked> = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            let ask = self.ask();
            // One request for each gid and setting: the model does not look into batches.
            if asked.iter().all(|other| other.name != ask.name) {
                asked.push(ask);
            }
        }
        while !asked.is_empty() {
            asked.iter().for_each(|ask| ask.attempt(&mut self.model));
            let requests: Vec<Request> = asked.iter().map(Asked::request).collect();
            let Some(outcomes) = self.write(&requests)? else {
                asked.iter().for_each(|ask| ask.withdraw(&mut self.model));
                return Ok(());
            };
            let mut again = Vec::new();
            for (mut ask, outcome) in asked.into_iter().zip(outcomes) {
                if matches!(outcome, Outcome::LookElsewhere) {
                    ask.withdraw(&mut self.model);
                    if !self.look_elsewhere(&mut ask) {
                        return Err(Down);
                    }
                    match (&ask.what, &ask.elsewhere) {
                        // Its caller knows enough.
                        (What::Create { .. }, Some((Some(found), _))) => {
                            let found = Arc::clone(found);
                            self.accept(&ask, Outcome::Exists(found));
                        }
                        _ => again.push(ask),
                    }
                } else {
                    self.counts.acknowledged += 1;
                    self.accept(&ask, outcome);
                }
            }
            asked = again;
        }
        Ok(())
    }

    /// What a caller does. Whether the disk still answers.
    fn look_elsewhere(&mut self, ask: &mut Asked) -> bool {
        let gid = gid(&ask.name);
        let core = Arc::clone(&self.life().core);
        match find::elsewhere(&core, &gid) {
            Ok((found, mark)) => {
                let found = found.map(|found| found.txn);
                if found.as_ref().is_some_and(|found| !found.head.status.is_final()) {
                    self.counts.revived += 1;
                }
                ask.elsewhere = Some((found, mark));
                true
            }
            Err(error) => {
                assert!(self.disk.is_off(), "seed {}: {error}", self.seed);
                false
            }
        }
    }

    fn accept(&mut self, ask: &Asked, outcome: Outcome) {
        let stands = self.model.acknowledged(&gid(&ask.name)).map(|row| row.version);
        match (&ask.what, outcome) {
            (What::Create { .. }, Outcome::Created) => {
                assert_eq!(stands, None, "seed {}: {} was taken", self.seed, ask.name);
                ask.acknowledge(&mut self.model);
                if ask.is_reused {
                    self.counts.reused += 1;
                }
            }
            (What::Create { .. }, Outcome::Busy) => {
                ask.withdraw(&mut self.model);
                assert!(self.counts.full_disks > 0, "seed {}: the disk was never full", self.seed);
            }
            (What::Create { .. }, Outcome::Exists(found)) => {
                ask.withdraw(&mut self.model);
                let known = self.model.acknowledged(&gid(&ask.name));
                assert_eq!(known, Some(&found), "seed {}: what stands", self.seed);
            }
            (What::Commit { row, .. }, Outcome::Committed(version)) => {
                assert_eq!(version, row.version);
                ask.acknowledge(&mut self.model);
            }
            (What::Commit { change, .. }, Outcome::Conflict(current)) => {
                ask.withdraw(&mut self.model);
                assert!(stands == current && stands != Some(change.expected), "seed {}: {}", self.seed, ask.name);
            }
            (What::Setting { .. }, Outcome::Setting(_)) => ask.acknowledge(&mut self.model),
            (What::Setting { .. }, Outcome::SettingConflict(current)) => {
                ask.withdraw(&mut self.model);
                let known = self.model.settings.get(&ask.setting()).and_then(|known| known.acknowledged.as_ref());
                assert_eq!(known.map(|(version, _)| *version), current, "seed {}", self.seed);
            }
            (_, outcome) => panic!("seed {}: {} led to {outcome:?}", self.seed, ask.name),
        }
    }

    /// Everything that the store holds has to be what the model knows.
    fn look_at_everything(&mut self) {
        let core = Arc::clone(&self.life().core);
        let purged_before = core.purged_before();
        let is_possible =
            purged_before == self.model.purged_before || Some(purged_before) == self.model.purge_attempted;
        assert!(is_possible, "seed {}: purged before {purged_before}", self.seed);
        if purged_before > self.model.purged_before {
            self.model.purge(purged_before);
        }
        self.model.purge_attempted = None;
        let gids: Vec<Gid> = (0..GIDS).map(|number| gid(&format!("gid-{number}"))).collect();
        for gid in &gids {
            let here = core.table().get(gid).cloned();
            let found = here.or_else(|| {
                let archived = core.archive.find(gid, Some(purged_before)).unwrap();
                archived.or_else(|| core.spill.find(gid).unwrap().map(|spilled| spilled.txn)).map(Arc::new)
            });
            self.model.settle(gid, found);
        }
        let keys: Vec<SettingKey> = self.model.settings.keys().cloned().collect();
        for at in keys {
            self.model.settle_setting(&at, core.table().setting(&at));
        }
        self.look_at_the_list(&core);
    }

    fn look_at_the_list(&self, core: &Core) {
        let mut listed = Vec::new();
        let mut query = ListQuery::newest(limit(7));
        loop {
            let page = list::list(core, &query).unwrap();
            listed.extend(page.items);
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        let mut expected: Vec<_> = self.model.txns.values().filter_map(|known| known.acknowledged.as_ref()).collect();
        expected.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.gid.clone())));
        let expected: Vec<_> = expected.iter().map(|row| row.summary()).collect();
        for (listed, expected) in listed.iter().zip(&expected) {
            assert_eq!(listed, expected, "seed {}", self.seed);
        }
        assert_eq!(listed.len(), expected.len(), "seed {}", self.seed);
    }

    /// Whatever waits for a time comes up, and whatever was in flight at the last start.
    pub(super) fn ends_well(&mut self) {
        self.end = End::CleanStop;
        self.stop();
        self.recover();
        self.clock.advance(Duration::from_secs(1_000_000));
        let now = self.clock.now();
        let mut claimed = BTreeSet::new();
        loop {
            let Life { core, keeper, .. } = self.store.as_ref().unwrap();
            keeper.refill(now).unwrap();
            let mut table = core.table();
            let due = table.schedule.claim(now, 4);
            if due.is_empty() && !table.far.hides_next(table.schedule.next_due_at()) {
                break;
            }
            for (gid, _) in due {
                assert!(claimed.insert(gid.clone()), "seed {}: {gid} came up twice", self.seed);
            }
        }
        let known = self.model.txns.values().filter_map(|known| known.acknowledged.as_ref());
        let comes_up = |row: &&Arc<StoredTxn>| {
            !row.head.status.is_final() && (row.head.owner.is_some() || row.head.next_run_at.is_some())
        };
        let expected: BTreeSet<Gid> = known.filter(comes_up).map(|row| row.gid.clone()).collect();
        assert_eq!(claimed, expected, "seed {}: what comes up", self.seed);
    }
}
