//! Unfinished transactions that have left the log: in one database, with the settings.
//!
//! The keeper is the only one that writes. A row that is written again replaces what is there if its version is higher, so
//! that a replay of the log can do everything once more. Rows that are on hold came from a backup: nobody drives them until
//! an operator releases them.
//!
//! Opening reads no transaction. What is kept about the rows stands beside them; a filter over the gids says at once that one
//! is not there, and is built at opening if the rows are few, else later, while reads go on. Until it is built, whoever finds
//! nothing builds it, because the index has to be proven first.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use escrow_store::{StoreError, StoredTxn, Version};
use escrow_txn::{Gid, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::checksum::Checksum;
use crate::columns::{self, Stored};
use crate::database::{self, Database, Failure, Meta, OpenError, Schema};
use crate::disk::Disk;
use crate::filter::Fingerprint;
use crate::identity::StoreId;
use crate::ledger::{Index, Ledger, Proven};

mod fingerprints;
mod reads;

use fingerprints::Fingerprints;

const SCHEMA: Schema = Schema {
    // "EscU"
    application_id: 0x4573_6355,
    migrations: &[include_str!("schema/unfinished_1.sql")],
    counts: &[
        "rows",
        "sum_gid",
        "sum_kind",
        "sum_business_key",
        "sum_attention",
        "sum_due",
        "sum_in_flight",
        "sum_held",
        HELD,
        SETTINGS,
    ],
    page_bytes: 4096,
};

/// Up to so many rows, the filter is built and all indexes are proven at opening.
const FILTER_AT_OPEN_ROWS: u64 = 100_000;

/// Transactions that are released at one time.
const RELEASED_MAX: u32 = 1_000;

/// Keys of the table `meta`.
const HELD: &str = "held";
const SETTINGS: &str = "sum_setting";

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
    proven: Proven,
    info: Mutex<SpillInfo>,
    syncs: Arc<AtomicU64>,
}

/// What a transaction of the database does to the rows.
struct Writing<'c> {
    connection: &'c Connection,
    upsert: CachedStatement<'c>,
    ledger: Ledger,
    /// Rows on hold.
    held: i64,
    /// The sum of the settings' checksums.
    settings: i64,
    inserted: Vec<Fingerprint>,
    removed: Vec<Fingerprint>,
}

impl Spill {
    /// Opens a database, and makes it if it is not there. That it has been there and is gone is for the caller to notice.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(disk: &Arc<dyn Disk>, path: &Path, store: StoreId) -> Result<Self, OpenError> {
        let syncs = Arc::default();
        let database = Database::open(disk, path, store, &SCHEMA, &syncs)?;
        let (filter, proven) = (Fingerprints::default(), Proven::default());
        let spill = Self { database, filter, proven, info: Mutex::default(), syncs };
        let read = |connection: &Connection| {
            let info = Meta::read(connection).and_then(|meta| info(connection, &meta));
            info.map_err(|error| Failure::of(error).into())
        };
        let open_error = |source: StoreError| OpenError::Read { path: path.to_owned(), source };
        let info = spill.database.read(database::Turn::LookUp, read).map_err(open_error)?;
        *spill.info_mut() = info;
        if info.rows <= FILTER_AT_OPEN_ROWS {
            Index::ALL.into_iter().try_for_each(|index| spill.prove(index)).map_err(open_error)?;
        }
        Ok(spill)
    }

    /// Saves transactions whose version is higher than what is there, and settings; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save(&self, txns: &[Arc<StoredTxn>], settings: &[SavedSetting]) -> Result<(), Failure> {
        self.write(|writing| {
            for txn in txns {
                let stands = columns::find_head(writing.connection, &txn.gid)?;
                if stands.as_ref().is_none_or(|stands| stands.txn.version < txn.version) {
                    let held = stands.as_ref().is_some_and(|stands| stands.held);
                    writing.put(stands, txn, held)?;
                }
            }
            settings.iter().try_for_each(|setting| writing.save_setting(setting))
        })
    }

    /// Saves transactions as they are, whatever is there; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn replace(&self, txns: &[Arc<StoredTxn>]) -> Result<(), Failure> {
        self.write(|writing| {
            txns.iter().try_for_each(|txn| {
                let stands = columns::find_head(writing.connection, &txn.gid)?;
                let held = stands.as_ref().is_some_and(|stands| stands.held);
                writing.put(stands, txn, held)
            })
        })
    }

    /// Saves transactions as they are and puts them on hold; durable when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn save_held(&self, txns: &[StoredTxn]) -> Result<(), Failure> {
        self.write(|writing| {
            txns.iter().try_for_each(|txn| {
                let stands = columns::find_head(writing.connection, &txn.gid)?;
                writing.put(stands, txn, true)
            })
        })
    }

    /// Releases one transaction (`Some`) or up to 1,000 (`None`) that are on hold; durable when this returns. Nothing is
    /// returned once none is left.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn release(&self, gid: Option<&Gid>) -> Result<Vec<Released>, Failure> {
        self.write(|writing| {
            let gids = match gid {
                Some(gid) => vec![gid.clone()],
                None => held_gids(writing.connection)?,
            };
            let mut released = Vec::with_capacity(gids.len());
            for gid in gids {
                let stands = columns::find(writing.connection, &gid).map_err(columns::within)?;
                if let Some(stands) = stands.filter(|stands| stands.held) {
                    let head = &stands.txn.head;
                    let (next_run_at, in_flight) = (head.next_run_at, head.owner.is_some());
                    released.push(Released { gid, next_run_at, in_flight });
                    let txn = stands.txn.clone();
                    writing.put(Some(stands), &txn, false)?;
                }
            }
            Ok(released)
        })
    }

    /// Deletes transactions; durable when this returns. Those that are not there are left out.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn delete(&self, gids: &[Gid]) -> Result<(), Failure> {
        self.write(|writing| gids.iter().try_for_each(|gid| writing.delete(gid)))
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
    fn write<T>(&self, work: impl FnOnce(&mut Writing<'_>) -> rusqlite::Result<T>) -> Result<T, Failure> {
        // What is not found by its gid is written as new.
        self.prove(Index::Gid).map_err(|error| Failure::Sqlite(Arc::new(error)))?;
        let (mut inserted, mut removed) = (Vec::new(), Vec::new());
        let mut is_noted = false;
        let result = self.database.write(|connection| {
            let mut meta = Meta::read(connection)?;
            let mut writing = Writing::begin(connection, &meta)?;
            let done = work(&mut writing)?;
            writing.save(&mut meta);
            meta.write(connection)?;
            let info = info(connection, &meta)?;
            (inserted, removed) = (writing.inserted, writing.removed);
            // Before anybody can see the rows.
            self.filter.insert(&inserted);
            is_noted = true;
            Ok((done, info))
        });
        match result {
            Ok((done, info)) => {
                self.filter.remove(&removed);
                *self.info_mut() = info;
                Ok(done)
            }
            Err(failure) => {
                // After a failed commit the rows may be there.
                if is_noted && !matches!(failure, Failure::Failed(_)) {
                    self.filter.remove(&inserted);
                }
                Err(failure)
            }
        }
    }

    fn info_mut(&self) -> MutexGuard<'_, SpillInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'c> Writing<'c> {
    fn begin(connection: &'c Connection, meta: &Meta) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            upsert: connection.prepare_cached(columns::UPSERT)?,
            ledger: Ledger::of(meta)?,
            held: meta.number(HELD)?,
            settings: meta.number(SETTINGS)?,
            inserted: Vec::new(),
            removed: Vec::new(),
        })
    }

    /// Notes what is kept about the rows from now on.
    fn save(&self, meta: &mut Meta) {
        self.ledger.save(meta);
        meta.set(HELD, self.held);
        meta.set(SETTINGS, self.settings);
    }

    /// Writes a row in place of the one that stands under its gid.
    fn put(&mut self, stands: Option<Stored>, txn: &StoredTxn, held: bool) -> rusqlite::Result<()> {
        match stands {
            Some(stands) => self.forget(&stands),
            None => self.inserted.push(Fingerprint::of(&txn.gid)),
        }
        columns::write(&mut self.upsert, txn, held)?;
        self.ledger.add(txn, held);
        self.held += i64::from(held);
        Ok(())
    }

    fn delete(&mut self, gid: &Gid) -> rusqlite::Result<()> {
        if let Some(stands) = columns::find_head(self.connection, gid)? {
            self.connection.prepare_cached("DELETE FROM txn WHERE gid = ?1")?.execute([gid.as_str()])?;
            self.forget(&stands);
            self.removed.push(Fingerprint::of(gid));
        }
        Ok(())
    }

    fn forget(&mut self, stands: &Stored) {
        self.ledger.remove(stands);
        self.held -= i64::from(stands.held);
    }

    fn save_setting(&mut self, setting: &SavedSetting) -> rusqlite::Result<()> {
        let (category, key) = (&setting.category, &setting.key);
        let sql = "DELETE FROM setting WHERE category = ?1 AND key = ?2 RETURNING category, key, version, value";
        let check = |row: &Row<'_>| check_of_setting(row);
        let stands = self.connection.prepare_cached(sql)?.query_row([category, key], check).optional()?;
        self.settings -= stands.unwrap_or(0);
        if let Some((version, value)) = &setting.value {
            let sql = "INSERT INTO setting (category, key, version, value) VALUES (?1, ?2, ?3, ?4) \
                       RETURNING category, key, version, value";
            let mut statement = self.connection.prepare_cached(sql)?;
            self.settings += statement.query_row(params![category, key, version.0.cast_signed(), &**value], check)?;
        }
        Ok(())
    }
}

/// The checksum of a setting: category, key, version, value.
fn check_of_setting(row: &Row<'_>) -> rusqlite::Result<i64> {
    Ok(Checksum::default().with_columns(row, 0..4)?.to_column())
}

fn held_gids(connection: &Connection) -> rusqlite::Result<Vec<Gid>> {
    let sql = "SELECT gid FROM txn INDEXED BY txn_held WHERE held = 1 LIMIT ?1";
    connection.prepare_cached(sql)?.query_map([RELEASED_MAX], |row| columns::gid(row, 0))?.collect()
}

fn info(connection: &Connection, meta: &Meta) -> rusqlite::Result<SpillInfo> {
    let held = meta.number(HELD)?.unsigned_abs();
    Ok(SpillInfo { rows: Ledger::of(meta)?.rows, held, oldest_created_at: reads::oldest(connection)? })
}

#[cfg(test)]
mod tests;
