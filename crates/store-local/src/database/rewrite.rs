//! Distrust of what a former life has left beside a database.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::OpenError;
use super::make::{exists, split, with_suffix};
use crate::disk::{Disk, read_full_at};

/// What SQLite brings a database up to date from.
const LOGS: [&str; 2] = ["-wal", "-journal"];

/// Bytes that are written at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Writes the logs of a database once more, before SQLite opens it; durable when this returns.
///
/// After a kill, and after the exit on a failed sync, they can hold bytes that can be read and never were on the disk, and
/// that no later sync alone brings there: the system takes them for written. SQLite would sync them, believe it, and change
/// the database by them; if the power then goes, neither is whole. They are written in their place, which a full disk lets
/// happen: a power cut in the middle leaves no more than it could have left before.
///
/// # Errors
/// [`OpenError::Io`].
pub(crate) fn rewrite_logs(disk: &Arc<dyn Disk>, path: &Path) -> Result<(), OpenError> {
    for suffix in LOGS {
        let log = with_suffix(path, suffix);
        if exists(disk, &log)? {
            rewrite(&**disk, &log).map_err(|source| OpenError::Io { path: log, source })?;
        }
    }
    Ok(())
}

fn rewrite(disk: &dyn Disk, log: &Path) -> io::Result<()> {
    let file = disk.open(log)?;
    let length = file.len()?;
    if length == 0 {
        return Ok(());
    }
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < length {
        let read = read_full_at(&*file, &mut piece, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&piece[..read], offset)?;
        offset += read as u64;
    }
    file.sync()?;
    disk.sync_dir(split(log).0)
}
