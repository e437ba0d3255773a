//! A SQLite database of the store: how it is made, opened, written and read.
//!
//! One connection writes, one looks single rows up, one lists. Checkpoints are made here and nowhere else, because SQLite
//! would pass over a failed one in silence. Opening a database makes durable what its former life left in the write-ahead
//! log: a process that was killed leaves bytes that can be read and are not on the disk yet, and whatever is found in a
//! database must be as good as what was just written to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use escrow_store::StoreError;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use crate::disk::Disk;
use crate::identity::StoreId;

mod carry;
mod error;
mod make;
mod rewrite;

pub(crate) use carry::{copy, give_to};
pub(crate) use error::{Failure, OpenError};
pub(crate) use make::{UNFINISHED, check, leftover_of, remove};
use make::{exists, make};
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

/// Ending the log syncs a journal, the database and the directory.
const CLOSE_SYNCS: u64 = 3;

/// One kind of database.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Marks a database as one of this kind.
    pub(crate) application_id: i32,
    /// Forward only: a schema that has been released is never changed, the next one follows it. Each kind has a table `meta`.
    pub(crate) migrations: &'static [&'static str],
    /// Its page size in bytes.
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
        let mut writer = connect(disk, path).map_err(sqlite_error)?;
        let found = make::check(&writer, path, store, schema)?;
        set_up(&writer).map_err(sqlite_error)?;
        make::migrate(&mut writer, schema, found).map_err(sqlite_error)?;
        let settled = checkpoint(&writer, "PRAGMA wal_checkpoint(TRUNCATE)");
        let unsettled = match settled {
            Ok(()) => false,
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

    /// Runs a long read of one state of the database. `mark` is called between two writes: the read sees those before it and
    /// none after it.
    ///
    /// # Errors
    /// Those of `read`, and [`StoreError::Down`] if there is no connection.
    pub(crate) fn read_from<T>(
        &self,
        mark: impl FnOnce(),
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = self.writer();
        if !self.disk.shares_databases() {
            mark();
            return read(&writer);
        }
        let snapshot = connect_reader(&self.disk, &self.path).map_err(Failure::of)?;
        // The state is chosen by the first read.
        snapshot.execute_batch("BEGIN; SELECT count(*) FROM meta;").map_err(Failure::of)?;
        mark();
        drop(writer);
        read(&snapshot)
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
        checkpoint(writer, "PRAGMA wal_checkpoint(FULL)").map_err(|error| self.fail(Failure::of_sync(error)))?;
        self.syncs.fetch_add(CHECKPOINT_SYNCS, Relaxed);
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
        let carry_over = || -> rusqlite::Result<()> {
            let number = |sql, column| writer.prepare_cached(sql)?.query_row((), |row| row.get::<_, i64>(column));
            let (pages, page_bytes) = (number("PRAGMA wal_checkpoint(NOOP)", 1)?, number("PRAGMA page_size", 0)?);
            let carried_over = number("PRAGMA wal_checkpoint(NOOP)", 2)?;
            if (pages - carried_over) * page_bytes < CHECKPOINT_BYTES {
                return Ok(());
            }
            self.syncs.fetch_add(CHECKPOINT_SYNCS, Relaxed);
            checkpoint(writer, "PRAGMA wal_checkpoint(PASSIVE)")
        };
        match carry_over() {
            // The log goes on growing; the next write tries again.
            Err(error) if is_transient(&error) => Ok(()),
            result => result.map_err(|error| self.fail(Failure::of_sync(error))),
        }
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

/// Whether the same can be tried again later.
fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A value of the table `meta`.
pub(crate) fn meta<T: rusqlite::types::FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

/// Sets a value of the table `meta`.
pub(crate) fn set_meta(connection: &Connection, key: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, value])
        .map(drop)
}

#[cfg(test)]
mod tests;
