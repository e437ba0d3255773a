//! Files that are made under a temporary name: zeroed segments, and frames written one behind the other.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::SegmentNo;
use super::files::temporary_path;
use super::frame::{Header, Home, Kind, PAGE_BYTES, build};
use super::reader::{Found, Reader};
use crate::disk::{Disk, DiskFile};

/// Files are written in pieces of this size.
const PIECE_BYTES: usize = 1024 * 1024;

/// How a file is zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Somebody waits for it.
    AtOnce,
    /// Nobody does, yet: half of the time is left to those who write and sync meanwhile. Without it the writer's syncs queue behind
    /// these, for as long as the whole file takes.
    Leisurely,
}

impl Pace {
    /// A file is synced this often while it is zeroed: one large sync would hold up the writer's small ones.
    fn pieces_per_sync(self) -> u64 {
        match self {
            Self::AtOnce => 8,
            Self::Leisurely => 1,
        }
    }

    fn pause(self, after: Duration) {
        if self == Self::Leisurely {
            std::thread::sleep(after);
        }
    }
}

/// Makes a zeroed file under the temporary name of `path`, synced; returns the name, and how many syncs it took. If this
/// fails, nothing is left behind, as far as the disk allows.
pub(super) fn zeroed(disk: &dyn Disk, path: &Path, bytes: u64, pace: Pace) -> io::Result<(PathBuf, u64)> {
    let temporary = temporary_path(path);
    match fill(&*disk.create(&temporary)?, bytes, pace) {
        Ok(syncs) => Ok((temporary, syncs)),
        Err(error) => {
            // What it has taken of a full disk is given back; the first error is the one to tell.
            let _ = disk.remove(&temporary);
            Err(error)
        }
    }
}

fn fill(file: &dyn DiskFile, bytes: u64, pace: Pace) -> io::Result<u64> {
    let piece = vec![0; bytes.min(PIECE_BYTES as u64) as usize];
    let (mut at, mut pieces, mut syncs) = (0, 0, 0);
    while at < bytes {
        let begun = Instant::now();
        let part = (bytes - at).min(piece.len() as u64);
        file.write_all_at(&piece[..part as usize], at)?;
        at += part;
        pieces += 1;
        if pieces % pace.pieces_per_sync() == 0 || at == bytes {
            file.sync()?;
            syncs += 1;
            pace.pause(begun.elapsed());
        }
    }
    Ok(syncs)
}

/// Gives a file that was made under a temporary name its own, durably.
pub(super) fn put_in_place(disk: &dyn Disk, temporary: &Path, path: &Path) -> io::Result<()> {
    disk.rename(temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Frames that are written, one behind the other, into a new file under a temporary name.
#[derive(Debug)]
pub(super) struct FrameFile {
    home: Home,
    path: PathBuf,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    /// What is not written yet.
    buffer: Vec<u8>,
    buffer_at: u64,
    last: Option<Header>,
}

impl FrameFile {
    pub(super) fn create(disk: &dyn Disk, path: &Path, home: Home) -> io::Result<Self> {
        let temporary = temporary_path(path);
        let file = disk.create(&temporary)?;
        let buffer = Vec::with_capacity(PIECE_BYTES);
        Ok(Self { home, path: path.to_owned(), temporary, file, buffer, buffer_at: 0, last: None })
    }

    /// The first frame follows this one, which stands in the segment before.
    pub(super) fn follow(mut self, last: Option<Header>) -> Self {
        self.last = last;
        self
    }

    pub(super) fn last(&self) -> Option<&Header> {
        self.last.as_ref()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buffer_at + self.buffer.len() as u64
    }

    /// Takes over a frame, byte for byte, to the same place.
    pub(super) fn copy(&mut self, reader: &mut Reader, found: &Found) -> io::Result<()> {
        self.fill_up_to(found.at);
        self.buffer.extend_from_slice(reader.raw(found)?);
        self.fill_up_to(found.end);
        self.last = Some(found.header);
        self.write_if_large()
    }

    /// Builds a frame that follows the last one; the very first has the sequence 1.
    pub(super) fn push(&mut self, kind: Kind, body: &[u8], first_segment: SegmentNo) -> io::Result<()> {
        if kind == Kind::Stopped {
            self.fill_up_to(self.bytes().next_multiple_of(PAGE_BYTES));
        }
        let mut header = self.last.unwrap_or(Header::BEFORE_FIRST).next(kind, first_segment, body.len());
        header.checksum = build(&mut self.buffer, self.home, &header, body);
        self.last = Some(header);
        self.write_if_large()
    }

    /// Adds zeros behind the frames, up to this length.
    pub(super) fn fill_with_zeros(&mut self, bytes: u64) -> io::Result<()> {
        while self.bytes() < bytes {
            let piece = (bytes - self.bytes()).min(PIECE_BYTES as u64);
            self.fill_up_to(self.bytes() + piece);
            self.write_if_large()?;
        }
        Ok(())
    }

    /// Writes and syncs all, and gives the file its name, durably.
    pub(super) fn finish(mut self, disk: &dyn Disk) -> io::Result<()> {
        self.write()?;
        self.file.sync()?;
        put_in_place(disk, &self.temporary, &self.path)
    }

    fn fill_up_to(&mut self, at: u64) {
        let missing = at.saturating_sub(self.bytes()) as usize;
        self.buffer.resize(self.buffer.len() + missing, 0);
    }

    fn write_if_large(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.buffer_at)?;
        self.buffer_at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
