//! Reading a whole log in order, and judging what cannot be read: a torn tail, or damage.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::{Listing, log_dir, segment_path};
use super::frame::{Flaw, Header, Home, Kind};
use super::reader::{Expected, Found, Reader};
use super::{Damage, LogError, Place, SegmentNo};
use crate::disk::Disk;
use crate::identity::StoreId;

/// What a survey comes across, in the order of the log.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    /// A whole frame that follows the one before it, whatever its kind. Asking for its bytes cannot fail: they were read.
    Frame { reader: &'a mut Reader, found: Found },
    /// What should follow cannot be read. The survey goes on with what stands behind it, if anything does.
    Damage(Damage),
}

/// Where a log ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// The segment in which the next frame would be looked for.
    pub(super) segment: SegmentNo,
    /// Behind the last frame of that segment; 0 if it has none.
    pub(super) offset: u64,
    /// Where the last frame was looked for: before the zeros, if it is the mark of a clean stop.
    pub(super) last_from: u64,
    /// The last frame, in that segment or in the one before it; `None` if there is no frame at all.
    pub(super) last: Option<Found>,
    /// What stands behind the last frame in place of the next one.
    pub(super) flaw: Flaw,
}

impl Ending {
    /// Whether the log was stopped cleanly, and nothing was appended since.
    pub(super) fn is_stopped(&self) -> bool {
        self.offset > 0 && self.last.is_some_and(|last| last.header.kind == Kind::Stopped)
    }

    /// Whether something of a further frame stands behind the last one.
    pub(super) fn is_torn(&self) -> bool {
        !matches!(self.flaw, Flaw::NoFrame | Flaw::OtherSegment | Flaw::MissingSegment)
    }
}

/// A log that is being read; nothing is changed.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    disk: &'a dyn Disk,
    store_dir: &'a Path,
    dir: PathBuf,
    store: StoreId,
    segments: &'a BTreeSet<SegmentNo>,
}

/// How the reading of one segment ended.
enum Stretch<B> {
    Continues,
    Flaw(Flaw, Reader),
    Break(B),
}

impl<'a> Survey<'a> {
    pub(super) fn new(disk: &'a dyn Disk, store_dir: &'a Path, store: StoreId, listing: &'a Listing) -> Self {
        Self { disk, store_dir, dir: log_dir(store_dir), store, segments: &listing.segments }
    }

    /// Shows every frame and every damage to `visit`, in order, until it breaks off.
    ///
    /// # Errors
    /// A file that cannot be read, a frame that a newer version wrote, or a directory without any segment. Damage is no error.
    pub(super) fn run<B>(
        &self,
        visit: &mut dyn FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, Ending>, LogError> {
        let first = self.first_needed()?;
        let mut expected = Expected::ANY;
        let mut ending = Ending { segment: first, offset: 0, last_from: 0, last: None, flaw: Flaw::MissingSegment };
        loop {
            let (flaw, mut reader) = if self.segments.contains(&ending.segment) {
                match self.read_segment(&mut ending, &mut expected, visit)? {
                    Stretch::Break(value) => return Ok(ControlFlow::Break(value)),
                    Stretch::Flaw(flaw, reader) => (flaw, Some(reader)),
                    Stretch::Continues => {
                        (ending.segment, ending.offset, ending.last_from) = (ending.segment.next(), 0, 0);
                        continue;
                    }
                }
            } else {
                (Flaw::MissingSegment, None)
            };
            ending.flaw = flaw;
            let proof = self.find_behind(ending.segment, ending.offset, reader.as_mut(), expected.sequence())?;
            let Some(damage) = self.judge(ending.segment, ending.offset, flaw, expected, proof.as_ref()) else {
                return Ok(ControlFlow::Continue(ending));
            };
            if let ControlFlow::Break(value) = visit(Seen::Damage(damage)) {
                return Ok(ControlFlow::Break(value));
            }
            let Some(found) = proof else {
                return Ok(ControlFlow::Continue(ending));
            };
            (ending.segment, ending.offset) = (found.segment, found.at);
            expected = Expected::ANY;
        }
    }

    /// The oldest segment that is needed, as the newest frame says; if there is no frame at all, the oldest that is there.
    pub(super) fn first_needed(&self) -> Result<SegmentNo, LogError> {
        for &segment in self.segments.iter().rev() {
            let mut reader = self.open(segment)?;
            if let Some(found) = newest_frame(&mut reader).map_err(LogError::io(&reader.path))? {
                self.check_version(&reader.path, &found)?;
                return Ok(found.header.first_segment);
            }
        }
        self.segments.first().copied().ok_or_else(|| LogError::Missing { dir: self.store_dir.to_owned() })
    }

    /// Reads frame after frame from `ending` on.
    fn read_segment<B>(
        &self,
        ending: &mut Ending,
        expected: &mut Expected,
        visit: &mut dyn FnMut(Seen<'_>) -> ControlFlow<B>,
    ) -> Result<Stretch<B>, LogError> {
        let mut reader = self.open(ending.segment)?;
        loop {
            let found = match reader.expect(ending.offset, *expected).map_err(LogError::io(&reader.path))? {
                Ok(found) => found,
                Err(flaw) => return Ok(Stretch::Flaw(flaw, reader)),
            };
            self.check_version(&reader.path, &found)?;
            *expected = Expected::after(&found.header);
            ending.last_from = ending.offset;
            ending.offset = found.end;
            ending.last = Some(found);
            if let ControlFlow::Break(value) = visit(Seen::Frame { reader: &mut reader, found }) {
                return Ok(Stretch::Break(value));
            }
            if found.header.kind == Kind::Continues {
                return Ok(Stretch::Continues);
            }
        }
    }

    /// The first frame behind the end that was built when frame `sequence` was on the disk.
    fn find_behind(
        &self,
        segment: SegmentNo,
        offset: u64,
        reader: Option<&mut Reader>,
        sequence: u64,
    ) -> Result<Option<Found>, LogError> {
        let mut accept = |header: &Header| !header.is_known() || header.synced_through >= sequence;
        if let Some(reader) = reader {
            let found = reader.find(offset, &mut accept).map_err(LogError::io(&reader.path))?;
            if let Some(found) = found {
                self.check_version(&reader.path, &found)?;
                return Ok(Some(found));
            }
        }
        for &segment in self.segments.range(segment.next()..) {
            let mut reader = self.open(segment)?;
            let found = reader.find(0, &mut accept).map_err(LogError::io(&reader.path))?;
            if let Some(found) = found {
                self.check_version(&reader.path, &found)?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The damage if what cannot be read at `offset` is not the end of a log that is being written to.
    pub(super) fn damage_at(
        &self,
        reader: &mut Reader,
        offset: u64,
        flaw: Flaw,
        expected: Expected,
    ) -> Result<Option<Damage>, LogError> {
        let segment = reader.home.segment;
        let proof = self.find_behind(segment, offset, Some(reader), expected.sequence())?;
        Ok(self.judge(segment, offset, flaw, expected, proof.as_ref()))
    }

    /// The damage, unless what cannot be read is the torn tail.
    fn judge(
        &self,
        segment: SegmentNo,
        offset: u64,
        flaw: Flaw,
        expected: Expected,
        proof: Option<&Found>,
    ) -> Option<Damage> {
        let proof = match proof {
            Some(found) => Some(self.place(found.segment, found.at, found.header.sequence)),
            None => self.segment_too_many(segment).map(|segment| self.place(segment, 0, 0)),
        };
        // A log is never without a frame, and a segment exists before the one before it says that the log continues there.
        let is_surely_lost = expected == Expected::ANY || flaw == Flaw::MissingSegment;
        (proof.is_some() || is_surely_lost).then(|| Damage {
            place: self.place(segment, offset, expected.sequence()),
            flaw,
            proof,
        })
    }

    /// A segment that cannot be there if the log ends in `segment`: only the next one is made ahead.
    fn segment_too_many(&self, segment: SegmentNo) -> Option<SegmentNo> {
        self.segments.range(segment.next().next()..).next().copied()
    }

    fn place(&self, segment: SegmentNo, offset: u64, sequence: u64) -> Place {
        Place { path: segment_path(&self.dir, segment), offset, sequence }
    }

    fn open(&self, segment: SegmentNo) -> Result<Reader, LogError> {
        let home = Home { store: self.store, segment };
        Reader::open(self.disk, &self.dir, home).map_err(LogError::io(&segment_path(&self.dir, segment)))
    }

    fn check_version(&self, path: &Path, found: &Found) -> Result<(), LogError> {
        if found.header.is_known() {
            return Ok(());
        }
        Err(LogError::Newer { path: path.to_owned(), offset: found.at, version: found.header.version })
    }
}

/// The frame of the segment with the highest sequence, whatever stands between its frames.
pub(super) fn newest_frame(reader: &mut Reader) -> std::io::Result<Option<Found>> {
    let mut newest: Option<Found> = None;
    let mut from = 0;
    while let Some(found) = reader.find(from, &mut |_| true)? {
        from = found.end;
        if newest.is_none_or(|newest| newest.header.sequence < found.header.sequence) {
            newest = Some(found);
        }
    }
    Ok(newest)
}
