//! The locks of a store: one process has it open, and nothing is removed while a backup runs.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use escrow_store::files::{create_dir, open_private};

use crate::error::OpenError;

/// Not the name of the lock of a SQLite store, which may stand in the same directory.
const LOCK: &str = "store.lock";
/// A backup has a shared lock on this file; whoever removes files of the store, an exclusive one.
const PIN: &str = "store.pin";

/// Stands in the lock file once there is a store beside it, so that one that is gone is not taken for one yet to be made.
const MARK: &[u8] = b"the files of an escrow store belong beside this file\n";

/// A store's directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Files {
    lock: File,
    /// The directory itself is locked too: the file could be removed by somebody who takes it for a leftover.
    dir: Option<File>,
    lock_path: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that is being forked at this moment has the file too until it runs its
        // program. An error leaves it to the closing, as every end of the process does.
        let _ = self.lock.unlock();
        let _ = self.dir.as_ref().map(File::unlock);
    }
}

impl Files {
    /// Makes the directory if it is missing, and takes the locks.
    pub(crate) fn lock(dir: &Path) -> Result<Self, OpenError> {
        create_dir(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let lock_path = dir.join(LOCK);
        let lock = open_private(&lock_path).map_err(|source| OpenError::Io { path: lock_path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: lock_path }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        }
        let dir = lock_dir(dir)?;
        Ok(Self { lock, dir, lock_path })
    }

    /// Whether there has been a store here.
    pub(crate) fn is_marked(&self) -> Result<bool, OpenError> {
        let found = self.lock.metadata().map_err(|source| OpenError::Io { path: self.lock_path.clone(), source })?;
        Ok(found.len() > 0)
    }

    /// From now on there is a store.
    pub(crate) fn mark(&self) -> Result<(), OpenError> {
        if self.is_marked()? {
            return Ok(());
        }
        let marked = (&self.lock).write_all(MARK).and_then(|()| self.lock.sync_all());
        marked.map_err(|source| OpenError::Io { path: self.lock_path.clone(), source })
    }
}

/// Says whether files of the store in `dir` may be removed at the moment.
pub(crate) fn may_remove(dir: &Path) -> io::Result<Option<Box<dyn Send>>> {
    let pin = open_private(&dir.join(PIN))?;
    match pin.try_lock() {
        Ok(()) => Ok(Some(Box::new(pin))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Holds off the removal of files, of the store in `dir`, for as long as the file lives. Waits for a removal that is under way.
pub(crate) fn pin(dir: &Path) -> io::Result<File> {
    let pin = open_private(&dir.join(PIN))?;
    pin.lock_shared()?;
    Ok(pin)
}

/// Locks the directory itself, where a directory can be locked.
fn lock_dir(dir: &Path) -> Result<Option<File>, OpenError> {
    let Some(opened) = File::open(dir).ok().filter(|_| cfg!(unix)) else { return Ok(None) };
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(opened)),
    }
}
