//! Transactions in one SQLite database, one row each.
//!
//! ```text
//!  create, commit, purge ─▶ queue ─▶ writer (one thread): many changes, one COMMIT, then all their answers
//!  load, list            ─▶ readers (a few connections): the durable image
//!  claim_due             ─▶ timers and claims in memory; far timers stay in the table
//! ```
//!
//! The database runs in write-ahead-log mode with `synchronous=FULL`: a COMMIT returns when the log is synced, and only
//! then can a reader see the change. After a COMMIT that failed nobody can know what is on disk, so the store fails for
//! good ([`SqliteStore::failed`]): the process has to end, and the next one finds out.
//!
//! Beside the database (`DIR/escrow.db`) lie the files that SQLite keeps, and a lock file of the same name
//! (`DIR/escrow.lock`), which keeps a second process out and says that there has been a database. All belong to their owner
//! alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use escrow_store::{
    Backend, BatchCounters, Change, Claim, Claimed, Clock, CommitError, Created, EncodedChange, ListQuery, NewTxn,
    OwnerEpoch, Page, PutOutcome, Room, Setting, Settings, SettingsError, Stats, Store, StoreError, StoredTxn,
    Transfer, TxnSummary, Version, Versioned,
};
use escrow_txn::{Gid, Timestamp, Txn};
use rusqlite::Connection;

mod changes;
mod columns;
mod error;
mod files;
mod fullness;
mod list;
mod readers;
mod settings;
mod timers;
mod transfer;
mod tuning;
mod wal;
mod writer;

pub use error::OpenError;

use files::Files;
use fullness::Fullness;
use readers::Readers;
use timers::{Effects, Timers};
use tuning::Tuning;
use writer::{Parts, Writer};

/// Final transactions that one change of the database removes, so that others come in between.
const PURGE_STEP: u32 = 500;

/// A store in one database. Dropping it waits for the writes that are under way, and releases the lock.
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    writer: Writer,
    readers: Readers,
    timers: Arc<Mutex<Timers>>,
    counters: Arc<BatchCounters>,
    fullness: Arc<Fullness>,
}

impl SqliteStore {
    /// Opens the store in the database `file`, and makes it, with its directory, if it is not there.
    ///
    /// No transaction is read, so it takes as long with many as with few. What was in flight is due at once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_with(file, clock, Tuning::default())
    }

    fn open_with(file: &Path, clock: Arc<dyn Clock>, tuning: Tuning) -> Result<Self, OpenError> {
        let files = Files::lock(file)?;
        let database = files.database().to_owned();
        let connection = files.open_writer()?;
        let timers = Timers::open(&connection, clock.now(), tuning.timers_chunk);
        let timers = timers.map_err(|source| OpenError::Sqlite { path: database.clone(), source })?;
        let timers = Arc::new(Mutex::new(timers));
        let counters = Arc::new(BatchCounters::default());
        let fullness = Arc::new(Fullness::default());
        let readers = Readers::new(database.clone(), files.guard());
        let parts = Parts {
            connection,
            timers: Arc::clone(&timers),
            counters: Arc::clone(&counters),
            fullness: Arc::clone(&fullness),
            tuning,
            _files: files,
        };
        let writer = Writer::start(parts).map_err(|source| OpenError::Io { path: database, source })?;
        Ok(Self { clock, writer, readers, timers, counters, fullness })
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write for which room is made: its outcome, once durable.
    async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&Connection, &mut Effects) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(Room::OrWait, bytes, work).await
    }

    /// Brings more timers into memory.
    async fn refill(&self, now: Timestamp) -> Result<(), StoreError> {
        let timers = Arc::clone(&self.timers);
        let refill = move |connection: &Connection, _: &mut Effects| {
            timers.lock().unwrap_or_else(PoisonError::into_inner).refill(connection, now)
        };
        self.write(0, refill).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError> {
        let txn = Arc::new(StoredTxn::from(txn));
        loop {
            let new = Arc::clone(&txn);
            let bytes = new.definition.len() + new.progress.len();
            let insert =
                move |connection: &Connection, effects: &mut Effects| changes::create(connection, effects, &new);
            if self.writer.run(Room::OrBusy, bytes, insert).await? {
                return Ok(Created::New(Version::FIRST));
            }
            // What stands may have been purged since.
            if let Some(stands) = self.load(&txn.gid).await? {
                return Ok(Created::Exists(Box::new(stands)));
            }
        }
    }

    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        let gid = gid.clone();
        self.readers.read(move |connection| columns::load(connection, &gid)).await
    }

    async fn commit(&self, change: Change) -> Result<Version, CommitError> {
        let change = EncodedChange::from(change);
        let bytes = change.bytes();
        let update =
            move |connection: &Connection, effects: &mut Effects| changes::commit(connection, effects, &change);
        self.write(bytes, update).await?.map_err(|current| CommitError::Conflict { current })
    }

    async fn claim_due(&self, _owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError> {
        let now = self.clock.now();
        let mut claim = Claim::new(&self.timers, now);
        loop {
            {
                let mut timers = self.timers();
                claim.take_due(&mut timers.schedule, limit.get() as usize);
                if !timers.needs_refill(now) {
                    let next_due_at = timers.schedule.next_due_at();
                    return Ok(Claimed { gids: claim.complete(), next_due_at });
                }
            }
            self.refill(now).await?;
        }
    }

    async fn release(&self, gid: &Gid, due_at: Timestamp) {
        self.timers().schedule.release(gid, due_at, self.clock.now());
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        let query = query.clone();
        self.readers.read_long(move |connection| list::list(connection, &query)).await
    }

    async fn purge(&self, final_before: Timestamp, limit: NonZeroU32) -> Result<u32, StoreError> {
        let mut purged = 0;
        loop {
            let step = (limit.get() - purged).min(PURGE_STEP);
            let remove = move |connection: &Connection, _: &mut Effects| changes::purge(connection, final_before, step);
            let removed = self.write(0, remove).await?;
            purged += removed;
            if removed < step || purged == limit.get() {
                return Ok(purged);
            }
        }
    }
}

#[async_trait]
impl Backend for SqliteStore {
    async fn failed(&self) {
        self.writer.failed().await;
    }

    fn stats(&self) -> Stats {
        let live = self.timers().schedule.len() as u64;
        Stats { full: self.fullness.is_full(), live, ..self.counters.read() }
    }
}

#[async_trait]
impl Transfer for SqliteStore {
    async fn export(&self, after: Option<&Gid>, limit: NonZeroU32) -> Result<Vec<StoredTxn>, StoreError> {
        let after = after.cloned();
        self.readers.read_long(move |connection| transfer::export(connection, after.as_ref(), limit)).await
    }

    async fn import(&self, txns: Vec<StoredTxn>) -> Result<(), StoreError> {
        let bytes = txns.iter().map(StoredTxn::bytes).sum();
        let import = move |connection: &Connection, effects: &mut Effects| changes::import(connection, effects, &txns);
        self.write(bytes, import).await
    }

    async fn export_settings(&self) -> Result<Vec<(String, Setting)>, StoreError> {
        self.readers.read_long(transfer::export_settings).await
    }

    async fn import_settings(&self, settings: Vec<(String, Setting)>) -> Result<(), StoreError> {
        let bytes = settings.iter().map(|(_, setting)| setting.value.len()).sum();
        let import = move |connection: &Connection, _: &mut Effects| transfer::import_settings(connection, &settings);
        self.write(bytes, import).await
    }
}

#[async_trait]
impl Settings for SqliteStore {
    async fn get(&self, category: &str, key: &str) -> Result<Option<Setting>, StoreError> {
        let (category, key) = (category.to_owned(), key.to_owned());
        self.readers.read(move |connection| settings::get(connection, &category, &key)).await
    }

    async fn put(
        &self,
        category: &str,
        key: &str,
        value: Bytes,
        expected: Option<Version>,
    ) -> Result<PutOutcome, SettingsError> {
        let (category, key) = (category.to_owned(), key.to_owned());
        let bytes = value.len();
        let put = move |connection: &Connection, _: &mut Effects| {
            settings::put(connection, &category, &key, &value, expected)
        };
        let put = self.write(bytes, put).await?;
        put.map(|version| PutOutcome { version }).map_err(|current| SettingsError::Conflict { current })
    }

    async fn delete(&self, category: &str, key: &str, expected: Version) -> Result<(), SettingsError> {
        let (category, key) = (category.to_owned(), key.to_owned());
        let delete =
            move |connection: &Connection, _: &mut Effects| settings::delete(connection, &category, &key, expected);
        self.write(0, delete).await?.map_err(|current| SettingsError::Conflict { current })
    }

    async fn scan(&self, category: &str, after: Option<&str>, limit: NonZeroU32) -> Result<Vec<Setting>, StoreError> {
        let (category, after) = (category.to_owned(), after.map(str::to_owned));
        self.readers.read(move |connection| settings::scan(connection, &category, after.as_deref(), limit)).await
    }
}

#[cfg(test)]
mod tests;
