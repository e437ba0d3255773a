//! A copy of a store that may be running, and a store from such a copy.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use escrow_store::{Clock, error_chain};

use crate::database;
use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::files::{self, Files};
use crate::identity::{self, Found, StoreId};
use crate::log;
use crate::open::{self, ARCHIVE, UNFINISHED};
use crate::rebuild::{Contents, Still, begin_anew};
use crate::replay::ReplayError;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Frames of the log.
    pub frames: u64,
    /// Archive files.
    pub partitions: u64,
    /// Bytes of everything.
    pub bytes: u64,
}

/// Copies the store in `dir`, which may be open elsewhere, into the new directory `to`.
///
/// The copy holds at least everything that was acknowledged before this was called. It is no store: [`restore`] makes one
/// of it.
///
/// # Errors
/// [`OpenError`]; what is in `to` then is not a backup, and can be removed.
pub fn backup(dir: &Path, to: &Path) -> Result<Backup, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let found = if dir.is_dir() { identity::find(&*disk, dir)? } else { Found::Nothing { begun: None } };
    let Found::Store(id) = found else {
        return Err(OpenError::NotAStore { path: dir.to_owned() });
    };
    make_empty_dir(to)?;
    // Until the end: no segment and no partition goes away meanwhile.
    let _pin = files::pin(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let (frames, partitions) = copy(&disk, dir, to, id)?;
    // Last: without it, it is not a backup.
    identity::write_backup(&*disk, to, id).map_err(|source| OpenError::Io { path: to.to_owned(), source })?;
    let bytes = bytes_below(to).map_err(|source| OpenError::Io { path: to.to_owned(), source })?;
    Ok(Backup { frames, partitions, bytes })
}

/// In the order in which transactions move: whatever moves meanwhile is met later, perhaps twice, but not never.
pub(crate) fn copy(disk: &Arc<dyn Disk>, dir: &Path, to: &Path, id: StoreId) -> Result<(u64, u64), OpenError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let copied = log::copy_running(&**disk, dir, to, id);
    let copied = copied.map_err(|error| open::of_log(dir, log::OpenError::<ReplayError>::Log(error)))?;
    let copy_database =
        |from: &Path, to: &Path| database::copy(disk, from, to).map_err(|error| OpenError::of_database(dir, error));
    copy_database(&dir.join(UNFINISHED), &to.join(UNFINISHED))?;
    let (archive, to_archive) = (dir.join(ARCHIVE), to.join(ARCHIVE));
    disk.create_dir(&to_archive).map_err(io_error(&to_archive))?;
    let mut partitions = 0;
    for name in disk.list(&archive).map_err(io_error(&archive))?.iter().filter(|name| name.ends_with(".db")) {
        copy_database(&archive.join(name), &to_archive.join(name))?;
        partitions += 1;
    }
    disk.sync_dir(&to_archive).map_err(io_error(&to_archive))?;
    disk.sync_dir(to).map_err(io_error(to))?;
    Ok((copied.frames, partitions))
}

/// Makes a store in the new directory `dir` of the backup in `from`.
///
/// It gets an id of its own, and everything unfinished in it is on hold: what the backup does not know may have happened
/// since, so an operator looks at it first.
///
/// # Errors
/// [`OpenError`]; what is in `dir` then is not a store, and can be removed.
pub fn restore(from: &Path, dir: &Path, clock: &dyn Clock) -> Result<Contents, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let id = identity::read_backup(&*disk, from)?;
    make_empty_dir(dir)?;
    let files = Files::lock(dir)?;
    for part in [Path::new(""), Path::new(log::DIR), Path::new(ARCHIVE)] {
        copy_files(&from.join(part), &dir.join(part))
            .map_err(|source| OpenError::Io { path: dir.join(part), source })?;
    }
    let contents = restore_in_place(&disk, dir, id, clock)?;
    files.mark()?;
    Ok(contents)
}

/// Makes a store of the files of a backup.
pub(crate) fn restore_in_place(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id: StoreId,
    clock: &dyn Clock,
) -> Result<Contents, OpenError> {
    let still = Still::read(disk, dir, id, clock.now())?;
    if let Some(damage) = still.log.findings.iter().find(|finding| finding.is_damage) {
        let source = format!("{} at byte {}: {}", damage.path.display(), damage.offset, damage.what);
        return Err(OpenError::Damaged { dir: dir.to_owned(), source: source.into() });
    }
    if let Some(unreadable) = still.nonsense.iter().find(|error| matches!(error, ReplayError::Record { .. })) {
        let source = error_chain(unreadable).into();
        return Err(OpenError::Damaged { dir: dir.to_owned(), source });
    }
    still.check_known(dir)?;
    let contents = still.settle(true, clock.now());
    let contents = contents.map_err(|error| OpenError::of_database(dir, error))?;
    drop(still);
    begin_anew(disk, dir, StoreId(rand::random()))?;
    Ok(contents)
}

fn make_empty_dir(dir: &Path) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
    RealDisk.create_dir(dir).map_err(io_error)?;
    if dir.read_dir().map_err(io_error)?.next().is_some() {
        return Err(OpenError::NotEmpty { path: dir.to_owned() });
    }
    Ok(())
}

/// Copies the files of a directory, without what is in directories below it; durable when this returns.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    RealDisk.create_dir(to)?;
    for name in RealDisk.list(from)? {
        if name == identity::BACKUP_FILE {
            continue;
        }
        let copy = to.join(&name);
        fs::copy(from.join(&name), &copy)?;
        File::open(&copy)?.sync_all()?;
    }
    RealDisk.sync_dir(to)
}

/// Copies a whole store, which nobody has open, for whoever wants it as it was; durable when this returns.
pub(crate) fn copy_all(dir: &Path, to: &Path) -> io::Result<()> {
    for part in [Path::new(""), Path::new(log::DIR), Path::new(ARCHIVE)] {
        if dir.join(part).is_dir() {
            copy_files(&dir.join(part), &to.join(part))?;
        }
    }
    Ok(())
}

fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut dirs: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else {
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}
