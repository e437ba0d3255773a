//! One file of an archive.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use escrow_store::{StoreError, StoredTxn};
use rusqlite::Connection;

use super::bounds::Bounds;
use super::closed::{ClosedFile, Connections};
use super::front::Front;
use super::name::Name;
use crate::columns;
use crate::database::{self, Database, FILTER, Failure, Header, Meta, OpenError, Schema, Turn};
use crate::disk::Disk;
use crate::filter::{Fingerprint, GidFilter};
use crate::identity::StoreId;
use crate::ledger::{self, Index, Ledger, Proven};

const SCHEMA: Schema = Schema {
    // "EscF"
    application_id: 0x4573_6346,
    migrations: &[include_str!("../schema/finished_1.sql")],
    counts: &["rows", "sum_gid", "sum_kind", "sum_business_key", "sum_attention"],
    page_bytes: 8192,
};

/// The key of the table `meta` for the number of rows when the filter of a closed partition was made.
const FILTER_ROWS: &str = "filter_rows";

/// Fingerprints are taken up in pieces: whoever asks the filter meanwhile does not wait for a whole batch.
const FINGERPRINTS_AT_ONCE: usize = 256;

/// What all partitions of an archive need.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    /// Rows of a partition, about.
    pub(super) rows_max: u64,
    pub(super) connections: Connections,
    pub(super) syncs: Arc<AtomicU64>,
}

impl Context {
    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.dir.join(name.to_string())
    }
}

/// A partition, as it is read.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: Name,
    place: Place,
    proven: Proven,
}

#[derive(Debug)]
enum Place {
    Current(Arc<Current>),
    Closed { file: Arc<ClosedFile>, filter: GidFilter, bounds: Bounds },
}

/// The partition that is written.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) name: Name,
    database: Database,
    filter: RwLock<GidFilter>,
    bounds: Mutex<Bounds>,
}

impl Partition {
    /// Opens a partition that was closed. `None`: it was not, or not altogether.
    pub(super) fn open_closed(context: &Context, name: Name) -> Result<Option<Self>, OpenError> {
        let path = context.path(name);
        database::rewrite_logs(&context.disk, &path)?;
        let header = Header::read(&context.disk, &path, &SCHEMA)?;
        let sqlite_error = |source| OpenError::Sqlite { path: path.clone(), source };
        let connection = database::connect(&context.disk, &path).map_err(sqlite_error)?;
        database::check(&connection, &path, context.store, &SCHEMA)?;
        header.check_length(&connection, &path)?;
        let read = || -> rusqlite::Result<Option<(GidFilter, Bounds)>> {
            let mode: String = connection.query_row("PRAGMA journal_mode", (), |row| row.get(0))?;
            let meta = Meta::read(&connection)?;
            let filter_rows = meta.find_number(FILTER_ROWS);
            let Some(filter_rows) = filter_rows.filter(|_| mode != "wal") else { return Ok(None) };
            let bounds = Bounds::of(&meta)?;
            let saved = if filter_rows.unsigned_abs() == bounds.rows { saved_filter(&connection)? } else { None };
            let filter = saved.map_or_else(|| remake_filter(&connection, bounds.rows), Ok)?;
            Ok(Some((filter, bounds)))
        };
        let found = read().map_err(sqlite_error)?;
        Ok(found.map(|(filter, bounds)| {
            let file = ClosedFile::new(path);
            Self { name, place: Place::Closed { file, filter, bounds }, proven: Proven::default() }
        }))
    }

    /// The partition that is written, to be read.
    pub(super) fn of_current(current: &Arc<Current>) -> Self {
        Self { name: current.name, place: Place::Current(Arc::clone(current)), proven: Proven::default() }
    }

    pub(super) fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        match &self.place {
            Place::Current(current) => current.may_hold(fingerprint),
            Place::Closed { filter, .. } => filter.may_hold(fingerprint),
        }
    }

    /// What its filter is made of; `None`: it says *maybe* to everything.
    pub(super) fn fingerprints(&self) -> Option<Vec<Fingerprint>> {
        match &self.place {
            Place::Current(current) => current.filter.read().unwrap_or_else(PoisonError::into_inner).fingerprints(),
            Place::Closed { filter, .. } => filter.fingerprints(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        match &self.place {
            Place::Current(current) => current.bounds(),
            Place::Closed { bounds, .. } => *bounds,
        }
    }

    pub(super) fn path(&self) -> &Path {
        match &self.place {
            Place::Current(current) => current.database.path(),
            Place::Closed { file, .. } => &file.path,
        }
    }

    /// Compares an index with what is kept about it, unless that has been done: before an answer depends on what is not in it.
    pub(super) fn prove(&self, context: &Context, index: Index) -> Result<(), StoreError> {
        let prove = |connection: &Connection| -> Result<(), StoreError> {
            ledger::prove(connection, index).map_err(|error| Failure::of(error).into())
        };
        self.proven.ensure(index, || match &self.place {
            // Its filter was made of this index.
            Place::Current(_) if index == Index::Gid => Ok(()),
            Place::Current(current) => current.database.read_state(prove),
            Place::Closed { file, .. } => context.connections.read(file, (), prove),
        })
    }

    /// Runs a read; `gone` is the answer of a partition that is being removed.
    pub(super) fn read<T>(
        &self,
        context: &Context,
        turn: Turn,
        gone: T,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.place {
            Place::Current(current) => current.database.read(turn, read),
            Place::Closed { file, .. } => context.connections.read(file, gone, read),
        }
    }

    /// Removes a closed partition's file. Not durable before the directory is synced.
    pub(super) fn remove(&self, context: &Context) -> Result<(), Failure> {
        if let Place::Closed { file, .. } = &self.place {
            file.give_up();
            context.connections.forget(file);
            database::remove(&context.disk, &file.path).map_err(Failure::of_io)?;
        }
        Ok(())
    }
}

impl Current {
    /// Opens a partition to be written, and makes it if it is not there.
    pub(super) fn open(context: &Context, name: Name) -> Result<Self, OpenError> {
        let path = context.path(name);
        let database = Database::open(&context.disk, &path, context.store, &SCHEMA, &context.syncs)?;
        let read = |connection: &Connection| -> rusqlite::Result<_> {
            Ok((Bounds::of(&Meta::read(connection)?)?, make_filter(connection, context.rows_max)?))
        };
        let read = database.read(Turn::List, |connection| read(connection).map_err(|error| Failure::of(error).into()));
        let (bounds, filter) = read.map_err(|source| OpenError::Read { path, source })?;
        Ok(Self { name, database, filter: RwLock::new(filter), bounds: Mutex::new(bounds) })
    }

    /// Takes transactions over, in the order of their gids, as one durable transaction.
    pub(super) fn insert(&self, txns: &[&StoredTxn], front: &Front) -> Result<(), Failure> {
        // Before anybody can see the rows.
        let mut may_be_there = Vec::with_capacity(txns.len());
        for piece in txns.chunks(FINGERPRINTS_AT_ONCE) {
            let mut fingerprints: Vec<_> = piece.iter().map(|txn| Fingerprint::of(&txn.gid)).collect();
            let mut filter = self.filter.write().unwrap_or_else(PoisonError::into_inner);
            fingerprints.retain(|fingerprint| {
                let is_new = filter.insert(*fingerprint);
                may_be_there.push(!is_new);
                is_new
            });
            drop(filter);
            front.insert(&fingerprints);
        }
        let bounds = self.database.write(|connection| {
            let mut meta = Meta::read(connection)?;
            let mut ledger = Ledger::of(&meta)?;
            let mut bounds = self.bounds();
            let mut upsert = connection.prepare_cached(columns::UPSERT)?;
            for (txn, may_be_there) in txns.iter().zip(may_be_there) {
                if may_be_there && let Some(stands) = columns::find_head(connection, &txn.gid)? {
                    // A gid whose transaction was purged can come again, at any version.
                    let rank = |txn: &StoredTxn| (txn.head.finished_at, txn.version);
                    if rank(txn) <= rank(&stands.txn) {
                        continue;
                    }
                    ledger.remove(&stands);
                }
                columns::write(&mut upsert, txn, false)?;
                ledger.add(txn, false);
                bounds = bounds.with(txn);
            }
            ledger.save(&mut meta);
            bounds.save(&mut meta);
            meta.write(connection)?;
            Ok(Bounds { rows: ledger.rows, ..bounds })
        })?;
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        Ok(())
    }

    /// Ends this partition: its filter is saved, and one file is left.
    pub(super) fn close(&self) -> Result<Partition, Failure> {
        let (filter, bounds) = (self.save_filter()?, self.bounds());
        self.database.close()?;
        let file = ClosedFile::new(self.database.path().to_owned());
        Ok(Partition { name: self.name, place: Place::Closed { file, filter, bounds }, proven: Proven::default() })
    }

    /// A filter is also what a closed partition is known by.
    pub(super) fn save_filter(&self) -> Result<GidFilter, Failure> {
        let filter = self.filter.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.database.write(|connection| save_filter(connection, &filter, self.bounds().rows))?;
        Ok(filter)
    }

    pub(super) fn settle(&self) -> Result<(), Failure> {
        self.database.settle()
    }

    pub(super) fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        self.filter.read().unwrap_or_else(PoisonError::into_inner).may_hold(fingerprint)
    }
}

/// The filter that was saved; `None` if it is damaged, or of another version of this program.
fn saved_filter(connection: &Connection) -> rusqlite::Result<Option<GidFilter>> {
    let mut statement = connection.prepare("SELECT value FROM meta WHERE key = ?1")?;
    let mut rows = statement.query([FILTER])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(row.get_ref(0)?.as_blob().ok().and_then(GidFilter::restore))
}

/// Makes the filter of a closed partition once more, and saves it if that is possible.
fn remake_filter(connection: &Connection, rows: u64) -> rusqlite::Result<GidFilter> {
    let filter = make_filter(connection, 0)?;
    if let Err(error) = save_filter(connection, &filter, rows) {
        tracing::warn!(%error, "the filter of an archive partition could not be saved");
    }
    Ok(filter)
}

fn save_filter(connection: &Connection, filter: &GidFilter, rows: u64) -> rusqlite::Result<()> {
    // One that says *maybe* to everything is not worth keeping: the next start tries anew.
    database::save_filter(connection, filter.save().unwrap_or_default())?;
    let mut meta = Meta::read(connection)?;
    meta.set(FILTER_ROWS, rows.cast_signed());
    meta.write(connection)
}

/// Makes a filter of the index of gids, which is compared with what is kept about it, with room for so many.
fn make_filter(connection: &Connection, capacity: u64) -> rusqlite::Result<GidFilter> {
    let mut fingerprints = Vec::new();
    ledger::gids(connection, |gid| fingerprints.push(Fingerprint::of(&gid)))?;
    Ok(GidFilter::of(fingerprints, capacity))
}
