use std::io;
use std::path::{Path, PathBuf};

use super::SegmentNo;
use crate::disk::Disk;
use crate::identity::StoreId;

/// What a reading of the whole log has shown.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) segments: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// The sequence of the last frame; 0 if there is none.
    pub(crate) last_sequence: u64,
    /// Whether the log ends with a clean stop.
    pub(crate) is_stopped: bool,
    pub(crate) findings: Vec<Finding>,
}

/// Something that is wrong with a log, or that a start would drop.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Whether it keeps the log from being opened.
    pub(crate) is_damage: bool,
    pub(crate) what: String,
}

/// Reads a log without changing anything, hands over every frame that can be read, and lists all that is wrong.
pub(crate) fn check(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    on_frame: &mut dyn FnMut(SegmentNo, u64, &[u8]),
) -> io::Result<Report> {
    Err(io::ErrorKind::Unsupported.into())
}
