//! The mark of a copy under way: a file that says that a store holds only a part of what it should.
//!
//! Without it a copy that was cut off would be opened like a store, and what it lacks would seem never to have been.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use escrow_store::files::{create_dir, parent, sync_dir};

use super::StoreChoice;

/// Marks a store, if it is not marked already, and says whether it was. Durable when this returns.
pub(super) fn put_on(store: &StoreChoice) -> io::Result<bool> {
    let path = path(store);
    let dir = parent(&path);
    create_dir(dir)?;
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
