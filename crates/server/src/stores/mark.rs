//! The mark of a copy under way: a file that says that a store holds only a part of what it should.
//!
//! Without it a copy that was cut off would be opened like a store, and what it lacks would seem never to have been.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreChoice;

/// Marks a store, if it is not marked already, and says whether it was. Durable when this returns.
pub(super) fn put_on(store: &StoreChoice) -> io::Result<bool> {
    let path = path(store);
    let dir = parent(&path);
    make_dir(dir)?;
    match File::options().write(true).create_new(true).open(&path) {
        Ok(mark) => mark.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
        Err(error) => return Err(error),
    }
    sync_dir(dir)?;
    Ok(false)
}

/// Takes the mark off. Durable when this returns: if it came back, a store that has gone on would be copied into again.
pub(super) fn take_off(store: &StoreChoice) -> io::Result<()> {
    let path = path(store);
    fs::remove_file(&path)?;
    sync_dir(parent(&path))
}

pub(super) fn is_on(store: &StoreChoice) -> bool {
    path(store).exists()
}

fn path(store: &StoreChoice) -> PathBuf {
    match store {
        StoreChoice::Local(dir) => dir.join("store.copying"),
        StoreChoice::Sqlite(file) => file.with_extension("copying"),
    }
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the directory, for its owner alone, as a store does.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    sync_dir(parent(dir))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened like a file, and need not be.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
