//! Unfinished transactions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use escrow_store::{ListQuery, StoreError, StoredTxn, TxnSummary, Version};
use escrow_txn::{Gid, Timestamp};

use crate::database::{Failure, OpenError};
use crate::disk::Disk;
use crate::finding::Finding;
use crate::identity::StoreId;

/// A setting as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSetting {
    /// Its category.
    pub(crate) category: String,
    /// Its key.
    pub(crate) key: String,
    /// Its value; `None`: it is deleted.
    pub(crate) value: Option<(Version, Bytes)>,
}

/// A transaction as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spilled {
    /// The transaction.
    pub(crate) txn: StoredTxn,
    /// Whether it was restored from a backup, and waits for an operator to release it.
    pub(crate) held: bool,
}

/// A transaction that was on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// Its id.
    pub(crate) gid: Gid,
    /// When it is due.
    pub(crate) next_run_at: Option<Timestamp>,
    /// Whether it was in flight when the backup was made.
    pub(crate) in_flight: bool,
}

/// What a spill holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpillInfo {
    /// Transactions, those on hold included.
    pub(crate) rows: u64,
    /// Those on hold.
    pub(crate) held: u64,
    /// When the oldest was created.
    pub(crate) oldest_created_at: Option<Timestamp>,
}

/// Unfinished transactions that have left the log, and saved settings.
///
/// Interim: they are in memory, and nothing is kept. The database follows.
#[derive(Debug)]
pub(crate) struct Spill {
    rows: Mutex<BTreeMap<Gid, Spilled>>,
    settings: Mutex<BTreeMap<(String, String), (Version, Bytes)>>,
    syncs: AtomicU64,
}

impl Spill {
    /// Opens a database, and makes it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(_disk: &Arc<dyn Disk>, _path: &Path, _store: StoreId) -> Result<Self, OpenError> {
        Ok(Self { rows: Mutex::default(), settings: Mutex::default(), syncs: AtomicU64::default() })
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<Gid, Spilled>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves transactions whose version is higher than what is there, and settings; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save(&self, txns: &[Arc<StoredTxn>], settings: &[SavedSetting]) -> Result<(), Failure> {
        let mut rows = self.rows();
        for txn in txns {
            let held = rows.get(&txn.gid).is_some_and(|row| row.held);
            if rows.get(&txn.gid).is_none_or(|row| row.txn.version < txn.version) {
                rows.insert(txn.gid.clone(), Spilled { txn: StoredTxn::clone(txn), held });
            }
        }
        let mut saved = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        for setting in settings {
            let name = (setting.category.clone(), setting.key.clone());
            match &setting.value {
                Some(value) => saved.insert(name, value.clone()),
                None => saved.remove(&name),
            };
        }
        Ok(())
    }

    /// Saves transactions that are on hold, as they are; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save_held(&self, txns: &[StoredTxn]) -> Result<(), Failure> {
        let held = |txn: &StoredTxn| (txn.gid.clone(), Spilled { txn: txn.clone(), held: true });
        self.rows().extend(txns.iter().map(held));
        Ok(())
    }

    /// Releases one transaction (`Some`) or up to 1,000 (`None`) that are on hold. Nothing is returned once none is left.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn release(&self, gid: Option<&Gid>) -> Result<Vec<Released>, Failure> {
        let mut released = Vec::new();
        for (found, row) in self.rows().iter_mut() {
            if row.held && gid.is_none_or(|gid| gid == found) {
                row.held = false;
                let head = &row.txn.head;
                let (next_run_at, in_flight) = (head.next_run_at, head.owner.is_some());
                released.push(Released { gid: found.clone(), next_run_at, in_flight });
            }
        }
        Ok(released)
    }

    /// Deletes transactions; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn delete(&self, gids: &[Gid]) -> Result<(), Failure> {
        let mut rows = self.rows();
        gids.iter().for_each(|gid| drop(rows.remove(gid)));
        Ok(())
    }

    /// Makes everything independent of SQLite's write-ahead log: a segment should not be retired before.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether a gid may be in the database, from memory; until the filter is built, always.
    pub(crate) fn may_hold(&self, gid: &Gid) -> bool {
        self.rows().contains_key(gid)
    }

    /// Whether the filter still has to be built.
    pub(crate) fn needs_filter(&self) -> bool {
        false
    }

    /// Builds the filter by reading all gids. Writes may come meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; it can be tried again.
    pub(crate) fn build_filter(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The transaction under a gid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn find(&self, gid: &Gid) -> Result<Option<Spilled>, StoreError> {
        Ok(self.rows().get(gid).cloned())
    }

    /// Up to `limit` transactions of a query, newest first, without those that `skip` names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        skip: &dyn Fn(&Gid) -> bool,
    ) -> Result<Vec<TxnSummary>, StoreError> {
        let rows = self.rows();
        let shown = rows.values().filter(|row| row.txn.matches(query) && !skip(&row.txn.gid));
        let mut items: Vec<_> = shown.map(|row| row.txn.summary()).collect();
        items.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
        items.truncate(limit);
        Ok(items)
    }

    /// Up to `limit` transactions that wait, by the time at which they are due, behind a place in that order. Those on hold
    /// are not among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn due(
        &self,
        after: Option<&(Timestamp, Gid)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Gid)>, StoreError> {
        let rows = self.rows();
        let waiting = rows.values().filter(|row| !row.held && row.txn.head.owner.is_none());
        let mut due: Vec<_> =
            waiting.filter_map(|row| Some((row.txn.head.next_run_at?, row.txn.gid.clone()))).collect();
        due.retain(|place| Some(place) > after);
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    /// The transactions that were in flight when they were saved, without those on hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn in_flight(&self) -> Result<Vec<Gid>, StoreError> {
        let rows = self.rows();
        let in_flight = rows.values().filter(|row| !row.held && row.txn.head.owner.is_some());
        Ok(in_flight.map(|row| row.txn.gid.clone()).collect())
    }

    /// All settings; none of them is deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn settings(&self) -> Result<Vec<SavedSetting>, StoreError> {
        let saved = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let setting = |((category, key), value): (&(String, String), &(Version, Bytes))| SavedSetting {
            category: category.clone(),
            key: key.clone(),
            value: Some(value.clone()),
        };
        Ok(saved.iter().map(setting).collect())
    }

    /// Up to `limit` transactions behind `after`, in gid order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn export(&self, after: Option<&Gid>, limit: usize) -> Result<Vec<Spilled>, StoreError> {
        Ok(self.rows().values().filter(|row| Some(&row.txn.gid) > after).take(limit).cloned().collect())
    }

    /// What it holds, from memory.
    pub(crate) fn info(&self) -> SpillInfo {
        let rows = self.rows();
        SpillInfo {
            rows: rows.len() as u64,
            held: rows.values().filter(|row| row.held).count() as u64,
            oldest_created_at: rows.values().map(|row| row.txn.created_at).min(),
        }
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
