use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::is_full;
use super::files::{Listing, log_dir, segment_path, spare_path};
use super::frame::{Home, PAGE_BYTES};
use super::writing::{Pace, put_in_place, zeroed};
use super::{AppendError, SegmentNo, Tuning};
use crate::disk::{Disk, DiskFile};
use crate::identity::StoreId;

/// What a segment keeps free behind its data for the closing frame, wherever its page begins.
pub(super) const CLOSING_BYTES: u64 = PAGE_BYTES;

/// More spare segments than this are not kept.
const SPARES_MAX: usize = 2;

/// The files of a log; shared by the thread that writes and the keeper.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
    tuning: Tuning,
    state: Mutex<State>,
    syncs: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Bytes of every segment.
    segments: BTreeMap<SegmentNo, u64>,
    /// Bytes of every spare.
    spares: BTreeMap<u64, u64>,
    next_spare: u64,
    durable_first: SegmentNo,
    /// Bytes of the segment that is written to, and how many are used.
    capacity: u64,
    used: u64,
}

/// A segment that frames can be written to.
#[derive(Debug)]
pub(super) struct Blank {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) capacity: u64,
}

impl Blank {
    pub(super) fn has_room_for(&self, frame: u64) -> bool {
        self.capacity >= least_for(frame)
    }
}

impl Segments {
    /// The files of a log that is in use from now on. `store_dir`: the directory of the store.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        store_dir: &Path,
        store: StoreId,
        tuning: Tuning,
        listing: &Listing,
    ) -> io::Result<Self> {
        let dir = log_dir(store_dir);
        let len = |path: PathBuf| disk.open(&path)?.len();
        let mut segments = BTreeMap::new();
        for &segment in &listing.segments {
            segments.insert(segment, len(segment_path(&dir, segment))?);
        }
        let mut spares = BTreeMap::new();
        for &spare in &listing.spares {
            spares.insert(spare, len(spare_path(&dir, spare))?);
        }
        let next_spare = listing.spares.last().map_or(1, |last| last.saturating_add(1));
        let state = State { segments, spares, next_spare, durable_first: SegmentNo::FIRST, capacity: 0, used: 0 };
        Ok(Self { disk, dir, store, tuning, state: Mutex::new(state), syncs: AtomicU64::new(0) })
    }

    /// Makes a spare segment if there is none and the current segment is more than half full, or has no room for what was to
    /// go there (`is_missed`); says whether it did.
    ///
    /// # Errors
    /// Nothing is lost: the writer makes the segment itself when it needs one.
    pub(crate) fn prepare_spare(&self, is_missed: bool) -> io::Result<bool> {
        let (spare, bytes) = {
            let mut state = self.state();
            if !state.spares.is_empty() || !(is_missed || state.used > state.capacity / 2) {
                return Ok(false);
            }
            let spare = state.next_spare;
            state.next_spare = spare.saturating_add(1);
            (spare, self.wanted_after(state.capacity))
        };
        let path = spare_path(&self.dir, spare);
        // When the writer has missed one, it waits for it.
        let pace = if is_missed { Pace::AtOnce } else { Pace::Leisurely };
        let (temporary, bytes) = self.zeroed(&path, bytes, 0, pace)?;
        self.count_syncs(1);
        put_in_place(&*self.disk, &temporary, &path)?;
        self.state().spares.insert(spare, bytes);
        Ok(true)
    }

    /// What the last durable frame says is the oldest segment that is needed: older ones may be retired.
    pub(crate) fn durable_first(&self) -> SegmentNo {
        self.state().durable_first
    }

    /// Retires all segments older than [`Self::durable_first`], oldest first; returns how many.
    ///
    /// # Errors
    /// What was not retired is tried again by the next call.
    pub(crate) fn retire(&self) -> io::Result<u32> {
        let mut retired = 0;
        while self.retire_oldest()? {
            retired += 1;
        }
        if retired > 0 {
            self.sync_dir()?;
        }
        Ok(retired)
    }

    /// How many segments there are, without spares.
    pub(crate) fn count(&self) -> u64 {
        self.state().segments.len() as u64
    }

    /// The bytes of all segments, without spares.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().segments.values().sum()
    }

    /// The number and the bytes of the segments from `first` on.
    pub(crate) fn size_from(&self, first: SegmentNo) -> (u64, u64) {
        let state = self.state();
        let from = state.segments.range(first..);
        from.fold((0, 0), |(count, bytes), (_, segment)| (count + 1, bytes + segment))
    }

    /// The oldest segment that is there.
    pub(crate) fn oldest(&self) -> SegmentNo {
        self.state().segments.keys().next().copied().unwrap_or(SegmentNo::FIRST)
    }

    /// The segment that is being written.
    pub(crate) fn current(&self) -> SegmentNo {
        self.state().segments.keys().next_back().copied().unwrap_or(SegmentNo::FIRST)
    }

    /// How many syncs the log has asked for since it was opened.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(super) fn count_syncs(&self, syncs: u64) {
        self.syncs.fetch_add(syncs, Ordering::Relaxed);
    }

    pub(super) fn home(&self, segment: SegmentNo) -> Home {
        Home { store: self.store, segment }
    }

    pub(super) fn path(&self, segment: SegmentNo) -> PathBuf {
        segment_path(&self.dir, segment)
    }

    /// A frame in `segment` is durable: so is what it says about the oldest segment needed.
    pub(super) fn written(&self, segment: SegmentNo, first: SegmentNo, capacity: u64, used: u64) {
        let mut state = self.state();
        state.segments.insert(segment, capacity);
        state.durable_first = first;
        (state.capacity, state.used) = (capacity, used);
    }

    /// The size of a segment that follows one of `current` bytes and has to hold a frame of `frame` bytes.
    pub(super) fn bytes_after(&self, current: u64, frame: u64) -> u64 {
        Self::bytes_for(&self.tuning, current, frame)
    }

    pub(super) fn bytes_for(tuning: &Tuning, current: u64, frame: u64) -> u64 {
        // `max` before `min`: settings that contradict each other must not panic.
        let wanted = current.saturating_mul(2).max(tuning.segment_min).min(tuning.segment_max);
        wanted.max(least_for(frame)).next_multiple_of(PAGE_BYTES)
    }

    /// The size that a segment after one of `current` bytes should have.
    fn wanted_after(&self, current: u64) -> u64 {
        self.bytes_after(current, 0)
    }

    /// Makes `segment` exist, without a frame, durably; a file of that name without any frame is replaced. It has room for a
    /// frame of `frame` bytes; if no spare has, it gets `bytes` bytes.
    ///
    /// # Errors
    /// [`AppendError::Full`]: nothing has changed.
    pub(super) fn provide(&self, segment: SegmentNo, frame: u64, bytes: u64) -> Result<Blank, AppendError> {
        let path = self.path(segment);
        let spare = self.take_spare(least_for(frame));
        let (from, capacity) = match spare {
            Some((spare, capacity)) => (spare_path(&self.dir, spare), capacity),
            None => self.zeroed(&path, bytes, least_for(frame), Pace::AtOnce).map_err(AppendError::of_write)?,
        };
        if let Err(error) = self.disk.rename(&from, &path) {
            self.state().spares.extend(spare);
            if spare.is_none() {
                // What it has taken of a full disk is given back; the first error is the one to tell.
                let _ = self.disk.remove(&from);
            }
            return Err(AppendError::of_write(error));
        }
        self.sync_dir().map_err(AppendError::Failed)?;
        let file = self.disk.open(&path).map_err(AppendError::Failed)?;
        Ok(Blank { file, capacity })
    }

    /// A zeroed file beside `path`, and its size: `bytes`, or if the disk has no room for it, the least that will do.
    fn zeroed(&self, path: &Path, bytes: u64, least: u64, pace: Pace) -> io::Result<(PathBuf, u64)> {
        let least = least.max(self.tuning.segment_min).min(bytes);
        let made = match zeroed(&*self.disk, path, bytes, pace) {
            Err(error) if is_full(&error) && least < bytes => (zeroed(&*self.disk, path, least, pace), least),
            made => (made, bytes),
        };
        let (temporary, syncs) = made.0?;
        self.count_syncs(syncs);
        Ok((temporary, made.1))
    }

    /// Removes files that were being made when a process ended.
    pub(super) fn remove_temporary(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            self.disk.remove(&self.dir.join(name))?;
        }
        if names.is_empty() { Ok(()) } else { self.sync_dir() }
    }

    /// Retires what is not needed any more, and removes spares that are too many, too small or too large.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let useless = self.take_useless_spares();
        for &spare in &useless {
            self.disk.remove(&spare_path(&self.dir, spare))?;
        }
        if !useless.is_empty() {
            self.sync_dir()?;
        }
        self.retire().map(|_| ())
    }

    /// A segment was replaced by one of another size.
    pub(super) fn replaced(&self, segment: SegmentNo, bytes: u64) {
        self.state().segments.insert(segment, bytes);
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        self.count_syncs(1);
        self.disk.sync_dir(&self.dir)
    }

    fn retire_oldest(&self) -> io::Result<bool> {
        let (segment, bytes, spare) = {
            let mut state = self.state();
            let Some((&segment, &bytes)) = state.segments.first_key_value() else {
                return Ok(false);
            };
            if segment >= state.durable_first {
                return Ok(false);
            }
            state.segments.remove(&segment);
            let is_kept = state.spares.len() < SPARES_MAX && self.is_useful(bytes, state.capacity);
            let spare = is_kept.then_some(state.next_spare);
            state.next_spare = state.next_spare.saturating_add(u64::from(is_kept));
            (segment, bytes, spare)
        };
        let done = match spare {
            Some(spare) => self.disk.rename(&self.path(segment), &spare_path(&self.dir, spare)),
            None => self.disk.remove(&self.path(segment)),
        };
        let mut state = self.state();
        match done {
            Ok(()) => state.spares.extend(spare.map(|spare| (spare, bytes))),
            Err(error) => {
                state.segments.insert(segment, bytes);
                return Err(error);
            }
        }
        Ok(true)
    }

    fn is_useful(&self, bytes: u64, current: u64) -> bool {
        bytes >= self.wanted_after(current) && bytes <= self.tuning.segment_max.max(self.wanted_after(current))
    }

    fn take_spare(&self, least: u64) -> Option<(u64, u64)> {
        let mut state = self.state();
        let found = state.spares.iter().find(|&(_, &bytes)| bytes >= least).map(|(&spare, &bytes)| (spare, bytes));
        if let Some((spare, _)) = found {
            state.spares.remove(&spare);
        }
        found
    }

    fn take_useless_spares(&self) -> Vec<u64> {
        let mut state = self.state();
        let capacity = state.capacity;
        let mut kept = 0;
        let mut useless = Vec::new();
        state.spares.retain(|&spare, &mut bytes| {
            let is_kept = kept < SPARES_MAX && self.is_useful(bytes, capacity);
            if is_kept {
                kept += 1;
            } else {
                useless.push(spare);
            }
            is_kept
        });
        useless
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of a segment that has room for a frame of `frame` bytes and a closing one.
fn least_for(frame: u64) -> u64 {
    frame.next_multiple_of(PAGE_BYTES) + CLOSING_BYTES
}
