//! Finished transactions, in partitions.
//!
//! ```text
//! archive/2026-11-23-0041.db       closed: one file, read over a connection that is opened when it is needed
//! archive/2026-11-24-0042.db       closed
//! archive/2026-11-24-0043.db(-wal) current: the keeper inserts here
//! ```
//!
//! A partition takes so many transactions, or those of one day; then it is closed, and its filter is stored in it. A purge
//! removes whole files. Each partition has a filter in memory, so that a gid is looked up only where it may be.
//!
//! One gid can be in two partitions: an insert was repeated after a crash, and the day had turned; or the gid was used again
//! once its transaction had been purged. The newer partition is right.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use escrow_store::StoredTxn;
use escrow_txn::{Gid, Timestamp};

use crate::database::{Failure, OpenError};
use crate::disk::Disk;
use crate::filter::Fingerprint;
use crate::identity::StoreId;

mod bounds;
mod closed;
mod front;
mod name;
mod open;
mod partition;
mod purge;
mod reads;

use closed::Connections;
use front::Front;
use name::{Day, Name};
use partition::{Context, Current, Partition};
use purge::FinishTimes;

/// How an archive is divided.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveTuning {
    /// Transactions in one partition, about.
    pub(crate) partition_rows: u64,
    /// Closed partitions whose connections are kept open.
    pub(crate) connections: usize,
}

impl Default for ArchiveTuning {
    fn default() -> Self {
        Self { partition_rows: 250_000, connections: 32 }
    }
}

/// What an archive has for a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purgeable {
    /// Transactions that finished before `cut` and are not purged yet.
    pub(crate) rows: u64,
    /// Up to when that count holds.
    pub(crate) cut: Timestamp,
}

/// The size of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveInfo {
    /// Files.
    pub(crate) partitions: u64,
    /// Transactions in them, those that are purged and not removed yet included.
    pub(crate) rows: u64,
}

/// The finished transactions of a store. One thread inserts and purges; any number may read.
#[derive(Debug)]
pub(crate) struct Archive {
    context: Context,
    /// In the order of their numbers, the oldest first.
    partitions: RwLock<Vec<Arc<Partition>>>,
    front: Front,
    writing: Mutex<Writing>,
    times: FinishTimes,
}

/// What belongs to whoever writes.
#[derive(Debug)]
struct Writing {
    current: Option<Arc<Current>>,
    /// The highest number that a partition has had.
    last_number: u32,
    /// Something could not be made durable: nothing is written any more.
    failed: Option<Failure>,
}

impl Archive {
    /// Opens an archive, and makes its directory if it is not there. Partitions that were not closed altogether are closed,
    /// but for the last, which goes on; what is left of files that were being made or removed is removed.
    ///
    /// # Errors
    /// [`OpenError`], also if one partition is damaged.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        tuning: ArchiveTuning,
    ) -> Result<Self, OpenError> {
        disk.create_dir(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let context = Context {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            store,
            rows_max: tuning.partition_rows,
            connections: Connections::new(Arc::clone(disk), tuning.connections),
            syncs: Arc::default(),
        };
        let names = open::sweep(&context)?;
        let last_number = names.last().map_or(0, |name| name.number);
        let (partitions, current) = open::partitions(&context, &names)?;
        Ok(Self {
            context,
            partitions: RwLock::new(partitions),
            front: Front::default(),
            writing: Mutex::new(Writing { current, last_number, failed: None }),
            times: FinishTimes::default(),
        })
    }

    /// Takes finished transactions over, as one SQLite transaction; durable when this returns. What is there already, with the
    /// same time of finish and version or higher ones, is left as it is.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn insert(&self, txns: &[Arc<StoredTxn>], now: Timestamp) -> Result<(), Failure> {
        debug_assert!(txns.iter().all(|txn| txn.head.status.is_final()), "only finished transactions are archived");
        if txns.is_empty() {
            return Ok(());
        }
        // Neighbours in the index by gid, which is where the time goes, are written together.
        let mut sorted: Vec<&StoredTxn> = txns.iter().map(|txn| &**txn).collect();
        sorted.sort_by(|a, b| a.gid.cmp(&b.gid));
        self.write(|writing| {
            let current = self.current(writing, now, txns.len() as u64)?;
            self.front.prepare(&self.partitions(), txns.len() as u64);
            // A gid that is used again has another time in its place, and their number stays.
            self.times.forget(current.name.number);
            current.insert(&sorted, &self.front)
        })
    }

    /// Makes the filter over all partitions, with room for so many more, unless it is there: of five million transactions it takes a
    /// second, which the first of a new load should not pay for.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn prepare(&self, more: usize) -> Result<(), Failure> {
        self.write(|_| {
            self.front.prepare(&self.partitions(), more as u64);
            Ok(())
        })
    }

    /// Makes the archive independent of SQLite's write-ahead log: only then a segment can go without anybody depending on a
    /// file that SQLite would read a part of if it were damaged.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        self.write(|writing| writing.current.as_ref().map_or(Ok(()), |current| current.settle()))
    }

    /// Whether a gid may be in the archive, from memory.
    pub(crate) fn may_hold(&self, gid: &Gid) -> bool {
        let fingerprint = Fingerprint::of(gid);
        if self.front.denies(fingerprint) {
            return false;
        }
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.iter().any(|partition| partition.may_hold(fingerprint))
    }

    /// How large it is.
    pub(crate) fn info(&self) -> ArchiveInfo {
        let partitions = self.partitions();
        let rows = partitions.iter().map(|partition| partition.bounds().rows).sum();
        ArchiveInfo { partitions: partitions.len() as u64, rows }
    }

    /// Syncs since it was opened.
    pub(crate) fn syncs(&self) -> u64 {
        self.context.syncs.load(Relaxed)
    }

    /// The partition for so many more rows; the next one is begun when its time has come.
    fn current(&self, writing: &mut Writing, now: Timestamp, more: u64) -> Result<Arc<Current>, Failure> {
        let today = Day::of(now);
        if let Some(current) = &writing.current {
            let rows = current.bounds().rows;
            // A clock that is set back does not begin one.
            if rows == 0 || (current.name.day >= today && rows + more <= self.context.rows_max) {
                return Ok(Arc::clone(current));
            }
            self.close_current(writing)?;
        }
        let name = Name { number: writing.last_number + 1, day: today };
        let current = Arc::new(Current::open(&self.context, name)?);
        self.change(|partitions| partitions.push(Arc::new(Partition::of_current(&current))));
        writing.last_number = name.number;
        writing.current = Some(Arc::clone(&current));
        Ok(current)
    }

    fn close_current(&self, writing: &mut Writing) -> Result<(), Failure> {
        if let Some(current) = &writing.current {
            let closed = Arc::new(current.close()?);
            self.change(|partitions| {
                partitions.pop();
                partitions.push(closed);
            });
            writing.current = None;
        }
        Ok(())
    }

    fn write<T>(&self, work: impl FnOnce(&mut Writing) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut writing = self.writing();
        if let Some(failure) = &writing.failed {
            return Err(failure.clone());
        }
        let result = work(&mut writing);
        writing.failed = result.as_ref().err().filter(|failure| matches!(failure, Failure::Failed(_))).cloned();
        result
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Partition>>)) {
        change(&mut self.partitions.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests;
