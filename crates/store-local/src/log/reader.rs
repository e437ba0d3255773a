//! Reading one segment, a window at a time.

use std::io;
use std::path::{Path, PathBuf};

use super::SegmentNo;
use super::files::segment_path;
use super::frame::{
    ALIGNMENT, Flaw, HEADER_BYTES, Header, Home, Kind, MAGIC, PAGE_BYTES, is_whole, padded_bytes, parse,
};
use crate::disk::{Disk, DiskFile, read_full_at};

/// A segment is read in pieces of at least this size.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;

/// What the next frame of a log has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// `None` if nothing was read yet: then any frame will do.
    after: Option<(u64, u32)>,
}

impl Expected {
    pub(super) const ANY: Self = Self { after: None };

    pub(super) fn after(header: &Header) -> Self {
        Self { after: Some((header.sequence, header.checksum)) }
    }

    /// The sequence that it must have; 0 if nothing was read yet.
    pub(super) fn sequence(self) -> u64 {
        self.after.map_or(0, |(last, _)| last.saturating_add(1))
    }

    fn check(self, header: &Header) -> Result<(), Flaw> {
        match self.after {
            Some((last, _)) if header.sequence != last.wrapping_add(1) => {
                Err(Flaw::Sequence { found: header.sequence })
            }
            Some((_, checksum)) if header.previous != checksum => Err(Flaw::Previous),
            _ => Ok(()),
        }
    }
}

/// A frame in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) segment: SegmentNo,
    /// Where it begins.
    pub(super) at: u64,
    /// Where the next one begins, unless that is the mark of a clean stop.
    pub(super) end: u64,
}

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) path: PathBuf,
    pub(super) home: Home,
    file: Box<dyn DiskFile>,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
    filled: usize,
}

impl Reader {
    /// `dir` is the directory of the log.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, home: Home) -> io::Result<Self> {
        let path = segment_path(dir, home.segment);
        let file = disk.open(&path)?;
        let len = file.len()?;
        Ok(Self { path, home, file, len, window: Vec::new(), window_at: 0, filled: 0 })
    }

    /// The length of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Forgets what was read ahead: somebody writes to the segment.
    pub(super) fn refresh(&mut self) {
        self.filled = 0;
    }

    /// The bytes from `at` on: `len` of them, or fewer at the end of the file.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        if !self.has(at, len) {
            self.fill(at, len)?;
        }
        let from = ((at - self.window_at) as usize).min(self.filled);
        let to = self.filled.min(from + len);
        Ok(&self.window[from..to])
    }

    fn has(&self, at: u64, len: usize) -> bool {
        let end = self.window_at + self.filled as u64;
        self.filled > 0 && at >= self.window_at && (at + len as u64 <= end || end >= self.len)
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = len.max(WINDOW_BYTES).min(left);
        if self.window.len() < wanted {
            self.window.resize(wanted, 0);
        }
        self.filled = 0;
        self.window_at = at;
        self.filled = read_full_at(&*self.file, &mut self.window[..wanted], at)?;
        Ok(())
    }

    /// The frame at `at`, if there is a whole one of this segment. One of a newer version is one, too.
    pub(super) fn frame(&mut self, at: u64) -> io::Result<Result<Found, Flaw>> {
        let home = self.home;
        let header = match parse(self.bytes(at, HEADER_BYTES)?, home) {
            Ok(header) => header,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let bytes = header.frame_bytes();
        if self.len.saturating_sub(at) < bytes as u64 {
            return Ok(Err(Flaw::Cut));
        }
        if !is_whole(&header, home, self.bytes(at, bytes)?) {
            return Ok(Err(Flaw::Checksum));
        }
        Ok(Ok(Found { header, segment: home.segment, at, end: at + padded_bytes(header.length as usize) }))
    }

    /// The frame that has to follow, at `at`, or on the next page if it is the mark of a clean stop.
    ///
    /// What stands before the mark does not matter: its sequence says that no frame is missing there.
    pub(super) fn expect(&mut self, at: u64, expected: Expected) -> io::Result<Result<Found, Flaw>> {
        let flaw = match self.frame(at)? {
            Ok(found) => match expected.check(&found.header) {
                Ok(()) => return Ok(Ok(found)),
                Err(flaw) => flaw,
            },
            Err(flaw) => flaw,
        };
        let page = at.next_multiple_of(PAGE_BYTES);
        if page > at
            && let Ok(found) = self.frame(page)?
            && found.header.kind == Kind::Stopped
            && expected.check(&found.header).is_ok()
        {
            return Ok(Ok(found));
        }
        Ok(Err(flaw))
    }

    /// The first whole frame at `from` or behind it, on any boundary, that `accept` takes.
    pub(super) fn find(&mut self, from: u64, accept: &mut dyn FnMut(&Header) -> bool) -> io::Result<Option<Found>> {
        let mut at = from.next_multiple_of(ALIGNMENT);
        while at < self.len {
            if !self.has(at, HEADER_BYTES) {
                self.fill(at, HEADER_BYTES)?;
            }
            let ahead = self.window.get((at - self.window_at) as usize..self.filled).unwrap_or_default();
            let mut chunks = ahead.chunks_exact(ALIGNMENT as usize);
            let searched = (chunks.len() as u64) * ALIGNMENT;
            let Some(step) = chunks.position(|chunk| chunk[..4] == MAGIC) else {
                if searched == 0 {
                    break;
                }
                at += searched;
                continue;
            };
            at += step as u64 * ALIGNMENT;
            if let Ok(found) = self.frame(at)?
                && accept(&found.header)
            {
                return Ok(Some(found));
            }
            at += ALIGNMENT;
        }
        Ok(None)
    }

    /// Header and body of a frame.
    pub(super) fn raw(&mut self, found: &Found) -> io::Result<&[u8]> {
        self.bytes(found.at, found.header.frame_bytes())
    }

    /// The body of a frame.
    pub(super) fn body(&mut self, found: &Found) -> io::Result<&[u8]> {
        self.raw(found).map(|raw| raw.get(HEADER_BYTES..).unwrap_or_default())
    }
}
