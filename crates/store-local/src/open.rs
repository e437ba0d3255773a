//! From the files of a directory to a store that can go on, or a new one.

use std::path::Path;
use std::sync::Arc;

use escrow_store::Clock;

use crate::archive::Archive;
use crate::core::{Core, Parts};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::identity::{self, Found, StoreId};
use crate::log::{self, Log, LogError};
use crate::rebuild;
use crate::replay::{Replay, ReplayError};
use crate::spill::Spill;
use crate::tuning::Tuning;

/// The database of unfinished transactions, in the directory of the store.
pub(crate) const UNFINISHED: &str = "unfinished.db";
/// The directory of the archive's partitions.
pub(crate) const ARCHIVE: &str = "archive";

/// Opens the store in `dir`, which exists, and makes it if it is not there.
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    clock: Arc<dyn Clock>,
    tuning: Tuning,
) -> Result<(Arc<Core>, Log), OpenError> {
    let (id, is_new) = match identity::find(&**disk, dir)? {
        Found::Store(id) => {
            rebuild::complete(disk, dir, id)?;
            (id, false)
        }
        Found::Nothing { begun } => (begun.unwrap_or_else(|| StoreId(rand::random())), true),
    };
    let new_log = if is_new { Some(begin(disk, dir, id, &tuning)?) } else { None };
    if !is_new {
        check_unfinished(&**disk, dir)?;
    }
    let (spill, archive) = databases(disk, dir, id, &tuning)?;
    let mut replay = Replay::new(&spill, &archive).map_err(|error| OpenError::of_database(dir, error))?;
    let log = match new_log {
        Some(log) => log,
        None => {
            let mut on_frame = |segment, sequence, body: &[u8]| replay.frame(segment, sequence, body);
            Log::open(Arc::clone(disk), dir, id, tuning.log, &mut on_frame).map_err(|error| of_log(dir, error))?
        }
    };
    let table = replay.finish(clock.now()).map_err(|error| of_replay(dir, error))?;
    if is_new {
        identity::complete(&**disk, dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    }
    let segments = log.segments();
    Ok((Arc::new(Core::new(Parts { clock, tuning, archive, spill, segments, table })), log))
}

fn begin(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId, tuning: &Tuning) -> Result<Log, OpenError> {
    identity::begin(&**disk, dir, id).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let log = Log::create(Arc::clone(disk), dir, id, tuning.log, &[]);
    log.map_err(|error| of_log(dir, log::OpenError::<ReplayError>::Log(error)))
}

/// Whether nothing of a store is in the directory, though there may be locks.
pub(crate) fn is_empty(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    Ok(matches!(identity::find(disk, dir)?, Found::Nothing { .. }))
}

/// Misses the database of unfinished transactions: an opening would make a new one, and whatever was in it would seem never to
/// have been.
pub(crate) fn check_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let names = disk.list(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    if names.iter().any(|name| name == UNFINISHED) {
        Ok(())
    } else {
        Err(OpenError::Gone { path: dir.join(UNFINISHED) })
    }
}

/// Opens the databases of the store in `dir`, and makes those that are not there.
pub(crate) fn databases(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id: StoreId,
    tuning: &Tuning,
) -> Result<(Spill, Archive), OpenError> {
    let spill = Spill::open(disk, &dir.join(UNFINISHED), id).map_err(|error| OpenError::of_database(dir, error))?;
    let archive = Archive::open(disk, &dir.join(ARCHIVE), id, tuning.archive.clone());
    Ok((spill, archive.map_err(|error| OpenError::of_database(dir, error))?))
}

/// The same, told of the store in `dir`.
pub(crate) fn of_log(dir: &Path, error: log::OpenError<ReplayError>) -> OpenError {
    let dir = dir.to_owned();
    match error {
        log::OpenError::Frame { source, .. } => of_replay(&dir, source),
        log::OpenError::Log(LogError::Io { path, source }) => OpenError::Io { path, source },
        log::OpenError::Log(LogError::Missing { dir }) => OpenError::Gone { path: dir },
        log::OpenError::Log(error) => match error {
            LogError::Damage(_) => OpenError::Damaged { dir, source: error.into() },
            LogError::Newer { ref path, .. } => OpenError::Newer { path: path.clone(), source: error.into() },
            error => OpenError::Log { dir, source: error.into() },
        },
    }
}

fn of_replay(dir: &Path, error: ReplayError) -> OpenError {
    OpenError::Damaged { dir: dir.to_owned(), source: error.into() }
}
