//! The files of a store, and the connections to them.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use escrow_store::files::{create_dir, open_private, parent, sync_dir};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{OpenError, wal};

/// What the name of the lock file ends in.
const LOCK_EXTENSION: &str = "lock";

/// Marks a database as one of this program: "Escw".
const APPLICATION_ID: i64 = 0x4573_6377;

/// Forward only: a schema that has been released is never changed, the next one follows it.
const MIGRATIONS: [&str; 1] = [include_str!("schema/1.sql")];

/// How long a connection waits for a lock that another program (such as `sqlite3`) has on the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut to this length when it starts over: a burst does not occupy the disk for ever.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// The write-ahead log is read in pieces of this size when it is checked.
const LOG_READ_BYTES: usize = 1024 * 1024;

/// The writer's page cache.
const CACHE_KIB: i64 = 64 * 1024;

/// Statements that a connection keeps prepared.
const STATEMENTS_KEPT: usize = 32;

/// A store's files, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Files {
    database: PathBuf,
    lock_path: PathBuf,
    lock: File,
    /// See [`Files::guard`].
    guard: Option<Arc<File>>,
}

impl Drop for Files {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that is being forked at this moment has the file too until it runs its
        // program. An error leaves it to the closing, as every end of the process does.
        let _ = self.lock.unlock();
        let _ = self.guard.as_ref().map(|guard| guard.unlock());
    }
}

impl Files {
    /// Makes what is missing, and takes the locks.
    pub(crate) fn lock(database: &Path) -> Result<Self, OpenError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        let lock_path = database.with_extension(LOCK_EXTENSION);
        if database.file_name().is_none() || lock_path == database {
            return Err(OpenError::BadName { path: database.to_owned() });
        }
        let database = database.to_owned();
        let dir = parent(&database);
        create_dir(dir).map_err(io_error(dir))?;
        let lock = open_private(&lock_path).map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: lock_path }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        }
        let is_marked = lock.metadata().map_err(io_error(&lock_path))?.len() > 0;
        if is_marked && fs::metadata(&database).map_or(0, |found| found.len()) == 0 {
            return Err(OpenError::DatabaseGone { path: database, lock: lock_path });
        }
        // SQLite would make the file too, but readable for everybody; its other files take the mode over from this one.
        let file = open_private(&database).map_err(io_error(&database))?;
        let guard = lock_database(&database, file)?;
        // A process that was killed in the middle of a commit leaves bytes that can be read and are not on the disk yet.
        // What is read must be durable, so they are made so, before anything is read.
        let wal = beside(&database, "-wal");
        if let Some(log) = open_existing(&wal)? {
            log.sync_all().map_err(io_error(&wal))?;
            check_log(&wal, &log, &beside(&database, "-shm"))?;
        }
        sync_dir(dir).map_err(io_error(dir))?;
        Ok(Self { database, lock_path, lock, guard })
    }

    /// From now on there is a database. The text says so, so that one that is gone is not taken for one yet to be made.
    fn mark(&self) -> io::Result<()> {
        if self.lock.metadata()?.len() == 0 {
            let name = self.database.file_name().unwrap_or_default().display();
            (&self.lock).write_all(format!("{name} belongs beside this file\n").as_bytes())?;
            self.lock.sync_all()?;
        }
        Ok(())
    }

    /// The database, locked as a whole where the system has such locks apart from those of SQLite: the lock file could be
    /// removed by somebody who takes it for a leftover.
    ///
    /// To be kept open as long as a connection is: closing any handle on a file ends the locks that SQLite has on it.
    pub(crate) fn guard(&self) -> Option<Arc<File>> {
        self.guard.clone()
    }

    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// The one connection that writes, on a database with the newest schema.
    pub(crate) fn open_writer(&self) -> Result<Connection, OpenError> {
        let mut connection = connect(&self.database).map_err(|source| self.sqlite_error(source))?;
        let found = self.check_schema(&connection)?;
        set_up(&mut connection, found).map_err(|source| self.sqlite_error(source))?;
        self.mark().map_err(|source| OpenError::Io { path: self.lock_path.clone(), source })?;
        Ok(connection)
    }

    /// The schema version, if it is one that this program can use.
    fn check_schema(&self, connection: &Connection) -> Result<usize, OpenError> {
        let read = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        let sqlite_error = |source| self.sqlite_error(source);
        let application = read("PRAGMA application_id").map_err(sqlite_error)?;
        let objects = read("SELECT count(*) FROM sqlite_schema").map_err(sqlite_error)?;
        let version = read("PRAGMA user_version").map_err(sqlite_error)?;
        let path = || self.database.clone();
        match application {
            APPLICATION_ID => {}
            0 if objects == 0 && version == 0 => {}
            _ => return Err(OpenError::NotAStore { path: path() }),
        }
        let known = MIGRATIONS.len();
        match usize::try_from(version) {
            Ok(version) if version <= known => Ok(version),
            _ => Err(OpenError::NewerSchema { path: path(), found: version, known: known as i64 }),
        }
    }

    fn sqlite_error(&self, source: rusqlite::Error) -> OpenError {
        OpenError::Sqlite { path: self.database.clone(), source }
    }
}

/// A connection that only reads.
pub(crate) fn open_reader(database: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(database)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    // No mutex: each connection is used by one thread at a time. No creation: the file is there.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn set_up(connection: &mut Connection, schema: usize) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The writer does its checkpoints itself: SQLite would pass over a failed one in silence.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    migrate(connection, schema)?;
    // What the former life left in the log goes into the database, if there is room: a start on a full disk still reads.
    let carried_over = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
    carried_over.or_else(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => Ok(()),
        _ => Err(error),
    })
}

fn migrate(connection: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (number, script) in (1_i64..).zip(MIGRATIONS).skip(from) {
        let migration = connection.transaction()?;
        migration.execute_batch(script)?;
        migration.pragma_update(None, "application_id", APPLICATION_ID)?;
        migration.pragma_update(None, "user_version", number)?;
        migration.commit()?;
    }
    Ok(())
}

/// The file that SQLite keeps beside a database under this ending.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn open_existing(path: &Path) -> Result<Option<File>, OpenError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Refuses a write-ahead log that SQLite would read only a part of.
fn check_log(path: &Path, log: &File, index_path: &Path) -> Result<(), OpenError> {
    let mut index = Vec::new();
    if let Some(file) = open_existing(index_path)? {
        let read = file.take(wal::INDEX_BYTES).read_to_end(&mut index);
        read.map_err(|source| OpenError::Io { path: index_path.to_owned(), source })?;
    }
    match wal::damage(&mut BufReader::with_capacity(LOG_READ_BYTES, log), &index) {
        Ok(None) => Ok(()),
        Ok(Some(offset)) => Err(OpenError::LogDamaged { path: path.to_owned(), offset }),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Makes an opened database durable, and locks it. See [`Files::guard`].
fn lock_database(path: &Path, file: File) -> Result<Option<Arc<File>>, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    file.sync_all().map_err(io_error)?;
    // On other systems these locks and those of SQLite get in each other's way.
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(Arc::new(file))),
    }
}
