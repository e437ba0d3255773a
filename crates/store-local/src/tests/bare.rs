//! A store without its threads: a test makes every step, and can make one in the middle of another.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{Sample, gid, start};
use escrow_store::{EncodedChange, StoredTxn, Version};
use escrow_txn::Status;
use rusqlite::Connection;

use crate::core::{Core, Outcome, Request};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::keeper::Keeper;
use crate::log::{AppendError, Log};
use crate::tuning::Tuning;
use crate::{find, open, record};

/// A store. Clones are handles on the same one.
#[derive(Clone)]
pub(super) struct Bare {
    pub(super) core: Arc<Core>,
    pub(super) clock: Arc<ManualClock>,
    log: Arc<Mutex<Log>>,
    is_pinned: Arc<AtomicBool>,
}

/// Small segments, all of them to be cleared.
pub(super) fn tuning() -> Tuning {
    let mut tuning = Tuning { log_bytes_kept: 0, segments_kept: 0, backlog_bytes_max: 4_000_000, ..Tuning::default() };
    tuning.log.segment_min = 8 * 1024;
    tuning.log.segment_max = 8 * 1024;
    tuning
}

impl Bare {
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Self {
        Self::try_open(disk, dir, ManualClock::at(start())).unwrap()
    }

    pub(super) fn try_open(disk: &Arc<dyn Disk>, dir: &Path, clock: Arc<ManualClock>) -> Result<Self, OpenError> {
        Self::try_open_with(disk, dir, clock, tuning())
    }

    pub(super) fn try_open_with(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        clock: Arc<ManualClock>,
        tuning: Tuning,
    ) -> Result<Self, OpenError> {
        disk.create_dir(dir).unwrap();
        let (core, log) = open::open(disk, dir, Arc::clone(&clock) as Arc<_>, tuning)?;
        Ok(Self { core, clock, log: Arc::new(Mutex::new(log)), is_pinned: Arc::default() })
    }

    pub(super) fn keeper(&self) -> Keeper {
        let is_pinned = Arc::clone(&self.is_pinned);
        let may_remove = move || (!is_pinned.load(SeqCst)).then(|| Box::new(()) as Box<dyn Send>);
        Keeper::new(Arc::clone(&self.core), Box::new(may_remove))
    }

    /// A backup runs, or has ended.
    pub(super) fn pin(&self, is_pinned: bool) {
        self.is_pinned.store(is_pinned, SeqCst);
    }

    pub(super) fn write(&self, request: &Request) -> Result<Outcome, AppendError> {
        let mut outcomes = self.core.write(&mut self.log.lock().unwrap(), &[request])?;
        Ok(outcomes.pop().unwrap())
    }

    /// The request that creates this.
    pub(super) fn creation(sample: &Sample) -> Request {
        let new = sample.new_txn();
        let record = Bytes::from(record::created(&new));
        Request::Create { new: Arc::new(new.into()), record, absent_since: None }
    }

    pub(super) fn create(&self, sample: &Sample) {
        let new = sample.new_txn();
        let record = Bytes::from(record::created(&new));
        let new: Arc<StoredTxn> = Arc::new(new.into());
        let mut absent_since = None;
        loop {
            let request = Request::Create { new: Arc::clone(&new), record: record.clone(), absent_since };
            match self.write(&request).unwrap() {
                Outcome::LookElsewhere => {
                    let (found, mark) = find::elsewhere(&self.core, &new.gid).unwrap();
                    assert!(found.is_none(), "{found:?}");
                    absent_since = Some(mark);
                }
                outcome => return assert!(matches!(outcome, Outcome::Created), "{outcome:?}"),
            }
        }
    }

    /// The request that stores this sample's progress, after a look elsewhere if there was one.
    pub(super) fn change(sample: &Sample, expected: u64, elsewhere: Option<(Option<Arc<StoredTxn>>, u64)>) -> Request {
        let change = Arc::new(EncodedChange::from(sample.change(Version(expected))));
        let record = Bytes::from(record::changed(&change));
        Request::Commit { change, record, elsewhere }
    }

    pub(super) fn commit(&self, sample: &Sample, expected: u64) {
        let mut elsewhere = None;
        loop {
            match self.write(&Self::change(sample, expected, elsewhere.take())).unwrap() {
                Outcome::LookElsewhere => elsewhere = Some(self.look_elsewhere(sample)),
                outcome => return assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}"),
            }
        }
    }

    pub(super) fn look_elsewhere(&self, sample: &Sample) -> (Option<Arc<StoredTxn>>, u64) {
        let (found, mark) = find::elsewhere(&self.core, &sample.def.gid).unwrap();
        (found.map(|found| found.txn), mark)
    }

    /// Saves everything unfinished, which drops from memory what waits.
    pub(super) fn save_all(&self) {
        let current = self.core.segments.current();
        let rows = self.core.table().holding(current.next(), usize::MAX);
        self.core.spill.save(&rows, &[]).unwrap();
        self.core.table().saved(&rows, current);
    }

    /// Puts rows where a restore does: no record of them stands in the log.
    pub(super) fn put_saved(&self, samples: &[&Sample]) {
        let rows: Vec<_> = samples.iter().map(|sample| Arc::new(StoredTxn::from(sample.new_txn()))).collect();
        self.core.spill.save(&rows, &[]).unwrap();
    }

    pub(super) fn archive_all(&self) {
        while self.keeper().archive(self.core.clock.now()).unwrap() {}
    }

    pub(super) fn found(&self, name: &str) -> Option<(u64, Status)> {
        let found = find::find(&self.core, &gid(name)).unwrap();
        found.map(|found| (found.txn.version.0, found.txn.head.status))
    }

    pub(super) fn claim(&self) -> Vec<String> {
        let now = self.core.clock.now();
        while self.core.table().far.any {
            self.keeper().refill(now).unwrap();
        }
        self.core.table().schedule.claim(now, usize::MAX).iter().map(|(gid, _)| gid.to_string()).collect()
    }

    /// Appends a frame of anything.
    pub(super) fn append(&self, body: &[u8]) {
        self.log.lock().unwrap().append(body, self.core.first_needed()).unwrap();
    }

    /// Ends the log cleanly.
    pub(super) fn stop(self) {
        let log = Arc::into_inner(self.log).unwrap().into_inner().unwrap();
        log.stop(self.core.first_needed()).unwrap();
    }
}

type Step = Box<dyn FnOnce() + Send>;

/// A disk on which something happens just before a database is connected, or another file opened.
pub(super) struct Hooked {
    disk: Arc<dyn Disk>,
    hooks: Mutex<Vec<(&'static str, Step)>>,
}

impl Hooked {
    pub(super) fn on(disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { disk, hooks: Mutex::default() })
    }

    /// The next time that a file whose path has `part` in it is opened, this happens before.
    pub(super) fn before_opening(&self, part: &'static str, step: impl FnOnce() + Send + 'static) {
        self.hooks.lock().unwrap().push((part, Box::new(step)));
    }

    fn opens(&self, path: &Path) {
        let happens = |(part, _): &(&str, Step)| path.to_string_lossy().contains(part);
        let step = {
            let mut hooks = self.hooks.lock().unwrap();
            hooks.iter().position(happens).map(|index| hooks.remove(index).1)
        };
        if let Some(step) = step {
            step();
        }
    }

    pub(super) fn assert_all_happened(&self) {
        assert!(self.hooks.lock().unwrap().is_empty());
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Disk for Hooked {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opens(path);
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        self.opens(path);
        self.disk.connect(path)
    }

    fn sql_name(&self, path: &Path) -> Option<String> {
        self.disk.sql_name(path)
    }

    fn shares_databases(&self) -> bool {
        self.disk.shares_databases()
    }
}

/// Where a store stands on a simulated disk.
pub(super) fn dir() -> PathBuf {
    PathBuf::from("/store")
}
