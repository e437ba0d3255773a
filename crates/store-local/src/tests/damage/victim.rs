//! A store that has everything, and what it must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{WRITE, gid, start};
use escrow_store::{Clock, EncodedChange, NewTxn, OwnerEpoch, StoredTxn, Version};
use escrow_txn::{Gid, Status, Timestamp};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::core::{Core, Outcome, Request};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::open;
use crate::record::{self, SettingKey};
use crate::samples::{random_finished, random_unfinished};
use crate::tuning::Tuning;

pub(super) const DIR: &str = "/store";

/// Of a frame of the log.
const HEADER_BYTES: usize = 64;

/// Everything that a store can be asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) txns: BTreeMap<Gid, Arc<StoredTxn>>,
    pub(super) held: BTreeSet<Gid>,
    pub(super) settings: BTreeMap<SettingKey, (Version, Bytes)>,
    pub(super) purged_before: Timestamp,
}

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Stopped,
    Killed,
}

/// A store that nobody has open.
pub(super) struct Victim {
    pub(super) disk: SimDisk,
    /// What it holds without the last frames, the newest first: with all of them, without the last one, and so on.
    pub(super) contents: Vec<Contents>,
    /// Gids that were never there, or have been purged.
    pub(super) absent: Vec<Gid>,
    /// Where the last frames stand, the newest first; none if a clean stop protects them.
    pub(super) last_frames: Vec<(String, Range<u64>)>,
}

/// A store that is being filled.
struct Filling {
    clock: Arc<ManualClock>,
    rng: ChaCha8Rng,
    core: Arc<Core>,
    log: Log,
    keeper: Keeper,
    contents: Contents,
    purged: Vec<Gid>,
}

pub(super) fn tuning() -> Tuning {
    let mut tuning = Tuning {
        archive_batch: 4,
        save_batch: 4,
        log_bytes_kept: 0,
        segments_kept: 0,
        timers_chunk: 3,
        ..Tuning::default()
    };
    tuning.log.segment_min = 16 * 1024;
    tuning.log.segment_max = 16 * 1024;
    tuning.archive.partition_rows = 9;
    tuning
}

/// Opens the store on a disk, which is far in the future by then; the error as a text.
pub(super) fn open_on(disk: &SimDisk) -> Result<(Arc<Core>, Log), String> {
    let clock = ManualClock::at(start().plus(Duration::from_secs(90_000_000)));
    open_at(disk, clock).map_err(|error| escrow_store::error_chain(&error))
}

fn open_at(disk: &SimDisk, clock: Arc<dyn Clock>) -> Result<(Arc<Core>, Log), crate::OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    open::open(&disk, Path::new(DIR), clock, tuning())
}

impl Victim {
    pub(super) fn new(end: End) -> Self {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new(DIR)).unwrap();
        let clock = ManualClock::at(start());
        let (core, log) = open_at(&disk, clock.clone()).unwrap();
        let keeper = Keeper::new(Arc::clone(&core), Box::new(|| Some(Box::new(()))));
        let (rng, contents) = (ChaCha8Rng::seed_from_u64(1), Contents::default());
        let mut filling = Filling { clock, rng, core, log, keeper, contents, purged: Vec::new() };
        filling.archive_some();
        filling.spill_some();
        filling.move_some();
        let mut contents = filling.last_frames();
        contents.reverse();
        let Filling { core, log, keeper, mut purged, .. } = filling;
        assert!(core.spill.info().rows > 8 && core.spill.info().held == 2 && core.archive.info().partitions > 2);
        let disk = match end {
            End::Killed => disk.after_kill(),
            End::Stopped => {
                log.stop(core.first_needed()).unwrap();
                disk.clone()
            }
        };
        drop((core, keeper));
        purged.push(gid("never there"));
        let disk = disk.snapshot();
        let last_frames = if end == End::Killed { last_frames(&disk, contents.len() - 1) } else { Vec::new() };
        let victim = Self { disk, contents, absent: purged, last_frames };
        let has = |part: &str| victim.files().iter().any(|(path, bytes)| path.contains(part) && *bytes > 0);
        assert!(has("spare-") && has(".db-wal") == (end == End::Killed), "{:?}", victim.files());
        victim
    }

    /// All files, with their lengths.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        let dirs = [DIR.to_owned(), format!("{DIR}/log"), format!("{DIR}/archive")];
        let paths =
            dirs.iter().flat_map(|dir| self.disk.names(dir).into_iter().map(move |name| format!("{dir}/{name}")));
        paths.map(|path| (path.clone(), self.disk.read(path).unwrap().len() as u64)).collect()
    }
}

impl Filling {
    /// Partitions that are closed, one that is not, and one that was purged.
    fn archive_some(&mut self) {
        for number in 0..32 {
            self.clock.advance(Duration::from_secs(5_000));
            let over = self.clock.now().as_micros();
            let txn = random_finished(&mut self.rng, &format!("finished {number}"), over);
            self.create(txn);
            if number % 4 == 3 {
                self.keep();
            }
            if number == 14 {
                self.purge();
            }
        }
    }

    /// Unfinished ones of every kind that nothing in the log tells of any more, two of them on hold, and settings.
    fn spill_some(&mut self) {
        for number in 0..14 {
            self.create_unfinished(&format!("spilled {number}"), 300);
        }
        for number in 0..4 {
            self.set("topics", &format!("topic {number}"), Some("saved"));
        }
        for number in 0..5 {
            self.create_unfinished(&format!("pushing {number}"), 3_000);
            self.keep();
        }
        let held = ["held 1", "held 2"].map(|name| self.unfinished(name, 40));
        self.core.spill.save_held(&held).unwrap();
        // As a restore ends: no log tells of it.
        self.core.spill.settle().unwrap();
        for txn in held {
            self.contents.held.insert(txn.gid.clone());
            self.contents.txns.insert(txn.gid.clone(), Arc::new(txn));
        }
    }

    /// Spilled ones that have changed or are over since, and what only the log tells of.
    fn move_some(&mut self) {
        for number in 0..6 {
            let is_over = number % 2 == 0;
            self.change(&gid(&format!("spilled {number}")), is_over);
            if number == 2 {
                self.keep();
            }
        }
        self.set("topics", "topic 0", Some("changed"));
        self.set("topics", "topic 1", None);
        for number in 0..4 {
            self.create_unfinished(&format!("live {number}"), 100);
        }
        let now = self.clock.now().as_micros();
        let txn = random_finished(&mut self.rng, "over, not archived", now);
        self.create(txn);
    }

    /// Frames of more than a page, so that no page has a part of more than two.
    fn last_frames(&mut self) -> Vec<Contents> {
        let mut contents = vec![self.contents.clone()];
        for number in 0..3 {
            self.create_unfinished(&format!("last {number}"), 5_000);
            contents.push(self.contents.clone());
        }
        contents
    }

    fn unfinished(&mut self, name: &str, payload: usize) -> StoredTxn {
        let now = self.clock.now();
        let mut txn = random_unfinished(&mut self.rng, name);
        txn.version = Version::FIRST;
        txn.created_at = now;
        txn.head.next_run_at = txn.head.next_run_at.map(|at| now.plus(Duration::from_secs(at.as_micros() * 40)));
        // Not a record; nobody decodes it here.
        txn.definition = Bytes::from(vec![b'x'; payload]);
        txn
    }

    fn create_unfinished(&mut self, name: &str, payload: usize) {
        let txn = self.unfinished(name, payload);
        self.create(txn);
    }

    fn create(&mut self, txn: StoredTxn) {
        let txn = StoredTxn { version: Version::FIRST, write: WRITE, ..txn };
        assert!(matches!(create(&self.core, &mut self.log, &txn, None), Outcome::Created));
        self.contents.txns.insert(txn.gid.clone(), Arc::new(txn));
    }

    fn change(&mut self, gid: &Gid, is_over: bool) {
        let stands = Arc::clone(&self.contents.txns[gid]);
        let mut head = stands.head.clone();
        head.updated_at = self.clock.now();
        if is_over {
            (head.status, head.finished_at) = (Status::Committed, Some(self.clock.now()));
            (head.next_run_at, head.owner) = (None, None);
        } else {
            (head.next_run_at, head.owner) = (None, Some(OwnerEpoch(9)));
        }
        let change = EncodedChange {
            gid: gid.clone(),
            expected: stands.version,
            write: WRITE,
            head,
            progress: Bytes::from_static(b"further"),
            added: Bytes::new(),
            history: Bytes::from_static(b"history"),
        };
        let elsewhere = Some((Some(Arc::clone(&stands)), self.core.table().moves.mark()));
        let mut row = StoredTxn::clone(&stands);
        row.apply(&change);
        let record = Bytes::from(record::changed(&change));
        let request = Request::Commit { change: Arc::new(change), record, elsewhere };
        let outcome = self.core.write(&mut self.log, &[&request]).unwrap();
        assert!(matches!(outcome[..], [Outcome::Committed(_)]), "{outcome:?}");
        self.contents.txns.insert(gid.clone(), Arc::new(row));
    }

    fn set(&mut self, category: &str, key: &str, value: Option<&'static str>) {
        let at = (category.to_owned(), key.to_owned());
        let expected = self.contents.settings.get(&at).map(|(version, _)| *version);
        let value = value.map(Bytes::from);
        let request = Request::Setting { at: at.clone(), value: value.clone(), expected };
        let outcome = self.core.write(&mut self.log, &[&request]).unwrap();
        match (&outcome[..], value) {
            ([Outcome::Setting(Some(version))], Some(value)) => {
                self.contents.settings.insert(at, (*version, value));
            }
            ([Outcome::Setting(None)], None) => drop(self.contents.settings.remove(&at)),
            _ => panic!("{outcome:?}"),
        }
    }

    fn keep(&mut self) {
        while self.keeper.step(self.clock.now()).unwrap() {}
    }

    fn purge(&mut self) {
        let purgeable = self.keeper.purgeable(self.clock.now(), 10).unwrap();
        let request = self.core.purge_request(purgeable.cut, None);
        self.core.write(&mut self.log, &[&request]).unwrap();
        self.keeper.drop_purged().unwrap();
        self.contents.purged_before = purgeable.cut;
        let before = self.contents.txns.len();
        self.contents.txns.retain(|gid, txn| {
            let is_kept = txn.head.finished_at.is_none_or(|at| at >= purgeable.cut);
            if !is_kept {
                self.purged.push(gid.clone());
            }
            is_kept
        });
        assert_eq!(before - self.contents.txns.len(), purgeable.rows as usize);
    }
}

/// Where the last frames with data stand, the newest first.
fn last_frames(disk: &SimDisk, count: usize) -> Vec<(String, Range<u64>)> {
    let mut frames = Vec::new();
    for name in disk.names(format!("{DIR}/log")).into_iter().filter(|name| !name.starts_with("spare")) {
        let path = format!("{DIR}/log/{name}");
        let bytes = disk.read(&path).unwrap();
        for at in (0..bytes.len() - HEADER_BYTES).step_by(8).filter(|at| bytes[*at..].starts_with(b"EsLg\x01\x01")) {
            let sequence = u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap());
            let length = u32::from_le_bytes(bytes[at + 52..at + 56].try_into().unwrap()) as usize;
            frames.push((sequence, path.clone(), at as u64..(at + HEADER_BYTES + length) as u64));
        }
    }
    frames.sort_by_key(|(sequence, ..)| std::cmp::Reverse(*sequence));
    frames.into_iter().take(count).map(|(_, path, range)| (path, range)).collect()
}

/// Asks for the creation of a transaction; `absent_since` as in [`Request::Create`].
pub(super) fn create(core: &Core, log: &mut Log, txn: &StoredTxn, absent_since: Option<u64>) -> Outcome {
    let StoredTxn { gid, pattern, created_at, business_key, write, head, definition, progress, .. } = txn.clone();
    let new = NewTxn { gid, pattern, created_at, business_key, write, head, definition, progress };
    let record = Bytes::from(record::created(&new));
    let request = Request::Create { new: Arc::new(new.into()), record, absent_since };
    core.write(log, &[&request]).unwrap().pop().unwrap()
}
