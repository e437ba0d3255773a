//! Fresh directories for stores, where a sync is a sync.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::launch::User;

/// File systems that live in memory.
const IN_MEMORY: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];

/// A new directory below that for temporary files (`TMPDIR`), deleted when dropped. It belongs to `user`, if one is given.
///
/// # Errors
/// It cannot be made, or would be in memory.
pub(super) fn fresh(user: Option<User>) -> anyhow::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("escrow-bench-").tempdir().context("cannot make a directory")?;
    on_disk(directory.path()).context("TMPDIR says where stores are made")?;
    if let Some(user) = user {
        chown(directory.path(), Some(user.uid), Some(user.gid)).context("cannot give a directory away")?;
    }
    Ok(directory)
}

/// Whether this directory is on a disk, as far as the kernel says.
///
/// # Errors
/// It is in memory, where a sync costs nothing, or does not exist.
pub(super) fn on_disk(directory: &Path) -> anyhow::Result<()> {
    let path = directory.canonicalize().with_context(|| format!("no directory {}", directory.display()))?;
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    ensure!(
        !is_in_memory(&mounts, &path),
        "{} is in memory, where a sync costs nothing: stores have to be on a disk to be measured",
        directory.display()
    );
    Ok(())
}

/// Whether the file system that holds this path lives in memory, by the lines of `/proc/mounts`.
fn is_in_memory(mounts: &str, path: &Path) -> bool {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((PathBuf::from(unescape(fields.next()?)), fields.next()?))
    });
    // The deepest counts, and of several at one place the last: it hides the others.
    let holding = mounts.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.components().count());
    holding.is_some_and(|(_, kind)| IN_MEMORY.contains(&kind))
}

/// Blanks, tabs, line ends and backslashes stand as octal numbers in `/proc/mounts`.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(field.to_owned(), |field, (escaped, character)| field.replace(escaped, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /dev/shm tmpfs rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /tmp/disk xfs rw 0 0
/dev/vdb /tmp/twice xfs rw 0 0
ramfs /tmp/twice ramfs rw 0 0
tmpfs /mnt/my\\040memory tmpfs rw 0 0
";

    #[test]
    fn a_directory_in_memory_is_recognised_by_its_deepest_mount() {
        let in_memory = |path| is_in_memory(MOUNTS, Path::new(path));
        assert!(in_memory("/dev/shm/bench") && in_memory("/tmp") && in_memory("/mnt/my memory/bench"));
        assert!(!in_memory("/work") && !in_memory("/tmp/disk/bench") && !in_memory("/tmpfoo"));
    }

    #[test]
    fn of_two_mounts_at_one_place_the_last_counts() {
        assert!(is_in_memory(MOUNTS, Path::new("/tmp/twice/bench")));
    }

    #[test]
    fn a_directory_that_does_not_exist_is_not_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        assert!(on_disk(&dir.path().join("nothing")).is_err());
    }
}
