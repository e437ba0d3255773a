//! The names of a log's files.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{DIR, SegmentNo};
use crate::disk::Disk;

const SUFFIX: &str = ".log";
const SPARE: &str = "spare-";
const TEMPORARY: &str = ".tmp";

/// What stands in the directory of a log. Files that are not its own are left out.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) segments: BTreeSet<SegmentNo>,
    pub(super) spares: BTreeSet<u64>,
    /// Files that were being made when a process ended.
    pub(super) temporary: Vec<String>,
}

impl Listing {
    /// `dir` is the directory of the log. One that is not there has no files.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let names = match disk.list(dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut listing = Self::default();
        for name in names {
            if let Some(number) = segment_number(&name) {
                listing.segments.insert(number);
            } else if let Some(number) = spare_number(&name) {
                listing.spares.insert(number);
            } else if name.ends_with(TEMPORARY) {
                listing.temporary.push(name);
            }
        }
        Ok(listing)
    }

    /// Without the segments behind `last`.
    pub(super) fn up_to(mut self, last: SegmentNo) -> Self {
        self.segments = self.segments.range(..=last).copied().collect();
        self
    }
}

/// The directory of the log in the directory of a store.
pub(super) fn log_dir(store_dir: &Path) -> PathBuf {
    store_dir.join(DIR)
}

pub(super) fn segment_path(dir: &Path, segment: SegmentNo) -> PathBuf {
    dir.join(format!("{:016x}{SUFFIX}", segment.0))
}

pub(super) fn spare_path(dir: &Path, spare: u64) -> PathBuf {
    dir.join(format!("{SPARE}{spare}{SUFFIX}"))
}

/// The name under which a file is made that is to have the name `path`.
pub(super) fn temporary_path(path: &Path) -> PathBuf {
    path.with_extension(&TEMPORARY[1..])
}

fn segment_number(name: &str) -> Option<SegmentNo> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    // Only the one way to write it, so that no two files stand for the same segment; and each has a next one.
    (number > 0 && number < u64::MAX && digits == format!("{number:016x}")).then_some(SegmentNo(number))
}

fn spare_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SPARE)?.strip_suffix(SUFFIX)?;
    let number = digits.parse::<u64>().ok()?;
    (digits == number.to_string()).then_some(number)
}
