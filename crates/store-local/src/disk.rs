//! The seam to the disk: every file of a store is reached through it, so that a simulation can tear writes, lose what was
//! not synced, and fill up.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::Connection;

mod real;
#[cfg(test)]
pub(crate) mod sim;

pub(crate) use real::RealDisk;

/// A disk with directories, files and SQLite databases.
///
/// What is written to a file is on the disk once [`DiskFile::sync`] has returned; that a name exists, is gone or was
/// changed, once [`Disk::sync_dir`] has. Before that, a power cut may undo any part of it.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory with its parents, durably. One that exists is left alone.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a directory, sorted; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, for its owner alone; one that exists is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name in the same directory; a file that has that name already is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Opens a SQLite database for reading and writing, and makes it, for its owner alone, if it is not there. No pragma is
    /// set.
    fn connect(&self, path: &Path) -> rusqlite::Result<Connection>;

    /// How SQL names the database with this path; `None`: it cannot.
    fn sql_name(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    /// Whether several connections can be open on one database. If not, a database has to be used with
    /// `PRAGMA locking_mode=EXCLUSIVE` over one connection.
    fn shares_databases(&self) -> bool;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `offset` on; returns how many bytes, which may be fewer than fit and are none at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows as needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes its content and length durable. After an error it is not known what is on the disk, and never will be: the
    /// system may have dropped what it could not write.
    fn sync(&self) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes, or fewer at the end of the file; returns how many.
pub(crate) fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
