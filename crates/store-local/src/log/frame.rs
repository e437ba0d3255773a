//! One frame: its bytes, and whether bytes are one.

use super::SegmentNo;
use crate::identity::StoreId;

/// The largest body of a frame, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) const HEADER_BYTES: usize = 64;

/// Frames begin on multiples of this.
pub(super) const ALIGNMENT: u64 = 8;

/// The mark of a clean stop begins on a multiple of this: a page that is lost never takes both it and the last data.
pub(super) const PAGE_BYTES: u64 = 4096;

pub(super) const MAGIC: [u8; 4] = *b"EsLg";
pub(super) const VERSION: u8 = 1;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// The last frame of a segment; the log goes on in the next one.
    Continues,
    /// The log was stopped cleanly: all of it was synced.
    Stopped,
    /// Not one of this version.
    Other(u8),
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Continues => 2,
            Self::Stopped => 3,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Data,
            2 => Self::Continues,
            3 => Self::Stopped,
            other => Self::Other(other),
        }
    }
}

/// The segment of a store that a frame belongs to: a frame of any other does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) store: StoreId,
    pub(super) segment: SegmentNo,
}

impl Home {
    /// The checksum that every frame of this segment starts from.
    fn seed(self) -> u32 {
        let store = crc32c::crc32c(&self.store.0.to_le_bytes());
        crc32c::crc32c_append(store, &self.segment.0.to_le_bytes())
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u8,
    pub(super) kind: Kind,
    /// Counts the frames of the whole log, from 1.
    pub(super) sequence: u64,
    /// Up to this frame everything was on the disk when this one was built.
    pub(super) synced_through: u64,
    /// The oldest segment that was still needed when this frame was built.
    pub(super) first_segment: SegmentNo,
    /// The checksum of the frame before this one; 0 for the first.
    pub(super) previous: u32,
    /// Bytes of the body.
    pub(super) length: u32,
    pub(super) checksum: u32,
}

impl Header {
    /// What stands before the first frame.
    pub(super) const BEFORE_FIRST: Self = Self {
        version: VERSION,
        kind: Kind::Data,
        sequence: 0,
        synced_through: 0,
        first_segment: SegmentNo::FIRST,
        previous: 0,
        length: 0,
        checksum: 0,
    };

    /// Bytes of the frame without the zeros behind it.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.length as usize
    }

    /// What the frame after this one says of itself, but for its checksum. `body` in bytes.
    pub(super) fn next(&self, kind: Kind, first_segment: SegmentNo, body: usize) -> Self {
        Self {
            version: VERSION,
            kind,
            sequence: self.sequence + 1,
            synced_through: self.sequence,
            first_segment,
            previous: self.checksum,
            length: body as u32,
            checksum: 0,
        }
    }

    /// Whether this version can use the frame. One that cannot be used was written by a newer version.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION && !matches!(self.kind, Kind::Other(_))
    }
}

/// Why bytes are not the frame that has to stand in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("no frame begins there")]
    NoFrame,
    #[error("the file ends before the frame does")]
    Cut,
    #[error("the frame there belongs to another store")]
    OtherStore,
    #[error("the frame there belongs to another segment, or its segment number is damaged")]
    OtherSegment,
    #[error("the frame's length or its order is impossible")]
    Impossible,
    #[error("the frame's checksum is wrong")]
    Checksum,
    #[error("frame {found} stands there instead")]
    Sequence { found: u64 },
    #[error("the frame there does not follow the one before it")]
    Previous,
    #[error("the file is missing")]
    MissingSegment,
}

/// The bytes that a frame with a body of this length takes, with the zeros behind it.
pub(super) fn padded_bytes(body_bytes: usize) -> u64 {
    ((HEADER_BYTES + body_bytes) as u64).next_multiple_of(ALIGNMENT)
}

/// Appends a frame to `buffer`, with the zeros behind it; returns its checksum. `header.length` and `header.checksum` are
/// worked out here. The body is no longer than [`BODY_BYTES_MAX`].
pub(super) fn build(buffer: &mut Vec<u8>, home: Home, header: &Header, body: &[u8]) -> u32 {
    let start = buffer.len();
    buffer.reserve(padded_bytes(body.len()) as usize);
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&[header.version, header.kind.number(), 0, 0]);
    buffer.extend_from_slice(&home.store.0.to_le_bytes());
    buffer.extend_from_slice(&home.segment.0.to_le_bytes());
    buffer.extend_from_slice(&header.sequence.to_le_bytes());
    buffer.extend_from_slice(&header.synced_through.to_le_bytes());
    buffer.extend_from_slice(&header.first_segment.0.to_le_bytes());
    buffer.extend_from_slice(&header.previous.to_le_bytes());
    buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&[0; 8]); // the checksum, and four bytes that are not used
    buffer.extend_from_slice(body);
    let checksum = checksum(home, &buffer[start..]);
    buffer[start + 56..start + 60].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(start + padded_bytes(body.len()) as usize, 0);
    checksum
}

/// Over header and body, without the checksum's own four bytes.
fn checksum(home: Home, frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(home.seed(), &frame[..56]), &frame[60..])
}

/// Reads the header of a frame of `home`. The checksum is not looked at: [`is_whole`] does, once the body was read.
///
/// The places of magic, version, kind, store, segment, length and checksum are the same in every version to come, so that a
/// newer version's frame can be told from a damaged one.
pub(super) fn parse(bytes: &[u8], home: Home) -> Result<Header, Flaw> {
    let Some((bytes, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(if bytes.starts_with(&MAGIC) { Flaw::Cut } else { Flaw::NoFrame });
    };
    if bytes[..4] != MAGIC {
        return Err(Flaw::NoFrame);
    }
    if u64_at(bytes, 8) != home.store.0 {
        return Err(Flaw::OtherStore);
    }
    if u64_at(bytes, 16) != home.segment.0 {
        return Err(Flaw::OtherSegment);
    }
    let header = Header {
        version: bytes[4],
        kind: Kind::from_number(bytes[5]),
        sequence: u64_at(bytes, 24),
        synced_through: u64_at(bytes, 32),
        first_segment: SegmentNo(u64_at(bytes, 40)),
        previous: u32_at(bytes, 48),
        length: u32_at(bytes, 52),
        checksum: u32_at(bytes, 56),
    };
    let is_possible = header.length as usize <= BODY_BYTES_MAX
        && header.synced_through < header.sequence
        && header.first_segment <= home.segment;
    if is_possible { Ok(header) } else { Err(Flaw::Impossible) }
}

/// Whether the checksum is right. `frame` is header and body.
pub(super) fn is_whole(header: &Header, home: Home, frame: &[u8]) -> bool {
    frame.len() == header.frame_bytes() && checksum(home, frame) == header.checksum
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}
