//! Which store a directory holds.
//!
//! ```text
//! escrow store
//! format 1
//! id 00c0ffee00c0ffee
//! check 1a2b3c4d          CRC32C of the lines before
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, read_full_at};
use crate::error::OpenError;
use crate::log;

/// Says which store this is.
const FILE: &str = "escrow.id";
/// The same, while the store is being made: it is not one yet.
const NEW_FILE: &str = "escrow.id.new";

/// The same, in a backup, which is no store.
pub(crate) const BACKUP_FILE: &str = "backup.id";

/// The newest format that this program reads, and the one it writes.
const FORMAT: u32 = 1;

/// More than the file can hold.
const FILE_BYTES_MAX: usize = 4096;

/// Which store a file belongs to: a number that is drawn when the store is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(pub(crate) u64);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A store.
    Store(StoreId),
    /// None yet. The making of this one was cut off, if one was begun.
    Nothing { begun: Option<StoreId> },
}

/// Looks for a store in a directory that exists.
pub(crate) fn find(disk: &dyn Disk, dir: &Path) -> Result<Found, OpenError> {
    let path = dir.join(FILE);
    let names = disk.list(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    if names.iter().any(|name| name == FILE) {
        let text = read(disk, &path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        return parse(&text, &path).map(Found::Store);
    }
    if names.iter().any(|name| name == BACKUP_FILE) {
        return Err(OpenError::IsBackup { path: dir.to_owned() });
    }
    if names.iter().any(|name| name == NEW_FILE) {
        // Nothing else is made before this file is whole; so one that is not has nothing beside it that counts.
        let new_path = dir.join(NEW_FILE);
        let text = read(disk, &new_path).map_err(|source| OpenError::Io { path: new_path.clone(), source })?;
        return Ok(Found::Nothing { begun: parse(&text, &new_path).ok() });
    }
    if disk.list(&dir.join(log::DIR)).is_ok_and(|names| !names.is_empty()) {
        return Err(OpenError::Gone { path });
    }
    Ok(Found::Nothing { begun: None })
}

/// Begins the making of a store: until [`complete`], there is none.
pub(crate) fn begin(disk: &dyn Disk, dir: &Path, id: StoreId) -> io::Result<()> {
    let path = dir.join(NEW_FILE);
    let is_begun = disk.list(dir)?.iter().any(|name| name == NEW_FILE) && read(disk, &path)? == text(id).as_bytes();
    // One that was begun is written in its place: it is never lost, as what was made behind it has its id already.
    let file = if is_begun { disk.open(&path)? } else { disk.create(&path)? };
    file.write_all_at(text(id).as_bytes(), 0)?;
    file.sync()?;
    disk.sync_dir(dir)
}

/// Whether the store `id` was being made once more, of what its databases hold: its log counts for nothing any more.
pub(crate) fn is_begun_again(disk: &dyn Disk, dir: &Path, id: StoreId) -> Result<bool, OpenError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let path = dir.join(NEW_FILE);
    if !disk.list(dir).map_err(io_error(dir))?.iter().any(|name| name == NEW_FILE) {
        return Ok(false);
    }
    let text = read(disk, &path).map_err(io_error(&path))?;
    // One that is not whole: nothing was changed behind it.
    Ok(parse(&text, &path).is_ok_and(|begun| begun == id))
}

/// From now on there is a store.
pub(crate) fn complete(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.rename(&dir.join(NEW_FILE), &dir.join(FILE))?;
    disk.sync_dir(dir)
}

/// Marks a directory as a complete backup of a store.
pub(crate) fn write_backup(disk: &dyn Disk, dir: &Path, id: StoreId) -> io::Result<()> {
    let file = disk.create(&dir.join(BACKUP_FILE))?;
    file.write_all_at(text(id).as_bytes(), 0)?;
    file.sync()?;
    disk.sync_dir(dir)
}

/// Whose backup a directory holds.
pub(crate) fn read_backup(disk: &dyn Disk, dir: &Path) -> Result<StoreId, OpenError> {
    let path = dir.join(BACKUP_FILE);
    match read(disk, &path) {
        Ok(text) => parse(&text, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::NotAStore { path: dir.to_owned() }),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

fn text(id: StoreId) -> String {
    let lines = format!("escrow store\nformat {FORMAT}\nid {id}\n");
    let check = crc32c::crc32c(lines.as_bytes());
    format!("{lines}check {check:08x}\n")
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; FILE_BYTES_MAX];
    let read = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn parse(bytes: &[u8], path: &Path) -> Result<StoreId, OpenError> {
    let damaged = || OpenError::Damaged {
        dir: path.parent().map_or_else(PathBuf::new, Path::to_owned),
        source: format!("{} is not as it was written", path.display()).into(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (lines, check) = text.split_once("check ").ok_or_else(damaged)?;
    if check != format!("{:08x}\n", crc32c::crc32c(lines.as_bytes())) {
        return Err(damaged());
    }
    let rest = lines.strip_prefix("escrow store\nformat ").ok_or_else(damaged)?;
    let (format, rest) = rest.split_once('\n').ok_or_else(damaged)?;
    if format != FORMAT.to_string() {
        let source = format!("format {format}; this program knows formats up to {FORMAT}").into();
        return Err(OpenError::Newer { path: path.to_owned(), source });
    }
    let id = rest.strip_prefix("id ").and_then(|rest| rest.strip_suffix('\n')).ok_or_else(damaged)?;
    u64::from_str_radix(id, 16).map(StoreId).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_store_is_found_once_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(find(&RealDisk, dir.path()).unwrap(), Found::Nothing { begun: None });
        begin(&RealDisk, dir.path(), StoreId(7)).unwrap();
        assert_eq!(find(&RealDisk, dir.path()).unwrap(), Found::Nothing { begun: Some(StoreId(7)) });
        complete(&RealDisk, dir.path()).unwrap();
        assert_eq!(find(&RealDisk, dir.path()).unwrap(), Found::Store(StoreId(7)));
    }

    #[test]
    fn any_changed_byte_is_damage() {
        let sound = text(StoreId(0x00c0_ffee)).into_bytes();
        let path = Path::new("dir/escrow.id");
        assert_eq!(parse(&sound, path).unwrap(), StoreId(0x00c0_ffee));
        for place in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[place] ^= 1;
            assert!(matches!(parse(&bytes, path), Err(OpenError::Damaged { .. })), "byte {place}");
        }
    }

    #[test]
    fn a_log_without_a_name_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(log::DIR)).unwrap();
        std::fs::write(dir.path().join(log::DIR).join("0000000000000001.log"), "x").unwrap();
        assert!(matches!(find(&RealDisk, dir.path()), Err(OpenError::Gone { .. })));
    }
}
