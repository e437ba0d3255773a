use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use sqlite_vfs::LockKind;

use super::content::{Content, SECTOR, Sector, overlaid};
use super::cut::Fate;

/// Something that was done to a file and is not known to be on the disk.
#[derive(Clone, Debug)]
pub(super) struct Change<T> {
    /// The operation that did it, counted over the whole disk.
    pub(super) at: u64,
    pub(super) value: T,
    /// A sync failed afterwards: the system believes this to be on the disk, and no later sync writes it.
    dropped: bool,
}

impl<T> Change<T> {
    fn new(at: u64, value: T) -> Self {
        Change { at, value, dropped: false }
    }
}

/// One file: what a power cut leaves for sure, and what was done since.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    durable: Content,
    /// What reads see.
    current: Content,
    /// Every version that a sector had since it was last made durable, oldest first; never empty.
    sectors: BTreeMap<usize, Vec<Change<Sector>>>,
    lengths: Vec<Change<u64>>,
    /// How many handles are open.
    pub(super) handles: usize,
    /// SQLite's locks, by the handle that holds one.
    locks: BTreeMap<u64, LockKind>,
}

impl File {
    /// A file whose bytes are on the disk.
    pub(super) fn durable(content: Content) -> Self {
        File { durable: content.clone(), current: content, ..File::default() }
    }

    pub(super) fn content(&self) -> &Content {
        &self.current
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, at: u64) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        if end > self.current.len() {
            self.grow(end, at);
        }
        let mut written = 0;
        while written < bytes.len() {
            let position = offset as usize + written;
            let (number, from) = (position / SECTOR, position % SECTOR);
            let count = (SECTOR - from).min(bytes.len() - written);
            let sector = overlaid(self.current.sector(number), &bytes[written..written + count], from);
            self.put(number, sector, at);
            written += count;
        }
    }

    /// Cuts the file off, or makes it longer with zeros.
    pub(super) fn set_len(&mut self, len: u64, at: u64) {
        if len >= self.current.len() {
            return self.grow(len, at);
        }
        self.current.set_len(len);
        self.lengths.push(Change::new(at, len));
        if !len.is_multiple_of(SECTOR as u64) {
            // File systems zero what follows in the last sector, so that it does not come back when the file grows.
            let number = len as usize / SECTOR;
            self.put(number, self.current.sector(number), at);
        }
    }

    fn grow(&mut self, len: u64, at: u64) {
        if len > self.current.len() {
            self.current.set_len(len);
            self.lengths.push(Change::new(at, len));
        }
    }

    fn put(&mut self, number: usize, sector: Sector, at: u64) {
        self.sectors.entry(number).or_default().push(Change::new(at, sector.clone()));
        self.current.put(number, sector);
    }

    /// Makes durable what was done since the last sync, whether that one succeeded or failed. What a failed one dropped
    /// stays as doubtful as it was, unless it was written again.
    pub(super) fn sync(&mut self) {
        let is_written = |versions: &Vec<Change<Sector>>| versions.last().is_some_and(|last| !last.dropped);
        if !self.sectors.values().any(is_written) && self.lengths.iter().all(|change| change.dropped) {
            return;
        }
        let lowest = lowest(&self.lengths);
        self.durable.set_len(lowest.min(self.durable.len()));
        for (&number, _) in self.sectors.iter().filter(|(_, versions)| is_written(versions)) {
            self.durable.put(number, self.current.sector(number));
        }
        self.durable.set_len(self.current.len());
        self.lengths.clear();
        self.sectors.retain(|&number, versions| !is_written(versions) && start_of(number) < lowest);
    }

    /// A sync failed: the system marks everything as written that it could not write.
    pub(super) fn drop_unsynced(&mut self) {
        self.lengths.iter_mut().for_each(|change| change.dropped = true);
        self.sectors.values_mut().flatten().for_each(|change| change.dropped = true);
    }

    /// The operations whose effects are not known to be on the disk.
    pub(super) fn unsynced_at(&self) -> impl Iterator<Item = u64> {
        let sectors = self.sectors.values().flatten().map(|change| change.at);
        sectors.chain(self.lengths.iter().map(|change| change.at))
    }

    /// What the next boot finds.
    pub(super) fn after_cut(&self, fate: Fate, rng: &mut ChaCha8Rng) -> File {
        if self.sectors.is_empty() && self.lengths.is_empty() {
            return File::durable(self.durable.clone());
        }
        let lengths = &self.lengths[..fate.of_lengths(&self.lengths, rng)];
        let mut content = self.durable.clone();
        content.set_len(lowest(lengths).min(content.len()));
        let count = self.sectors.len() as f64;
        for (rank, (&number, versions)) in self.sectors.iter().enumerate() {
            // What was cut off since does not come back with the length that followed.
            let cut_off = lengths.iter().rfind(|change| change.value <= start_of(number)).map_or(0, |change| change.at);
            let first = versions.partition_point(|change| change.at <= cut_off);
            if let Some(sector) = fate.of_sector(&versions[first..], rank as f64 / count, rng) {
                content.put(number, sector.clone());
            }
        }
        content.set_len(lengths.last().map_or(self.durable.len(), |change| change.value));
        File::durable(content)
    }

    /// The file as another process finds it: nobody has it open.
    pub(super) fn release(&mut self) {
        self.handles = 0;
        self.locks.clear();
    }

    /// Gives it other bytes, as if they had always been on the disk.
    pub(super) fn replace(&mut self, content: Content) {
        (self.durable, self.current) = (content.clone(), content);
        self.sectors.clear();
        self.lengths.clear();
    }

    /// Damages what is on the disk, and what reads see.
    pub(super) fn damage(&mut self, offset: u64, change: impl Fn(&mut u8)) {
        self.durable.change(offset, &change);
        self.current.change(offset, &change);
    }

    /// Gives a handle the lock it wants, unless the locks of others forbid it.
    pub(super) fn lock(&mut self, handle: u64, wanted: LockKind) -> bool {
        let forbidding = match wanted {
            LockKind::None => None,
            LockKind::Shared => Some(LockKind::Pending),
            LockKind::Reserved | LockKind::Pending => Some(LockKind::Reserved),
            LockKind::Exclusive => Some(LockKind::Shared),
        };
        if forbidding.is_some_and(|least| self.others_hold(handle, least)) {
            return false;
        }
        if wanted == LockKind::None {
            self.locks.remove(&handle);
        } else {
            self.locks.insert(handle, wanted);
        }
        true
    }

    pub(super) fn lock_of(&self, handle: u64) -> LockKind {
        self.locks.get(&handle).copied().unwrap_or(LockKind::None)
    }

    /// Whether somebody has reserved the right to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.locks.values().any(|&held| held >= LockKind::Reserved)
    }

    fn others_hold(&self, handle: u64, least: LockKind) -> bool {
        self.locks.iter().any(|(&other, &held)| other != handle && held >= least)
    }
}

/// The shortest that the file was; `u64::MAX` if its length did not change.
fn lowest(lengths: &[Change<u64>]) -> u64 {
    lengths.iter().map(|change| change.value).min().unwrap_or(u64::MAX)
}

/// Where a sector starts, in bytes.
fn start_of(number: usize) -> u64 {
    (number * SECTOR) as u64
}
