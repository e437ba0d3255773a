mod files;
mod names;
mod sqlite;

use std::path::Path;

use super::*;
use crate::disk::read_full_at;

/// A disk with the directory `/d`.
fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    disk
}

/// A file with a durable name and this durable content.
fn durable_file(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(Path::new(path)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file
}

/// What the boots after many different power cuts find in a file.
fn outcomes(disk: &SimDisk, path: &str) -> Vec<Option<Vec<u8>>> {
    (0..200).map(|seed| disk.after_power_cut(seed).read(path)).collect()
}
