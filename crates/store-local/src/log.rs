//! The log: frames in segments, each frame written and synced before the next one is built.
//!
//! The format and the rules of torn tail, damage and recovery: `docs/formats/log.md`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod check;
mod copy;
mod error;
mod frame;
mod repair;
mod segments;

pub(crate) use check::{Finding, Report, check};
pub(crate) use copy::{Copied, copy_running};
pub(crate) use error::{AppendError, Damage, LogError, OpenError};
pub(crate) use frame::BODY_BYTES_MAX;
pub(crate) use repair::{Dropped, Repaired, repair};
pub(crate) use segments::Segments;

use crate::disk::Disk;
use crate::identity::StoreId;

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
#[derive(Debug)]
pub(crate) struct Log {
    segments: Arc<Segments>,
}

impl Log {
    /// Makes a new log of one frame, durably, in `dir` (the directory of the store). What a creation that was cut off has
    /// left there is replaced.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        tuning: Tuning,
        body: &[u8],
    ) -> Result<Self, LogError> {
        Err(LogError::Io { path: dir.to_owned(), source: io::ErrorKind::Unsupported.into() })
    }

    /// Reads a log, hands the body of each frame to `on_frame` in order, and makes it ready for more.
    ///
    /// Nothing is written before the whole log was found sound and `on_frame` has taken every frame.
    pub(crate) fn open<E>(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        tuning: Tuning,
        on_frame: &mut dyn FnMut(SegmentNo, u64, &[u8]) -> Result<(), E>,
    ) -> Result<Self, OpenError<E>>
    where
        E: std::error::Error + 'static,
    {
        Err(LogError::Io { path: dir.to_owned(), source: io::ErrorKind::Unsupported.into() }.into())
    }

    /// Appends one frame; it is durable when this returns. `first_needed`: segments older than this may be retired once the
    /// frame is durable.
    pub(crate) fn append(&mut self, body: &[u8], first_needed: SegmentNo) -> Result<Appended, AppendError> {
        Err(AppendError::Failed(io::ErrorKind::Unsupported.into()))
    }

    /// Ends the log cleanly: the next start goes on where this one ended.
    pub(crate) fn stop(self, first_needed: SegmentNo) -> Result<(), AppendError> {
        Err(AppendError::Failed(io::ErrorKind::Unsupported.into()))
    }

    /// The segment that the next frame goes to, if it fits.
    pub(crate) fn current(&self) -> SegmentNo {
        SegmentNo::FIRST
    }

    /// The files of this log, to be shared with the keeper.
    pub(crate) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments)
    }
}
