//! Finished transactions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use escrow_store::{ListQuery, StoreError, StoredTxn, TxnSummary};
use escrow_txn::{Gid, Timestamp};

use crate::database::{Failure, OpenError};
use crate::disk::Disk;
use crate::finding::Finding;
use crate::identity::StoreId;

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

/// The finished transactions of a store.
///
/// Interim: they are in memory, and nothing is kept. The partitions follow.
#[derive(Debug)]
pub(crate) struct Archive {
    rows: Mutex<BTreeMap<Gid, StoredTxn>>,
    syncs: AtomicU64,
}

impl Archive {
    /// Opens an archive, and makes it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(
        _disk: &Arc<dyn Disk>,
        _dir: &Path,
        _store: StoreId,
        _tuning: ArchiveTuning,
    ) -> Result<Self, OpenError> {
        Ok(Self { rows: Mutex::default(), syncs: AtomicU64::default() })
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Gid, StoredTxn>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes finished transactions over; durable when this returns. Those that are there already are left as they are.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn insert(&self, txns: &[Arc<StoredTxn>], _now: Timestamp) -> Result<(), Failure> {
        self.rows().extend(txns.iter().map(|txn| (txn.gid.clone(), StoredTxn::clone(txn))));
        Ok(())
    }

    /// Makes the archive independent of SQLite's write-ahead log: a segment should not be retired before.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether a gid may be in the archive, from memory.
    pub(crate) fn may_hold(&self, gid: &Gid) -> bool {
        self.rows().contains_key(gid)
    }

    /// The transaction under a gid; one that finished before `purged_before` is absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn find(&self, gid: &Gid, purged_before: Option<Timestamp>) -> Result<Option<StoredTxn>, StoreError> {
        Ok(self.rows().get(gid).filter(|txn| txn.head.finished_at >= purged_before).cloned())
    }

    /// Up to `limit` transactions of a query, newest first; those that finished before `purged_before` are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        purged_before: Option<Timestamp>,
    ) -> Result<Vec<TxnSummary>, StoreError> {
        let rows = self.rows();
        let shown = rows.values().filter(|txn| txn.head.finished_at >= purged_before && txn.matches(query));
        let mut items: Vec<_> = shown.map(StoredTxn::summary).collect();
        items.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
        items.truncate(limit);
        Ok(items)
    }

    /// How many transactions finished at `purged_before` or later and before `final_before`: all of them, or the first
    /// `limit` and those that finished at the same moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn purgeable(
        &self,
        purged_before: Option<Timestamp>,
        final_before: Timestamp,
        _limit: usize,
    ) -> Result<Purgeable, StoreError> {
        let in_range = |at: Timestamp| Some(at) >= purged_before && at < final_before;
        let rows = self.rows().values().filter(|txn| txn.head.finished_at.is_some_and(in_range)).count();
        Ok(Purgeable { rows: rows as u64, cut: final_before })
    }

    /// Removes the partitions that finished before `purged_before` altogether. Returns how many.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn drop_purged(&self, purged_before: Timestamp) -> Result<u32, Failure> {
        self.rows().retain(|_, txn| txn.head.finished_at >= Some(purged_before));
        Ok(0)
    }

    /// Up to `limit` transactions behind `after`, in gid order; those that finished before `purged_before` are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn export(
        &self,
        after: Option<&Gid>,
        limit: usize,
        purged_before: Option<Timestamp>,
    ) -> Result<Vec<StoredTxn>, StoreError> {
        let rows = self.rows();
        let shown = rows.values().filter(|txn| txn.head.finished_at >= purged_before && Some(&txn.gid) > after);
        Ok(shown.take(limit).cloned().collect())
    }

    /// How large it is.
    pub(crate) fn info(&self) -> ArchiveInfo {
        ArchiveInfo { partitions: 0, rows: self.rows().len() as u64 }
    }

    /// Syncs since it was opened.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Reads everything, and returns what is wrong with it.
    pub(crate) fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}
