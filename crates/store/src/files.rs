//! Files that belong to their owner alone, and directories whose names are durable: what every store on a disk begins with.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Read and write; a file that is made by it is for its owner alone.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens a file for reading and writing, and makes it, for its owner alone, if it is not there.
///
/// # Errors
/// Those of the system.
pub fn open_private(path: &Path) -> io::Result<File> {
    private().create(true).truncate(false).open(path)
}

/// Makes a directory with its parents, for its owner alone, durably; one that exists keeps its mode.
///
/// # Errors
/// Those of the system.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    sync_dir(parent(dir))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// Those of the system.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened like a file, and need not be.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// The directory that a file or a directory is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
