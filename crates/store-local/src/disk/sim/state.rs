use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::content::{Content, SECTOR};
use super::cut::Fate;
use super::directory::{Directory, FileId, NameChange};
use super::file::File;

/// What is planned to go wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) is_off: bool,
    /// The power goes off at the n-th operation from now.
    pub(super) off_in: Option<u64>,
    /// The n-th sync from now fails.
    pub(super) sync_fails_in: Option<u64>,
    /// In bytes of file lengths.
    pub(super) capacity: Option<u64>,
    pub(super) reads_short: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) bytes_written: u64,
}

/// Everything about a disk. Nothing is ever iterated in an order that could differ between two runs.
#[derive(Clone, Debug)]
pub(super) struct State {
    files: BTreeMap<FileId, File>,
    directories: BTreeMap<PathBuf, Directory>,
    next_file: u64,
    next_lock: u64,
    /// The operations since the disk was made: the order of all changes.
    clock: u64,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    rng: ChaCha8Rng,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let roots = ["", "/"].map(|root| (PathBuf::from(root), Directory::default()));
        State {
            files: BTreeMap::new(),
            directories: roots.into(),
            next_file: 0,
            next_lock: 0,
            clock: 0,
            faults: Faults::default(),
            counters: Counters::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    // Operations: each is counted, and may be the one at which the power goes.

    pub(super) fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.check_power()?;
        if self.directories.contains_key(dir) {
            return Ok(());
        }
        self.changing(|state| {
            state.make_dirs(dir);
            Ok(())
        })
    }

    /// Makes a file, or empties the one that has the name.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<FileId> {
        self.changing(|state| match state.find(path)? {
            Some(file) => {
                let at = state.clock;
                state.file_mut(file)?.set_len(0, at);
                Ok(file)
            }
            None => state.link(path),
        })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if from.parent() != to.parent() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file stays in its directory"));
        }
        self.changing(|state| {
            state.find(from)?.ok_or(io::ErrorKind::NotFound)?;
            let change = NameChange::Rename { from: name_of(from)?, to: name_of(to)? };
            state.change_names(from, change)
        })
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.changing(|state| {
            state.find(path)?.ok_or(io::ErrorKind::NotFound)?;
            state.change_names(path, NameChange::Unlink { name: name_of(path)? })
        })
    }

    pub(super) fn set_len(&mut self, file: FileId, len: u64) -> io::Result<()> {
        self.changing(|state| {
            state.check_room(file, len)?;
            let at = state.clock;
            state.file_mut(file)?.set_len(len, at);
            Ok(())
        })
    }

    pub(super) fn write(&mut self, file: FileId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_last = self.operate()?;
        self.check_room(file, offset + bytes.len() as u64)?;
        let arriving = if is_last { self.torn(bytes.len(), offset) } else { bytes.len() };
        self.counters.bytes_written += arriving as u64;
        let at = self.clock;
        self.file_mut(file)?.write(&bytes[..arriving], offset, at);
        if is_last { Err(power_is_off()) } else { Ok(()) }
    }

    pub(super) fn sync(&mut self, file: FileId) -> io::Result<()> {
        if self.sync_fails()? {
            self.file_mut(file)?.drop_unsynced();
            return Err(sync_failed());
        }
        self.file_mut(file)?.sync();
        Ok(())
    }

    /// After a failure the names are as un-synced as before.
    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.sync_fails()? {
            return Err(sync_failed());
        }
        self.dir_mut(dir)?.sync();
        self.forget_nameless();
        Ok(())
    }

    // Questions: they are not counted, but need power.

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check_power()?;
        Ok(self.dir(dir)?.names().keys().cloned().collect())
    }

    /// The file with this name; an error if there is no such directory.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.check_power()?;
        Ok(self.dir(parent_of(path))?.get(&name_of(path)?))
    }

    pub(super) fn len(&self, file: FileId) -> io::Result<u64> {
        self.check_power()?;
        Ok(self.file(file)?.content().len())
    }

    pub(super) fn read(&mut self, file: FileId, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_power()?;
        let wanted = match buffer.len() {
            len @ 2.. if self.faults.reads_short && self.rng.random_bool(0.5) => self.rng.random_range(1..len),
            len => len,
        };
        Ok(self.file(file)?.content().read(&mut buffer[..wanted], offset))
    }

    // Handles and locks.

    pub(super) fn hold(&mut self, file: FileId) -> io::Result<()> {
        self.file_mut(file)?.handles += 1;
        Ok(())
    }

    pub(super) fn let_go(&mut self, file: FileId) {
        if let Ok(held) = self.file_mut(file) {
            held.handles = held.handles.saturating_sub(1);
        }
        self.forget_nameless();
    }

    /// A number for someone who takes locks.
    pub(super) fn new_lock(&mut self) -> u64 {
        self.next_lock += 1;
        self.next_lock
    }

    pub(super) fn file(&self, file: FileId) -> io::Result<&File> {
        self.files.get(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file_mut(&mut self, file: FileId) -> io::Result<&mut File> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    // The next boot.

    pub(super) fn after_power_cut(&self, seed: u64) -> State {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let unsynced: Vec<u64> = self.files.values().flat_map(File::unsynced_at).chain(self.unsynced_names()).collect();
        let whole = rng.random_bool(0.5).then(|| Fate::draw(span(unsynced.into_iter()), &mut rng));
        let directories = self.directories.iter().map(|(path, directory)| {
            let operations: Vec<u64> = directory.unsynced().iter().map(|(at, _)| *at).collect();
            let fate = whole.unwrap_or_else(|| Fate::draw(span(operations.iter().copied()), &mut rng));
            (path.clone(), directory.after_cut(fate.of_names(&operations, &mut rng)))
        });
        let directories = directories.collect();
        let files = self.files.iter().map(|(&id, file)| {
            let fate = whole.unwrap_or_else(|| Fate::draw(span(file.unsynced_at()), &mut rng));
            (id, file.after_cut(fate, &mut rng))
        });
        let files = files.collect();
        let mut next = State { files, directories, rng, ..self.clone() };
        next.start();
        next
    }

    pub(super) fn after_kill(&self) -> State {
        let mut next = self.clone();
        next.start();
        next
    }

    /// Nobody has anything open any more, and nothing is planned but what lies in the disk itself.
    fn start(&mut self) {
        self.faults =
            Faults { capacity: self.faults.capacity, reads_short: self.faults.reads_short, ..Faults::default() };
        self.counters = Counters::default();
        self.close_all();
    }

    pub(super) fn close_all(&mut self) {
        self.files.values_mut().for_each(File::release);
        self.forget_nameless();
    }

    fn unsynced_names(&self) -> impl Iterator<Item = u64> {
        self.directories.values().flat_map(|directory| directory.unsynced().iter().map(|(at, _)| *at))
    }

    // For tests: beside the operations, with or without power.

    pub(super) fn peek(&self, path: &Path) -> Option<FileId> {
        self.directories.get(parent_of(path))?.get(path.file_name()?.to_str()?)
    }

    pub(super) fn names(&self, dir: &Path) -> Vec<String> {
        self.directories.get(dir).map_or_else(Vec::new, |dir| dir.names().keys().cloned().collect())
    }

    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_dirs(parent_of(path));
        let file = match self.peek(path) {
            Some(file) => file,
            None => self.link(path)?,
        };
        self.file_mut(file)?.replace(Content::from(bytes));
        self.dir_mut(parent_of(path))?.sync();
        Ok(())
    }

    /// The lengths of all files that have a name, in bytes.
    pub(super) fn used(&self) -> u64 {
        let named = self.directories.values().flat_map(|directory| directory.names().values());
        named.filter_map(|file| self.files.get(file)).map(|file| file.content().len()).sum()
    }

    // Helpers.

    fn check_power(&self) -> io::Result<()> {
        if self.faults.is_off { Err(power_is_off()) } else { Ok(()) }
    }

    /// Counts an operation; whether the power goes off at it.
    fn operate(&mut self) -> io::Result<bool> {
        self.check_power()?;
        self.counters.operations += 1;
        self.clock += 1;
        let is_last = comes_due(&mut self.faults.off_in);
        self.faults.is_off = is_last;
        Ok(is_last)
    }

    /// An operation that happens as a whole. If the power goes off at it, it has happened or not, and nobody knows.
    fn changing<T>(&mut self, change: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if !self.operate()? {
            return change(self);
        }
        if self.rng.random_bool(0.5) {
            self.faults.is_off = false;
            let _ = change(self);
            self.faults.is_off = true;
        }
        Err(power_is_off())
    }

    /// How much of a write gets through when the power goes off at it.
    fn torn(&mut self, len: usize, offset: u64) -> usize {
        match self.rng.random_range(0..3) {
            0 => 0,
            1 => len,
            _ => {
                let end = offset as usize + self.rng.random_range(0..=len);
                (end / SECTOR * SECTOR).saturating_sub(offset as usize)
            }
        }
    }

    /// Counts a sync as an operation; whether it fails.
    fn sync_fails(&mut self) -> io::Result<bool> {
        let is_last = self.operate()?;
        self.counters.syncs += 1;
        if is_last { Err(power_is_off()) } else { Ok(comes_due(&mut self.faults.sync_fails_in)) }
    }

    fn check_room(&self, file: FileId, end: u64) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity else { return Ok(()) };
        let growth = end.saturating_sub(self.file(file)?.content().len());
        if growth > 0 && self.used() + growth > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn link(&mut self, path: &Path) -> io::Result<FileId> {
        let file = FileId(self.next_file);
        self.change_names(path, NameChange::Link { name: name_of(path)?, file })?;
        self.next_file += 1;
        self.files.insert(file, File::default());
        Ok(file)
    }

    fn change_names(&mut self, path: &Path, change: NameChange) -> io::Result<()> {
        let at = self.clock;
        self.dir_mut(parent_of(path))?.change(at, change);
        Ok(())
    }

    fn make_dirs(&mut self, dir: &Path) {
        for part in dir.ancestors() {
            self.directories.entry(part.to_path_buf()).or_default();
        }
    }

    fn dir(&self, dir: &Path) -> io::Result<&Directory> {
        self.directories.get(dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn dir_mut(&mut self, dir: &Path) -> io::Result<&mut Directory> {
        self.directories.get_mut(dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Frees the files that nobody can reach any more, not even after a power cut.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<FileId> = self.directories.values().flat_map(Directory::files).collect();
        self.files.retain(|id, file| file.handles > 0 || named.contains(id));
    }
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

fn sync_failed() -> io::Error {
    const EIO: i32 = 5;
    io::Error::from_raw_os_error(EIO)
}

/// Counts down; whether it has come to its end.
fn comes_due(left: &mut Option<u64>) -> bool {
    *left = left.map(|left| left.saturating_sub(1));
    left.take_if(|left| *left == 0).is_some()
}

fn span(operations: impl Iterator<Item = u64>) -> RangeInclusive<u64> {
    let (first, last) = operations.fold((u64::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
    first.min(last)..=last
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(name.to_owned())
}
