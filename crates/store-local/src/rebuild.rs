//! A store whose log becomes empty: everything in it goes into the databases, and a new log begins. This is what a restore
//! and a repair end with.

use std::path::Path;
use std::sync::Arc;

use escrow_store::{StoreError, StoredTxn};
use escrow_txn::{Gid, Timestamp};

use crate::archive::Archive;
use crate::database::{self, Failure};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::identity::{self, StoreId};
use crate::log::{self, Log};
use crate::open::{self, ARCHIVE, UNFINISHED};
use crate::replay::{Replay, ReplayError};
use crate::spill::{SavedSetting, Spill};
use crate::table::Table;
use crate::tuning::Tuning;

/// Transactions that are moved at once.
const CHUNK: usize = 1_000;

/// A store that is not running, as its files are.
#[derive(Debug)]
pub(crate) struct Still {
    pub(crate) spill: Spill,
    pub(crate) archive: Archive,
    pub(crate) table: Table,
    /// What a reading of the log has shown.
    pub(crate) log: log::Report,
    /// What the log tells and makes no sense.
    pub(crate) nonsense: Vec<ReplayError>,
    /// The log has records of this kind, which a newer version of this program knows.
    pub(crate) unknown: Option<u8>,
}

/// What a store holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Finished transactions.
    pub finished: u64,
    /// Unfinished transactions.
    pub unfinished: u64,
    /// Settings.
    pub settings: u64,
}

impl Still {
    /// Reads the store in `dir`, however damaged its log is.
    pub(crate) fn read(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId, now: Timestamp) -> Result<Self, OpenError> {
        let database = |error| OpenError::of_database(dir, error);
        open::check_unfinished(&**disk, dir)?;
        let (spill, archive) = open::databases(disk, dir, id, &Tuning::default())?;
        let mut replay = Replay::new(&spill, &archive).map_err(|error| OpenError::of_database(dir, error))?.lenient();
        let mut failed = None;
        let mut on_frame = |segment, sequence, body: &[u8]| {
            if failed.is_none() {
                failed = replay.frame(segment, sequence, body).err();
            }
        };
        let log = log::check(&**disk, dir, id, &mut on_frame);
        let log = log.map_err(|source| OpenError::Io { path: dir.join(log::DIR), source })?;
        if let Some(error) = failed {
            return Err(database(error));
        }
        let unknown = replay.unknown();
        let (table, nonsense) = replay.finish_noting(now).map_err(database)?;
        Ok(Self { spill, archive, table, log, nonsense, unknown })
    }

    /// Whether all of the log can be carried over into the databases.
    ///
    /// # Errors
    /// [`OpenError::Newer`].
    pub(crate) fn check_known(&self, dir: &Path) -> Result<(), OpenError> {
        let Some(kind) = self.unknown else { return Ok(()) };
        let source = format!("its log holds records of kind {kind}, which this version does not know").into();
        Err(OpenError::Newer { path: dir.to_owned(), source })
    }

    /// Brings everything into the databases. What is finished comes before what is not, then the highest version counts.
    pub(crate) fn settle(&self, is_held: bool, now: Timestamp) -> Result<Contents, StoreError> {
        let rows: Vec<Arc<StoredTxn>> = self.table.rows().map(Arc::clone).collect();
        let (finished, unfinished): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.head.status.is_final());
        for chunk in finished.chunks(CHUNK) {
            self.archive.insert(chunk, now)?;
            let gids: Vec<Gid> = chunk.iter().map(|row| row.gid.clone()).collect();
            self.spill.delete(&gids)?;
        }
        for chunk in unfinished.chunks(CHUNK) {
            self.spill.save(chunk, &[])?;
        }
        let settings = self.settings();
        self.spill.save(&[], &settings)?;
        let mut contents = Contents { settings: settings.len() as u64, ..Contents::default() };
        let mut after: Option<Gid> = None;
        loop {
            let chunk = self.spill.export(after.as_ref(), CHUNK)?;
            let Some(last) = chunk.last() else { break };
            after = Some(last.txn.gid.clone());
            let (mut gone, mut kept) = (Vec::new(), Vec::new());
            for spilled in chunk {
                // Purged or not: a backup can have a transaction's end and not the records before.
                let archived = self.archive.find(&spilled.txn.gid, None)?;
                // Otherwise its gid was used again.
                let is_finished = archived.is_some_and(|archived| archived.created_at == spilled.txn.created_at);
                if is_finished { gone.push(spilled.txn.gid) } else { kept.push(spilled.txn) }
            }
            self.spill.delete(&gone)?;
            if is_held {
                self.spill.save_held(&kept)?;
            }
            contents.unfinished += kept.len() as u64;
        }
        self.spill.settle()?;
        self.archive.settle()?;
        contents.finished = self.archive.info().rows;
        Ok(contents)
    }

    /// How many are in `unfinished.db` and not live as well.
    pub(crate) fn spilled_only(&self) -> u64 {
        let both = self.table.rows().filter(|row| matches!(self.spill.find(&row.gid), Ok(Some(_)))).count() as u64;
        self.spill.info().rows.saturating_sub(both)
    }

    fn settings(&self) -> Vec<SavedSetting> {
        let saved = |((category, key), value): (&crate::record::SettingKey, &_)| SavedSetting {
            category: category.clone(),
            key: key.clone(),
            value: Some(Clone::clone(value)),
        };
        let mut settings: Vec<_> = self.table.settings().map(saved).collect();
        settings.extend(self.table.removed_settings());
        settings
    }
}

/// Makes the settled databases in `dir` those of the store `id`, with a new log.
pub(crate) fn begin_anew(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId) -> Result<(), OpenError> {
    identity::begin(&**disk, dir, id).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    go_on_anew(disk, dir, id)
}

/// Does the rest of a [`begin_anew`] of the store in `dir` that was cut off, if there was one.
pub(crate) fn complete(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId) -> Result<(), OpenError> {
    if identity::is_begun_again(&**disk, dir, id)? { go_on_anew(disk, dir, id) } else { Ok(()) }
}

/// May be cut off anywhere and done again.
fn go_on_anew(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
    let database = |error: Failure| OpenError::of_database(dir, error);
    database::give_to(disk, &dir.join(UNFINISHED), id).map_err(database)?;
    let archive = dir.join(ARCHIVE);
    for name in disk.list(&archive).map_err(io_error)?.iter().filter(|name| name.ends_with(".db")) {
        database::give_to(disk, &archive.join(name), id).map_err(database)?;
    }
    // SQLite's journals are gone for good only then: one that came back would give the databases back.
    disk.sync_dir(&archive).and_then(|()| disk.sync_dir(dir)).map_err(io_error)?;
    let log_dir = dir.join(log::DIR);
    for name in disk.list(&log_dir).map_err(io_error)? {
        disk.remove(&log_dir.join(name)).map_err(io_error)?;
    }
    disk.sync_dir(&log_dir).map_err(io_error)?;
    let log = Log::create(Arc::clone(disk), dir, id, Tuning::default().log, &[]);
    let log = log.map_err(|error| OpenError::Log { dir: dir.to_owned(), source: error.into() })?;
    let first_needed = log.current();
    log.stop(first_needed).map_err(|error| OpenError::Log { dir: dir.to_owned(), source: error.into() })?;
    identity::complete(&**disk, dir).map_err(io_error)
}
