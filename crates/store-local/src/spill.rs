//! Unfinished transactions that have left the log: in one database, with the settings.
//!
//! The keeper is the only one that writes. A row that is written again replaces what is there if its version is higher, so
//! that a replay of the log can do everything once more. Rows that are on hold came from a backup: nobody drives them until
//! an operator releases them.
//!
//! Opening reads no transaction. The numbers of rows are kept beside them; a filter over the gids says at once that one is
//! not there, and is built at opening if the rows are few, else later, while reads and writes go on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use escrow_store::{StoreError, StoredTxn, Version};
use escrow_txn::{Gid, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::columns;
use crate::database::{self, Database, Failure, OpenError, Schema};
use crate::disk::Disk;
use crate::filter::Fingerprint;
use crate::identity::StoreId;

mod fingerprints;
mod reads;

use fingerprints::Fingerprints;

const SCHEMA: Schema = Schema {
    // "EscU"
    application_id: 0x4573_6355,
    migrations: &[include_str!("schema/unfinished_1.sql")],
    page_bytes: 4096,
};

/// Up to so many rows, the filter is built at opening.
const FILTER_AT_OPEN_ROWS: u64 = 100_000;

/// Transactions that are released at one time.
const RELEASED_MAX: u32 = 1_000;

/// Keys of the table `meta`.
const ROWS: &str = "rows";
const HELD: &str = "held";

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
#[derive(Debug)]
pub(crate) struct Spill {
    database: Database,
    filter: Fingerprints,
    info: Mutex<SpillInfo>,
    syncs: Arc<AtomicU64>,
}

/// What one transaction has done to the rows.
#[derive(Debug, Default)]
struct Written {
    inserted: Vec<Fingerprint>,
    removed: Vec<Fingerprint>,
    /// Rows on hold, more than before.
    held: i64,
}

impl Spill {
    /// Opens a database, and makes it if it is not there. That it has been there and is gone is for the caller to notice.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(disk: &Arc<dyn Disk>, path: &Path, store: StoreId) -> Result<Self, OpenError> {
        let syncs = Arc::default();
        let database = Database::open(disk, path, store, &SCHEMA, &syncs)?;
        let spill = Self { database, filter: Fingerprints::default(), info: Mutex::default(), syncs };
        let read = |connection: &Connection| info(connection).map_err(|error| Failure::of(error).into());
        let open_error = |source: StoreError| OpenError::Read { path: path.to_owned(), source };
        let info = spill.database.read(database::Turn::LookUp, read).map_err(open_error)?;
        *spill.info_mut() = info;
        if info.rows <= FILTER_AT_OPEN_ROWS {
            spill.build_filter().map_err(open_error)?;
        }
        Ok(spill)
    }

    /// Saves transactions whose version is higher than what is there, and settings; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save(&self, txns: &[Arc<StoredTxn>], settings: &[SavedSetting]) -> Result<(), Failure> {
        let upsert = columns::upsert!("excluded.version > txn.version");
        self.write(|connection, written| {
            txns.iter().try_for_each(|txn| put(connection, upsert, txn, written))?;
            settings.iter().try_for_each(|setting| save_setting(connection, setting))
        })
    }

    /// Saves transactions as they are and puts them on hold; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save_held(&self, txns: &[StoredTxn]) -> Result<(), Failure> {
        self.write(|connection, written| {
            let mut hold = connection.prepare_cached("UPDATE txn SET held = 1 WHERE gid = ?1 AND held = 0")?;
            for txn in txns {
                put(connection, columns::upsert!("true"), txn, written)?;
                written.held += i64::from(hold.execute([txn.gid.as_str()])? == 1);
            }
            Ok(())
        })
    }

    /// Releases one transaction (`Some`) or up to 1,000 (`None`) that are on hold; durable when this returns. Nothing is
    /// returned once none is left.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn release(&self, gid: Option<&Gid>) -> Result<Vec<Released>, Failure> {
        self.write(|connection, written| {
            let only = gid.map(Gid::as_str);
            let released = held_rows(connection, only)?;
            let mut release = connection.prepare_cached("UPDATE txn SET held = 0 WHERE gid = ?1")?;
            for row in &released {
                release.execute([row.gid.as_str()])?;
                written.held -= 1;
            }
            Ok(released)
        })
    }

    /// Deletes transactions; durable when this returns. Those that are not there are left out.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn delete(&self, gids: &[Gid]) -> Result<(), Failure> {
        self.write(|connection, written| {
            let mut delete = connection.prepare_cached("DELETE FROM txn WHERE gid = ?1 RETURNING held")?;
            for gid in gids {
                let held: Option<i64> = delete.query_row([gid.as_str()], |row| row.get(0)).optional()?;
                if let Some(held) = held {
                    written.removed.push(Fingerprint::of(gid));
                    written.held -= held;
                }
            }
            Ok(())
        })
    }

    /// Makes everything independent of SQLite's write-ahead log: only then a segment can go without anybody depending on a
    /// file that SQLite would read a part of if it were damaged.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        self.database.settle()
    }

    /// What it holds, from memory.
    pub(crate) fn info(&self) -> SpillInfo {
        *self.info_mut()
    }

    /// See [`Database::disconnect`].
    #[cfg(test)]
    pub(crate) fn disconnect(&self) {
        self.database.disconnect();
    }

    /// Syncs since it was opened.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Relaxed)
    }

    /// Runs `work` as one durable transaction, with everything that is kept about the rows.
    fn write<T>(&self, work: impl FnOnce(&Connection, &mut Written) -> rusqlite::Result<T>) -> Result<T, Failure> {
        let mut written = Written::default();
        let mut is_noted = false;
        let result = self.database.write(|connection| {
            let done = work(connection, &mut written)?;
            let grown = written.inserted.len() as i64 - written.removed.len() as i64;
            add_to_count(connection, ROWS, grown)?;
            add_to_count(connection, HELD, written.held)?;
            let info = info(connection)?;
            // Before anybody can see the rows.
            self.filter.insert(&written.inserted);
            is_noted = true;
            Ok((done, info))
        });
        match result {
            Ok((done, info)) => {
                self.filter.remove(&written.removed);
                *self.info_mut() = info;
                Ok(done)
            }
            Err(failure) => {
                // After a failed commit the rows may be there.
                if is_noted && !matches!(failure, Failure::Failed(_)) {
                    self.filter.remove(&written.inserted);
                }
                Err(failure)
            }
        }
    }

    fn info_mut(&self) -> MutexGuard<'_, SpillInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(connection: &Connection, upsert: &str, txn: &StoredTxn, written: &mut Written) -> rusqlite::Result<()> {
    let mut is_there = connection.prepare_cached("SELECT 1 FROM txn WHERE gid = ?1")?;
    if !is_there.exists([txn.gid.as_str()])? {
        written.inserted.push(Fingerprint::of(&txn.gid));
    }
    columns::write(&mut *connection.prepare_cached(upsert)?, txn).map(drop)
}

fn save_setting(connection: &Connection, setting: &SavedSetting) -> rusqlite::Result<()> {
    let (category, key) = (&setting.category, &setting.key);
    match &setting.value {
        Some((version, value)) => connection
            .prepare_cached("INSERT OR REPLACE INTO setting (category, key, version, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![category, key, version.0.cast_signed(), &**value]),
        None => {
            connection.prepare_cached("DELETE FROM setting WHERE category = ?1 AND key = ?2")?.execute([category, key])
        }
    }
    .map(drop)
}

fn held_rows(connection: &Connection, only: Option<&str>) -> rusqlite::Result<Vec<Released>> {
    let released = |row: &rusqlite::Row<'_>| {
        Ok(Released {
            gid: columns::gid(row, 0)?,
            next_run_at: row.get::<_, Option<i64>>(1)?.map(columns::from_micros),
            in_flight: row.get(2)?,
        })
    };
    let columns = "SELECT gid, next_run_at, owner IS NOT NULL FROM txn";
    match only {
        Some(gid) => {
            let sql = format!("{columns} WHERE gid = ?1 AND held = 1");
            connection.prepare_cached(&sql)?.query_map([gid], released)?.collect()
        }
        None => {
            let sql = format!("{columns} INDEXED BY txn_held WHERE held = 1 LIMIT ?1");
            connection.prepare_cached(&sql)?.query_map([RELEASED_MAX], released)?.collect()
        }
    }
}

fn add_to_count(connection: &Connection, key: &str, more: i64) -> rusqlite::Result<()> {
    if more == 0 {
        return Ok(());
    }
    let count: i64 = database::meta(connection, key)?.unwrap_or(0);
    database::set_meta(connection, key, count + more)
}

fn info(connection: &Connection) -> rusqlite::Result<SpillInfo> {
    let count = |key| Ok::<_, rusqlite::Error>(database::meta::<i64>(connection, key)?.unwrap_or(0).unsigned_abs());
    Ok(SpillInfo { rows: count(ROWS)?, held: count(HELD)?, oldest_created_at: reads::oldest(connection)? })
}

#[cfg(test)]
mod tests;
