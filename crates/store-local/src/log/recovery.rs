//! What a start does behind the last frame of a log that was found sound.

use std::io;

use super::frame::{HEADER_BYTES, Header, Kind};
use super::reader::{Expected, Found, Reader};
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
pub(super) fn resume(segments: &Segments, ending: &Ending, last: Found) -> Result<Resumed, LogError> {
    let io_error = |segment: SegmentNo| LogError::io(&segments.path(segment));
    let provide = |segment: SegmentNo| {
        let blank = segments.provide(segment, 0, segments.bytes_after(0, 0)).map_err(AppendError::into_io);
        blank.map_err(io_error(segment))
    };
    let (segment, next) = (ending.segment, ending.segment.next());
    if ending.is_stopped() {
        // Of a frame that was cut off behind the mark nothing may come back: zeros take the place of its header.
        let blank = confirm(segments, &last, ending.last_from, HEADER_BYTES).map_err(io_error(segment))?;
        return Ok(Resumed { segment, blank, offset: last.end, last: last.header });
    }
    if ending.offset > 0 {
        let blank = provide(next)?;
        let last = seal(segments, ending, last.header).map_err(io_error(segment))?;
        return Ok(Resumed { segment: next, blank, offset: 0, last });
    }
    // Nothing of this segment ever counted. What the page cache shows of it may not be what is on the disk.
    confirm(segments, &last, last.at, 0).map_err(io_error(last.segment))?;
    Ok(Resumed { segment, blank: provide(segment)?, offset: 0, last: last.header })
}

/// Writes a closing frame again, with what stands before it (`from` on) and some zeros behind it. All that was written before
/// it had been synced, but it may itself stand in the page cache only: its sync may have failed, or was never asked for.
fn confirm(segments: &Segments, closing: &Found, from: u64, zeros: usize) -> io::Result<Blank> {
    let mut reader = Reader::open(&*segments.disk, &segments.dir, segments.home(closing.segment))?;
    if !reader.frame(closing.at)?.is_ok_and(|found| found.header == closing.header) {
        return Err(changed());
    }
    let bytes = (closing.end - from) as usize;
    let mut written = reader.bytes(from, bytes)?.to_vec();
    let behind = reader.len().saturating_sub(closing.end).min(zeros as u64);
    written.resize(bytes + behind as usize, 0);
    let file = segments.disk.open(&reader.path)?;
    file.write_all_at(&written, from)?;
    file.sync()?;
    segments.count_syncs(1);
    Ok(Blank { file, capacity: reader.len() })
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
        return Err(changed());
    }
    sealed.push(Kind::Continues, &[], last.first_segment)?;
    let (bytes, closing) = (sealed.bytes(), sealed.last().copied());
    sealed.finish(&*segments.disk)?;
    segments.count_syncs(2);
    segments.replaced(ending.segment, bytes);
    Ok(closing.unwrap_or(last))
}

/// The system has dropped what it showed before, as it may after a failed sync: the next start reads what there is.
fn changed() -> io::Error {
    io::Error::other("the file has changed since it was read")
}
