//! What a start does behind the last frame of a log that was found sound.

use std::io;
use std::ops::ControlFlow;

use super::frame::{HEADER_BYTES, Header, Kind};
use super::reader::{Expected, Reader};
use super::segments::{Blank, Segments};
use super::survey::Ending;
use super::writing::FrameFile;
use super::{AppendError, LogError, SegmentNo};

/// Where the log goes on.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) segment: SegmentNo,
    pub(super) blank: Blank,
    pub(super) offset: u64,
    pub(super) last: Header,
}

/// Makes the end of the log durable and ready to be appended to. Doing it again after a crash has the same result.
pub(super) fn resume(segments: &Segments, ending: &Ending, last: Header) -> Result<Resumed, LogError> {
    if ending.is_stopped() {
        return confirm_stop(segments, ending, last).map_err(LogError::io(&segments.path(ending.segment)));
    }
    let provide = |segment: SegmentNo| {
        let bytes = segments.bytes_after(0, 0);
        let blank = segments.provide(segment, 0, bytes).map_err(AppendError::into_io);
        blank.map_err(LogError::io(&segments.path(segment)))
    };
    if ending.offset == 0 {
        // Nothing of this segment ever counted. What the page cache shows of it may not be what is on the disk.
        return Ok(Resumed { segment: ending.segment, blank: provide(ending.segment)?, offset: 0, last });
    }
    let next = ending.segment.next();
    let blank = provide(next)?;
    let last = seal(segments, ending, last).map_err(LogError::io(&segments.path(ending.segment)))?;
    Ok(Resumed { segment: next, blank, offset: 0, last })
}

/// Writes the mark of the clean stop again, with the zeros before it and some behind it. If its sync had failed, it would be
/// in the page cache and not on the disk; and of a frame that was cut off behind it nothing must come back.
fn confirm_stop(segments: &Segments, ending: &Ending, last: Header) -> io::Result<Resumed> {
    let mut reader = Reader::open(&*segments.disk, &segments.dir, segments.home(ending.segment))?;
    let bytes = (ending.offset - ending.last_from) as usize;
    let mut mark = reader.bytes(ending.last_from, bytes)?.to_vec();
    let behind = reader.len().saturating_sub(ending.offset).min(HEADER_BYTES as u64);
    mark.resize(bytes + behind as usize, 0);
    let file = segments.disk.open(&reader.path)?;
    file.write_all_at(&mark, ending.last_from)?;
    file.sync()?;
    segments.count_syncs(1);
    let blank = Blank { file, capacity: reader.len() };
    Ok(Resumed { segment: ending.segment, blank, offset: ending.offset, last })
}

/// Replaces the last segment by a file that holds its frames, byte for byte, and says that the log continues: what was read
/// may stand in the page cache only.
fn seal(segments: &Segments, ending: &Ending, last: Header) -> io::Result<Header> {
    let home = segments.home(ending.segment);
    let mut reader = Reader::open(&*segments.disk, &segments.dir, home)?;
    let mut sealed = FrameFile::create(&*segments.disk, &reader.path, home)?;
    let (mut at, mut expected) = (0, Expected::ANY);
    while at < ending.offset {
        let Ok(found) = reader.expect(at, expected)? else { break };
        sealed.copy(&mut reader, &found)?;
        (at, expected) = (found.end, Expected::after(&found.header));
    }
    if sealed.last() != Some(&last) {
        // The system has dropped what it showed before, as it may after a failed sync.
        return Err(io::Error::other("the file has changed since it was read"));
    }
    sealed.push(Kind::Continues, &[], last.first_segment)?;
    let (bytes, closing) = (sealed.bytes(), sealed.last().copied());
    sealed.finish(&*segments.disk)?;
    segments.count_syncs(2);
    segments.replaced(ending.segment, bytes);
    Ok(closing.unwrap_or(last))
}
