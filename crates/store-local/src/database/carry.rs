//! Databases that go elsewhere: copies, and those that get another owner.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::make::STORE;
use super::meta::{SCHEMA, schema_check};
use super::{Failure, Meta, connect, rewrite_logs};
use crate::disk::Disk;
use crate::identity::StoreId;
use crate::ledger::{self, Ledger};

/// Copies a database that may be in use elsewhere, as it is at one moment; durable when this returns, but for the name.
/// Its indexes are made anew of its rows, and compared with what is kept about them.
///
/// # Errors
/// [`Failure`]; what is at `to` is then not a copy.
pub(crate) fn copy(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = connect(disk, from).and_then(|connection| {
        // Whoever reads last would change the database otherwise, by a log that may not be on the disk (see `rewrite`).
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let name = disk.sql_name(to).ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
        connection.execute("VACUUM INTO ?1", [name])?;
        close(connection)
    });
    copied.map_err(Failure::of)?;
    connect(disk, to).and_then(|copy| adapt(&copy).and_then(|()| close(copy))).map_err(Failure::of)?;
    // SQLite does not.
    disk.open(to).and_then(|file| file.sync()).map_err(Failure::of_io_sync)
}

/// In a copy, tables and indexes begin elsewhere.
fn adapt(copy: &Connection) -> rusqlite::Result<()> {
    let mut meta = Meta::read(copy)?;
    Ledger::of(&meta)?.indexes().try_for_each(|index| ledger::prove(copy, index))?;
    meta.set(SCHEMA, schema_check(copy)?);
    meta.write(copy)
}

/// Makes a database that nobody has open one of the store `id`; durable when this returns.
///
/// # Errors
/// [`Failure`].
pub(crate) fn give_to(disk: &Arc<dyn Disk>, path: &Path, id: StoreId) -> Result<(), Failure> {
    rewrite_logs(disk, path)?;
    let given = connect(disk, path).and_then(|connection| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        let mut meta = Meta::read(&connection)?;
        meta.set(STORE, id.to_string());
        meta.write(&connection)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        close(connection)
    });
    given.map_err(Failure::of_sync)
}

fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.close().map_err(|(_, error)| error)
}
