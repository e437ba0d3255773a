//! The log: frames in segments, each frame written and synced before the next one is built.
//!
//! The format and the rules of torn tail, damage and recovery: `docs/formats/log.md`.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

mod check;
mod copy;
mod error;
mod files;
mod frame;
mod reader;
mod recovery;
mod segments;
mod survey;
#[cfg(test)]
mod tests;
mod writing;

pub(crate) use check::{Finding, Report, check};
pub(crate) use copy::copy_running;
pub(crate) use error::{AppendError, Damage, LogError, OpenError, Place, is_full};
pub(crate) use frame::BODY_BYTES_MAX;
pub(crate) use segments::Segments;

use files::{Listing, log_dir, segment_path};
use frame::{Header, Home, Kind, PAGE_BYTES, build, padded_bytes};
use reader::Reader;
use recovery::Resumed;
use segments::{Blank, CLOSING_BYTES};
use survey::{Ending, Seen, Survey};
use writing::FrameFile;

use crate::disk::{Disk, DiskFile};
use crate::identity::StoreId;

/// After a frame larger than this its buffer is given back.
const BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// The directory of the segments, in the directory of the store.
pub(crate) const DIR: &str = "log";

/// The number of a segment: counts from 1 over the whole life of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentNo(pub(crate) u64);

impl SegmentNo {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Takes a frame: its segment, its sequence and its body.
pub(crate) type OnFrame<'a, E> = dyn FnMut(SegmentNo, u64, &[u8]) -> Result<(), E> + 'a;

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Bytes of the first segment, and the least of every other.
    pub(crate) segment_min: u64,
    /// Bytes of the largest segment, unless one frame needs more.
    pub(crate) segment_max: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { segment_min: 1024 * 1024, segment_max: 64 * 1024 * 1024 }
    }
}

/// Where a frame came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) segment: SegmentNo,
    pub(crate) sequence: u64,
    /// What was written for it, with its header and padding; closing frames are not counted.
    pub(crate) bytes: u64,
}

/// A log that can be appended to; owned by the one thread that writes.
///
/// One that is dropped without [`Log::stop`] ends as if the process had been killed: the next start seals its last segment.
#[derive(Debug)]
pub(crate) struct Log {
    segments: Arc<Segments>,
    segment: SegmentNo,
    file: Box<dyn DiskFile>,
    capacity: u64,
    /// Where the next frame begins.
    offset: u64,
    /// The last frame, in this segment or in the one before it. It is durable.
    last: Header,
    /// The next segment, if it was made and the log could not go on to it.
    next: Option<Blank>,
    buffer: Vec<u8>,
    /// It is not known what is on the disk.
    has_failed: bool,
}

impl Log {
    /// Makes a new log of one frame, durably, in `dir` (the directory of the store). What a creation that was cut off has
    /// left there is replaced.
    ///
    /// # Errors
    /// [`LogError::Exists`] if there is more than such a creation leaves.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        tuning: Tuning,
        body: &[u8],
    ) -> Result<Self, LogError> {
        let log_dir = log_dir(dir);
        let io_error = || LogError::io(&log_dir);
        disk.create_dir(&log_dir).map_err(io_error())?;
        let listing = Listing::read(&*disk, &log_dir).map_err(io_error())?;
        if has_begun(&*disk, &log_dir, store, &listing).map_err(io_error())? {
            return Err(LogError::Exists { dir: dir.to_owned() });
        }
        let home = Home { store, segment: SegmentNo::FIRST };
        let path = segment_path(&log_dir, home.segment);
        let mut first = FrameFile::create(&*disk, &path, home).map_err(LogError::io(&path))?;
        let frame = padded_bytes(body.len());
        let written = first.push(Kind::Data, body, SegmentNo::FIRST);
        let Some(last) = first.last().copied() else {
            return Err(LogError::Io { path, source: io::ErrorKind::InvalidInput.into() });
        };
        let bytes = Segments::bytes_for(&tuning, 0, frame);
        written.and_then(|()| first.fill_with_zeros(bytes)).map_err(LogError::io(&path))?;
        first.finish(&*disk).map_err(LogError::io(&path))?;
        let listing = Listing::read(&*disk, &log_dir).map_err(io_error())?;
        let segments = Segments::new(disk, dir, store, tuning, &listing).map_err(io_error())?;
        segments.remove_temporary(&listing.temporary).map_err(io_error())?;
        let file = segments.disk.open(&path).map_err(LogError::io(&path))?;
        let blank = Blank { file, capacity: bytes };
        let log = Self::resumed(segments, Resumed { segment: SegmentNo::FIRST, blank, offset: frame, last });
        log.segments.tidy().map_err(io_error())?;
        Ok(log)
    }

    /// Reads a log, hands the body of each frame to `on_frame` in order, and makes it ready for more.
    ///
    /// Nothing is written before the whole log was found sound and `on_frame` has taken every frame.
    pub(crate) fn open<E>(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        tuning: Tuning,
        on_frame: &mut OnFrame<'_, E>,
    ) -> Result<Self, OpenError<E>>
    where
        E: std::error::Error + 'static,
    {
        let log_dir = log_dir(dir);
        let io_error = || LogError::io(&log_dir);
        let listing = Listing::read(&*disk, &log_dir).map_err(io_error())?;
        let ending = read(&Survey::new(&*disk, dir, store, &listing), on_frame)?;
        let Some(last) = ending.last else {
            // A survey without a frame shows damage.
            return Err(LogError::Missing { dir: dir.to_owned() }.into());
        };
        let listing = listing.up_to(ending.segment);
        let segments = Segments::new(disk, dir, store, tuning, &listing).map_err(io_error())?;
        segments.remove_temporary(&listing.temporary).map_err(io_error())?;
        let resumed = recovery::resume(&segments, &ending, last)?;
        let log = Self::resumed(segments, resumed);
        log.segments.tidy().map_err(io_error())?;
        Ok(log)
    }

    fn resumed(segments: Segments, resumed: Resumed) -> Self {
        let Resumed { segment, blank: Blank { file, capacity }, offset, last } = resumed;
        segments.written(segment, last.first_segment, capacity, offset);
        let segments = Arc::new(segments);
        Self { segments, segment, file, capacity, offset, last, next: None, buffer: Vec::new(), has_failed: false }
    }

    /// Appends one frame; it is durable when this returns.
    ///
    /// `first_needed`: once the frame is durable, segments older than this are not read any more and may be retired. So what
    /// they hold has to be durable elsewhere *before*. It never goes back: an older one than before counts as that.
    pub(crate) fn append(&mut self, body: &[u8], first_needed: SegmentNo) -> Result<Appended, AppendError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: body.len(), max: BODY_BYTES_MAX });
        }
        self.check_usable()?;
        let bytes = padded_bytes(body.len());
        if self.offset + bytes > self.capacity.saturating_sub(CLOSING_BYTES) {
            self.roll(bytes, first_needed)?;
        }
        self.write(Kind::Data, body, first_needed)?;
        Ok(Appended { segment: self.segment, sequence: self.last.sequence, bytes })
    }

    /// Ends the log cleanly: the next start goes on where this one ended.
    ///
    /// # Errors
    /// The next start seals the last segment, as after a kill.
    pub(crate) fn stop(mut self, first_needed: SegmentNo) -> Result<(), AppendError> {
        self.check_usable()?;
        if self.last.kind == Kind::Stopped && self.offset > 0 {
            // That it stopped is known; what is needed may have changed. A segment keeps room for one mark only.
            let has_room = self.offset.next_multiple_of(PAGE_BYTES) + CLOSING_BYTES <= self.capacity;
            if first_needed <= self.last.first_segment || !has_room {
                return Ok(());
            }
        }
        self.write(Kind::Stopped, &[], first_needed)
    }

    /// The segment that the next frame goes to, if it fits.
    pub(crate) fn current(&self) -> SegmentNo {
        self.segment
    }

    /// The files of this log, to be shared with the keeper.
    pub(crate) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments)
    }

    fn check_usable(&self) -> Result<(), AppendError> {
        if self.has_failed {
            return Err(AppendError::Failed(io::Error::other("the log has failed before")));
        }
        Ok(())
    }

    /// Goes on to the next segment, which has room for a frame of `frame` bytes.
    fn roll(&mut self, frame: u64, first_needed: SegmentNo) -> Result<(), AppendError> {
        let next = match self.next.take() {
            Some(next) if next.has_room_for(frame) => next,
            _ => {
                let bytes = self.segments.bytes_after(self.capacity, frame);
                let provided = self.segments.provide(self.segment.next(), frame, bytes);
                provided.map_err(|error| self.failed(error))?
            }
        };
        // Only now: a log that says it continues has to find where.
        if let Err(error) = self.write(Kind::Continues, &[], first_needed) {
            self.next = Some(next);
            return Err(error);
        }
        self.segment = self.segment.next();
        (self.file, self.capacity, self.offset) = (next.file, next.capacity, 0);
        Ok(())
    }

    fn write(&mut self, kind: Kind, body: &[u8], first_needed: SegmentNo) -> Result<(), AppendError> {
        let at = self.offset;
        let first_segment = first_needed.clamp(self.last.first_segment, self.segment);
        let header = self.build(kind, body, first_segment);
        self.file.write_all_at(&self.buffer, at).map_err(|error| self.failed(AppendError::of_write(error)))?;
        self.file.sync().map_err(|error| self.failed(AppendError::Failed(error)))?;
        self.segments.count_syncs(1);
        self.offset = at + self.buffer.len() as u64;
        self.last = header;
        self.segments.written(self.segment, first_segment, self.capacity, self.offset);
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Builds the next frame in the buffer, with the zeros that stand before it.
    fn build(&mut self, kind: Kind, body: &[u8], first_segment: SegmentNo) -> Header {
        self.buffer.clear();
        if kind == Kind::Stopped {
            let zeros = self.offset.next_multiple_of(PAGE_BYTES) - self.offset;
            self.buffer.resize(zeros as usize, 0);
        }
        let mut header = self.last.next(kind, first_segment, body.len());
        header.checksum = build(&mut self.buffer, self.segments.home(self.segment), &header, body);
        header
    }

    fn failed(&mut self, error: AppendError) -> AppendError {
        self.has_failed |= matches!(error, AppendError::Failed(_));
        error
    }
}

/// Reads a log whose every frame has to be sound.
fn read<E: std::error::Error + 'static>(
    survey: &Survey<'_>,
    on_frame: &mut OnFrame<'_, E>,
) -> Result<Ending, OpenError<E>> {
    let outcome = survey.run(&mut |seen| match seen {
        Seen::Damage(damage) => ControlFlow::Break(LogError::from(Box::new(damage)).into()),
        Seen::Frame { found, .. } if found.header.kind != Kind::Data => ControlFlow::Continue(()),
        Seen::Frame { reader, found } => {
            let segment = reader.home.segment;
            let taken = match reader.body(&found) {
                Ok(body) => on_frame(segment, found.header.sequence, body),
                Err(source) => {
                    return ControlFlow::Break(LogError::Io { path: reader.path.clone(), source }.into());
                }
            };
            let path = &reader.path;
            let refused = |source| OpenError::Frame { path: path.clone(), sequence: found.header.sequence, source };
            taken.map_or_else(|source| ControlFlow::Break(refused(source)), ControlFlow::Continue)
        }
    })?;
    match outcome {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(ending) => Ok(ending),
    }
}

/// Whether a directory holds more than what a creation that was cut off can have left: one segment with one frame.
fn has_begun(disk: &dyn Disk, log_dir: &Path, store: StoreId, listing: &Listing) -> io::Result<bool> {
    if listing.segments.iter().any(|&segment| segment != SegmentNo::FIRST) {
        return Ok(true);
    }
    if listing.segments.is_empty() {
        return Ok(false);
    }
    let mut reader = Reader::open(disk, log_dir, Home { store, segment: SegmentNo::FIRST })?;
    Ok(survey::newest_frame(&mut reader)?.is_some_and(|newest| newest.header.sequence > 1))
}
