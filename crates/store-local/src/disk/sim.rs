//! A disk in memory whose power can be cut.
//!
//! ```text
//!  write ─▶ what reads see ──sync──▶ what a power cut leaves for sure
//!                 │
//!                 └──power cut──▶ any mixture: each 512-byte sector in any version since the last sync, any length in between
//! ```
//!
//! Names are a second such pair for each directory, joined by [`Disk::sync_dir`]; un-synced changes of names reach the disk
//! in their order or not at all. The same seed and the same calls give the same disk, but for two numbers that SQLite draws
//! for each of its logs.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::{Disk, DiskFile};

mod content;
mod cut;
mod directory;
mod file;
mod sqlite;
mod state;
mod tests;

pub(crate) use content::SECTOR;
use directory::FileId;
use state::State;

/// A handle on a disk in memory. Clones are handles on the same disk.
///
/// Operations are: write, sync, sync of a directory, create, rename, remove, cut off, and making a directory that is not
/// there; those that SQLite does count as well. One that fails counts too.
#[derive(Clone)]
pub(crate) struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where SQLite finds the disk; no two in a process have the same.
    number: u64,
    state: Mutex<State>,
}

impl SimDisk {
    /// An empty disk. The seed decides about short reads and about the operation at which the power goes off.
    pub(crate) fn new(seed: u64) -> Self {
        SimDisk::from(State::new(seed))
    }

    /// The disk as the next boot finds it if the power goes now; this one stays as it is. Connections and files that are
    /// open on this one never reach the new one.
    ///
    /// Another seed gives another outcome. No fault is planned for the new disk, but its capacity and its short reads stay;
    /// its counters are at zero.
    pub(crate) fn after_power_cut(&self, seed: u64) -> SimDisk {
        SimDisk::from(self.state().after_power_cut(seed))
    }

    /// The disk as the next process finds it if this one is killed now; this one stays as it is.
    ///
    /// Everything written is there, and what was not synced is still not: the power can go afterwards. Faults and counters
    /// are as after a power cut.
    pub(crate) fn after_kill(&self) -> SimDisk {
        SimDisk::from(self.state().after_kill())
    }

    /// A second disk with the same content, faults and counters, on which nothing is open.
    pub(crate) fn snapshot(&self) -> SimDisk {
        let mut state = self.state().clone();
        state.close_all();
        SimDisk::from(state)
    }

    /// Plans that the power goes off at the n-th operation from now; 1 is the next. That operation happens, half happens or
    /// does not happen (a write: any part of it, un-synced; a sync: not), and fails; all that follows fails, reads as well.
    pub(crate) fn power_off_at(&self, nth: u64) {
        self.state().faults.off_in = Some(nth.max(1));
    }

    /// Turns the power off now.
    pub(crate) fn power_off(&self) {
        self.state().faults.is_off = true;
    }

    /// Whether the power is off.
    pub(crate) fn is_off(&self) -> bool {
        self.state().faults.is_off
    }

    /// Plans that the n-th sync from now, of a file or a directory, fails; 1 is the next.
    ///
    /// What that file has un-synced then is kept or lost at the next power cut, whatever is synced later, unless it is
    /// written again. The names of a directory are as un-synced as before.
    pub(crate) fn fail_sync(&self, nth: u64) {
        self.state().faults.sync_fails_in = Some(nth.max(1));
    }

    /// How many bytes all files that have a name can have together; `None`: any number. A write beyond it fails with
    /// [`io::ErrorKind::StorageFull`] and changes nothing; one inside a file always fits.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().faults.capacity = bytes;
    }

    /// The lengths of all files that have a name, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// Whether every other read gives fewer bytes than there are.
    pub(crate) fn set_short_reads(&self, reads_short: bool) {
        self.state().faults.reads_short = reads_short;
    }

    /// How many operations there were since the disk was made or booted.
    pub(crate) fn operations(&self) -> u64 {
        self.state().counters.operations
    }

    /// How many of them were syncs of a file or a directory.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().counters.syncs
    }

    /// How many bytes they wrote to files.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.state().counters.bytes_written
    }

    /// The content of a file as reads see it; `None` if there is none of this name. Works without power.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.peek(path.as_ref())?;
        Some(state.file(file).ok()?.content().bytes())
    }

    /// Gives a file this content, durably with its name and its directories; not counted. The changes of names that its
    /// directory has un-synced become durable, too.
    pub(crate) fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.state().put(path.as_ref(), bytes).expect("a path with a name in UTF-8");
    }

    /// Changes the bits of `mask` in one byte of what is on the disk, and of what reads see.
    pub(crate) fn flip(&self, path: impl AsRef<Path>, offset: u64, mask: u8) {
        self.damage(path.as_ref(), offset..offset + 1, |byte| *byte ^= mask);
    }

    /// Makes zeros of a part of what is on the disk, and of what reads see.
    pub(crate) fn zero(&self, path: impl AsRef<Path>, range: Range<u64>) {
        self.damage(path.as_ref(), range, |byte| *byte = 0);
    }

    /// The names of the files in a directory, sorted; none if it does not exist. Works without power.
    pub(crate) fn names(&self, dir: impl AsRef<Path>) -> Vec<String> {
        self.state().names(dir.as_ref())
    }

    fn damage(&self, path: &Path, range: Range<u64>, change: impl Fn(&mut u8)) {
        let mut state = self.state();
        let file = state.peek(path).expect("a file to damage");
        let file = state.file_mut(file).expect("a named file is kept");
        assert!(range.end <= file.content().len(), "{} ends before {}", path.display(), range.end);
        range.for_each(|offset| file.damage(offset, &change));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_file(&self, path: &Path) -> io::Result<SimFile> {
        let id = self.state().create(path)?;
        self.hold(id)
    }

    fn open_file(&self, path: &Path) -> io::Result<SimFile> {
        let id = self.state().find(path)?.ok_or(io::ErrorKind::NotFound)?;
        self.hold(id)
    }

    fn hold(&self, id: FileId) -> io::Result<SimFile> {
        self.state().hold(id)?;
        Ok(SimFile { disk: self.clone(), id })
    }
}

impl From<State> for SimDisk {
    fn from(state: State) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        SimDisk { shared: Arc::new(Shared { number, state: Mutex::new(state) }) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        sqlite::forget(self.number);
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("number", &self.shared.number).finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.state().list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.create_file(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_file(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().sync_dir(dir)
    }

    fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        sqlite::connect(self, path)
    }

    fn sql_name(&self, path: &Path) -> Option<String> {
        sqlite::name(self, path)
    }

    fn shares_databases(&self) -> bool {
        false
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.state().len(self.id)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.state().read(self.id, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.id, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.id)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().let_go(self.id);
    }
}
