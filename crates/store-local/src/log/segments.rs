use std::io;

use super::SegmentNo;

/// The files of a log; shared by the thread that writes and the keeper.
#[derive(Debug)]
pub(crate) struct Segments {}

impl Segments {
    /// Makes a spare segment if there is none and the current segment is more than half full; says whether it did.
    pub(crate) fn prepare_spare(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// What the last durable frame says is the oldest segment that is needed: older ones may be retired.
    pub(crate) fn durable_first(&self) -> SegmentNo {
        SegmentNo::FIRST
    }

    /// Retires all segments older than [`Self::durable_first`], oldest first; returns how many.
    pub(crate) fn retire(&self) -> io::Result<u32> {
        Ok(0)
    }

    /// How many segments there are, without spares.
    pub(crate) fn count(&self) -> u64 {
        1
    }

    /// The bytes of all segments, without spares.
    pub(crate) fn bytes(&self) -> u64 {
        0
    }

    /// The oldest segment that is there.
    pub(crate) fn oldest(&self) -> SegmentNo {
        SegmentNo::FIRST
    }

    /// How many syncs the log has asked for since it was opened.
    pub(crate) fn syncs(&self) -> u64 {
        0
    }
}
