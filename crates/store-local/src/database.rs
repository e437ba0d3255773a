//! A SQLite database of the store: how it is made, opened, written and read.
//!
//! One connection writes, one looks single rows up, one lists. Checkpoints are made here and nowhere else, because SQLite
//! would pass over a failed one in silence. Opening a database makes durable what its former life left in the write-ahead
//! log: a process that was killed leaves bytes that can be read and are not on the disk yet, and whatever is found in a
//! database must be as good as what was just written to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use escrow_store::StoreError;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::disk::Disk;
use crate::identity::StoreId;

mod carry;
mod error;
mod header;
mod make;
mod meta;
mod rewrite;

pub(crate) use carry::{copy, give_to};
pub(crate) use error::{Damage, Failure, OpenError};
pub(crate) use header::Header;
pub(crate) use make::{UNFINISHED, check, leftover_of, remove};
use make::{exists, make};
pub(crate) use meta::{FILTER, Meta, save_filter};
pub(crate) use rewrite::rewrite_logs;

/// How long a connection waits for a lock that another program (such as `sqlite3`) has on the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut to this length when it starts over: a burst does not occupy the disk for ever.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// The write-ahead log is carried over into the database when this much of it is not there yet.
const CHECKPOINT_BYTES: i64 = 16 * 1024 * 1024;

/// The writer's page cache.
const CACHE_KIB: i64 = 32 * 1024;

/// Statements that a connection keeps prepared.
const STATEMENTS_KEPT: usize = 32;

/// A commit syncs the write-ahead log.
const COMMIT_SYNCS: u64 = 1;

/// A checkpoint syncs the write-ahead log and the database.
const CHECKPOINT_SYNCS: u64 = 2;

/// A log that begins anew is synced with its header and with its first frame.
const RESTART_SYNCS: u64 = 2;

/// Ending the log syncs a journal, the database and the directory.
const CLOSE_SYNCS: u64 = 3;

/// One kind of database.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Marks a database as one of this kind.
    pub(crate) application_id: i32,
    /// Forward only: a schema that has been released is never changed, the next one follows it. Each kind has a table `meta`.
    pub(crate) migrations: &'static [&'static str],
    /// What it counts in the table `meta`, from 0 on.
    pub(crate) counts: &'static [&'static str],
    /// Its page size in bytes, below 65,536.
    pub(crate) page_bytes: u32,
}

/// What a read is for: a look-up never waits for a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// A few rows by their keys.
    LookUp,
    /// Anything that may take long.
    List,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    writer: Mutex<Connection>,
    look_ups: Mutex<Option<Connection>>,
    lists: Mutex<Option<Connection>>,
    /// Held shared by whoever reads over a connection of its own.
    states: RwLock<()>,
    syncs: Arc<AtomicU64>,
    /// What the former life left in the write-ahead log could not be carried over, because the disk is full.
    unsettled: AtomicBool,
    /// It is not written any more, and may be removed at any time: only connections that are open are used.
    closed: AtomicBool,
    /// A commit or a checkpoint failed: nothing is written any more.
    failed: OnceLock<Failure>,
}

impl Database {
    /// Opens a database of this store, and makes it if it is not there. `syncs` counts what is synced from now on.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        store: StoreId,
        schema: &Schema,
        syncs: &Arc<AtomicU64>,
    ) -> Result<Self, OpenError> {
        if !exists(disk, path)? {
            make(disk, path, store, schema, syncs)?;
        }
        rewrite_logs(disk, path)?;
        let sqlite_error = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let header = Header::read(disk, path, schema)?;
        let mut writer = connect(disk, path).map_err(sqlite_error)?;
        let found = make::check(&writer, path, store, schema)?;
        header.check_length(&writer, path)?;
        set_up(&writer).map_err(sqlite_error)?;
        make::migrate(&mut writer, schema, found).map_err(sqlite_error)?;
        let header = Header::with_log(&writer).map_err(sqlite_error)?;
        let settled = checkpoint(&writer, "PRAGMA wal_checkpoint(TRUNCATE)");
        let unsettled = match settled {
            Ok(()) => {
                header.check_length(&writer, path)?;
                false
            }
            // A start on a full disk still reads.
            Err(error) if is_transient(&error) => true,
            Err(error) => return Err(sqlite_error(error)),
        };
        syncs.fetch_add(CHECKPOINT_SYNCS, Relaxed);
        Ok(Self {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            writer: Mutex::new(writer),
            look_ups: Mutex::default(),
            lists: Mutex::default(),
            states: RwLock::default(),
            syncs: Arc::clone(syncs),
            unsettled: AtomicBool::new(unsettled),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` as one transaction, durable when this returns.
    ///
    /// # Errors
    /// [`Failure`]; nothing was written, unless it is [`Failure::Failed`].
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Failure> {
        let mut writer = self.writer();
        if self.unsettled.load(Relaxed) {
            self.settle_with(&writer)?;
        }
        self.check_failed()?;
        // Dropped on every way out but the last, which rolls it back.
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Failure::of)?;
        let done = work(&transaction).map_err(Failure::of)?;
        transaction.commit().map_err(|error| self.fail(Failure::of_sync(error)))?;
        self.syncs.fetch_add(COMMIT_SYNCS, Relaxed);
        self.limit_log(&writer)?;
        Ok(done)
    }

    /// Runs a read; it sees what is durable.
    ///
    /// # Errors
    /// Those of `read`, and [`StoreError::Down`] if there is no connection.
    pub(crate) fn read<T>(
        &self,
        turn: Turn,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.disk.shares_databases() {
            return read(&self.writer());
        }
        let mut reader = lock(match turn {
            Turn::LookUp => &self.look_ups,
            Turn::List => &self.lists,
        });
        match &mut *reader {
            Some(connection) => read(connection),
            // Connecting would make the file anew.
            None if self.closed.load(Relaxed) => {
                drop(reader);
                read(&self.writer())
            }
            none => read(none.insert(connect_reader(&self.disk, &self.path).map_err(Failure::of)?)),
        }
    }

    /// Runs a long read of one state of the database, while others write.
    ///
    /// # Errors
    /// Those of `read`, and [`StoreError::Down`] if there is no connection.
    pub(crate) fn read_state<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = self.writer();
        // Connecting to one that is closed could make the file anew.
        if !self.disk.shares_databases() || self.closed.load(Relaxed) {
            return read(&writer);
        }
        let _reading = self.states.read().unwrap_or_else(PoisonError::into_inner);
        drop(writer);
        let state = connect_reader(&self.disk, &self.path).map_err(Failure::of)?;
        state.execute_batch("BEGIN").map_err(Failure::of)?;
        read(&state)
    }

    /// Carries everything over from the write-ahead log into the database itself. From then on damage to the log's file harms
    /// nothing that was written before.
    ///
    /// # Errors
    /// [`Failure`]; only a [`Failure::Failed`] means that something may be lost.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        self.settle_with(&self.writer())
    }

    fn settle_with(&self, writer: &Connection) -> Result<(), Failure> {
        self.check_failed()?;
        // A reader of ours would keep the log from beginning anew.
        let _readers = (lock(&self.look_ups), lock(&self.lists), self.wait_for_states());
        self.restart_log(writer)?;
        self.unsettled.store(false, Relaxed);
        Ok(())
    }

    /// Ends the write-ahead log for good: one file is left, and this database is not written any more.
    ///
    /// # Errors
    /// [`Failure`]; everything that was written is still there.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        let writer = self.writer();
        self.settle_with(&writer)?;
        self.closed.store(true, Relaxed);
        // A reader's connection would keep the log alive.
        let _states = self.wait_for_states();
        *lock(&self.look_ups) = None;
        *lock(&self.lists) = None;
        let mode: String = writer
            .query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))
            .map_err(|error| self.fail(Failure::of_sync(error)))?;
        debug_assert_eq!(mode, "delete");
        // A log that comes back after a power cut would hide what was written to the file since.
        let dir = self.path.parent().unwrap_or(Path::new("."));
        self.disk.sync_dir(dir).map_err(|error| self.fail(Failure::of_io_sync(error)))?;
        self.syncs.fetch_add(CLOSE_SYNCS, Relaxed);
        Ok(())
    }

    /// Carries the log over when it has grown long.
    fn limit_log(&self, writer: &Connection) -> Result<(), Failure> {
        let waiting = || -> rusqlite::Result<i64> {
            let (pages, carried_over) = log_pages(writer)?;
            let page_bytes = writer.prepare_cached("PRAGMA page_size")?.query_row((), |row| row.get::<_, i64>(0))?;
            Ok((pages - carried_over) * page_bytes)
        };
        if waiting().map_err(Failure::of)? < CHECKPOINT_BYTES {
            return Ok(());
        }
        // Nobody is waited for here, neither a list nor a backup: the log goes on growing, and the next write tries again.
        let readers = (self.look_ups.try_lock(), self.lists.try_lock(), self.states.try_write());
        let (Ok(_look_ups), Ok(_lists), Ok(_states)) = readers else { return Ok(()) };
        writer.busy_timeout(Duration::ZERO).map_err(Failure::of)?;
        let restarted = self.restart_log(writer);
        writer.busy_timeout(BUSY_TIMEOUT).map_err(Failure::of)?;
        restarted.or_else(|failure| if matches!(failure, Failure::Failed(_)) { Err(failure) } else { Ok(()) })
    }

    /// Carries the write-ahead log over and begins it anew, durably. If its frames still counted, damage in their middle would
    /// bring older states of some pages back beside newer ones of others. The file keeps its length: growing costs more than
    /// being written over.
    fn restart_log(&self, writer: &Connection) -> Result<(), Failure> {
        // A full disk has no room for the first frame of a log that is empty.
        if log_pages(writer).map_err(Failure::of)?.0 <= 0 {
            return Ok(());
        }
        let restarted = checkpoint(writer, "PRAGMA wal_checkpoint(RESTART)").and_then(|()| {
            // The first frame of a new log has new numbers, with which those behind it do not count.
            writer.execute("UPDATE meta SET value = value WHERE key = ?1", [meta::CHECK]).map(drop)
        });
        restarted.map_err(|error| self.fail(Failure::of_sync(error)))?;
        self.syncs.fetch_add(CHECKPOINT_SYNCS + RESTART_SYNCS, Relaxed);
        Ok(())
    }

    fn check_failed(&self) -> Result<(), Failure> {
        self.failed.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// A failed sync is never tried again: the system may have dropped what it could not write, and say so once.
    fn fail(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Failed(_)) {
            let _ = self.failed.set(failure.clone());
        }
        failure
    }

    /// Ends the connections that read; the next read connects anew.
    #[cfg(test)]
    pub(crate) fn disconnect(&self) {
        *lock(&self.look_ups) = None;
        *lock(&self.lists) = None;
    }

    fn wait_for_states(&self) -> RwLockWriteGuard<'_, ()> {
        self.states.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        lock(&self.writer)
    }
}

/// Whoever panicked has left a connection whose transaction was rolled back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection with the settings that every connection has. The database exists.
pub(crate) fn connect(disk: &Arc<dyn Disk>, path: &Path) -> rusqlite::Result<Connection> {
    let connection = disk.connect(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "trusted_schema", false)?;
    if !disk.shares_databases() {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    Ok(connection)
}

/// A connection that only reads.
pub(crate) fn connect_reader(disk: &Arc<dyn Disk>, path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(disk, path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn set_up(writer: &Connection) -> rusqlite::Result<()> {
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    writer.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    writer.pragma_update(None, "cache_size", -CACHE_KIB)
}

/// Runs a checkpoint. That somebody else reads at this moment is an error here, if the checkpoint had to be complete.
fn checkpoint(writer: &Connection, pragma: &str) -> rusqlite::Result<()> {
    let busy = writer.query_row(pragma, (), |row| row.get::<_, i64>(0))?;
    if busy == 0 {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
}

/// How many pages the write-ahead log has, and how many of them are carried over.
fn log_pages(writer: &Connection) -> rusqlite::Result<(i64, i64)> {
    let sql = "PRAGMA wal_checkpoint(NOOP)";
    writer.prepare_cached(sql)?.query_row((), |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Whether the same can be tried again later.
fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests;
