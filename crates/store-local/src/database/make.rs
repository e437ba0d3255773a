use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use escrow_store::files::parent;
use rusqlite::{Connection, TransactionBehavior};

use super::meta::{SCHEMA, schema_check};
use super::{Damage, Meta, OpenError, Schema, connect};
use crate::disk::Disk;
use crate::identity::StoreId;

/// What SQLite appends to a database's name for the files beside it.
pub(crate) const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A database that is being made has this behind its name. It gets its own name when it is complete: a database without a
/// schema is damage, never one that was about to be made.
pub(crate) const UNFINISHED: &str = ".new";

/// Where a database says which store it belongs to.
pub(super) const STORE: &str = "store";

/// Making a database syncs it (its schema, its owner, its mode) and its directory.
const MAKE_SYNCS: u64 = 4;

/// Whether there is a file.
pub(crate) fn exists(disk: &Arc<dyn Disk>, path: &Path) -> Result<bool, OpenError> {
    let (dir, name) = split(path);
    let names = disk.list(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    Ok(names.iter().any(|found| Some(found.as_str()) == name))
}

/// Makes a database with the newest schema; durable when this returns.
pub(crate) fn make(
    disk: &Arc<dyn Disk>,
    path: &Path,
    store: StoreId,
    schema: &Schema,
    syncs: &AtomicU64,
) -> Result<(), OpenError> {
    let unfinished = with_suffix(path, UNFINISHED);
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    remove(disk, &unfinished).map_err(io_error)?;
    fill(disk, &unfinished, store, schema).map_err(|source| OpenError::Sqlite { path: unfinished.clone(), source })?;
    disk.rename(&unfinished, path).map_err(io_error)?;
    disk.sync_dir(split(path).0).map_err(|source| OpenError::Sync { path: path.to_owned(), source })?;
    syncs.fetch_add(MAKE_SYNCS, Relaxed);
    Ok(())
}

fn fill(disk: &Arc<dyn Disk>, path: &Path, store: StoreId, schema: &Schema) -> rusqlite::Result<()> {
    let mut connection = connect(disk, path)?;
    connection.pragma_update(None, "page_size", schema.page_bytes)?;
    // Half of it is as good as nothing, so nothing has to be kept to go back to; but it is synced.
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection, schema, 0)?;
    let mut meta = Meta::default();
    meta.set(STORE, store.to_string());
    meta.set(SCHEMA, schema_check(&connection)?);
    schema.counts.iter().for_each(|count| meta.set(count, 0));
    meta.write(&connection)?;
    // Already here: the change goes through a journal, and one that comes back after a power cut would undo what was written
    // since.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

/// Brings a database to the newest schema.
pub(crate) fn migrate(connection: &mut Connection, schema: &Schema, from: usize) -> rusqlite::Result<()> {
    for (number, script) in (1_i64..).zip(schema.migrations).skip(from) {
        let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        migration.execute_batch(script)?;
        if from > 0 {
            let mut meta = Meta::read(&migration)?;
            meta.set(SCHEMA, schema_check(&migration)?);
            meta.write(&migration)?;
        }
        migration.pragma_update(None, "application_id", schema.application_id)?;
        migration.pragma_update(None, "user_version", number)?;
        migration.commit()?;
    }
    Ok(())
}

/// The schema version of a database, if it is this store's and one that this program can use.
pub(crate) fn check(connection: &Connection, path: &Path, store: StoreId, schema: &Schema) -> Result<usize, OpenError> {
    let sqlite_error = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(sqlite_error);
    if number("PRAGMA application_id")? != i64::from(schema.application_id) {
        return Err(OpenError::NotAStore { path: path.to_owned() });
    }
    let (found, known) = (number("PRAGMA user_version")?, schema.migrations.len());
    let version = usize::try_from(found).ok().filter(|&version| version > 0 && version <= known);
    let version = version.ok_or_else(|| OpenError::NewerSchema { path: path.to_owned(), found, known })?;
    let meta = Meta::read(connection).map_err(sqlite_error)?;
    match meta.find_text(STORE) {
        Some(found) if found == store.to_string() => {}
        found => {
            let found = found.unwrap_or("nobody").to_owned();
            return Err(OpenError::OtherStore { path: path.to_owned(), found, expected: store });
        }
    }
    if meta.find_number(SCHEMA) != Some(schema_check(connection).map_err(sqlite_error)?) {
        return Err(OpenError::Damaged { path: path.to_owned(), source: Damage::Schema });
    }
    Ok(version)
}

/// Removes a database with the files beside it, or what is left of one. Not durable before the directory is synced.
pub(crate) fn remove(disk: &Arc<dyn Disk>, path: &Path) -> io::Result<()> {
    let (dir, _) = split(path);
    let names = disk.list(dir)?;
    for suffix in [""].iter().chain(&SIDE_FILES) {
        let file = with_suffix(path, suffix);
        let name = split(&file).1;
        if names.iter().any(|found| Some(found.as_str()) == name) {
            disk.remove(&file)?;
        }
    }
    Ok(())
}

/// The name of the database that a file belongs to which may be left of one that was being made or removed.
pub(crate) fn leftover_of(file: &str) -> Option<&str> {
    let beside = SIDE_FILES.iter().find_map(|suffix| file.strip_suffix(suffix));
    let main = beside.unwrap_or(file);
    let database = main.strip_suffix(UNFINISHED).unwrap_or(main);
    (database != file).then_some(database)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(super) fn split(path: &Path) -> (&Path, Option<&str>) {
    (parent(path), path.file_name().and_then(|name| name.to_str()))
}
