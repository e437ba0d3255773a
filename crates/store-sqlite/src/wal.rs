//! Whether the write-ahead log is whole.
//!
//! SQLite reads its log up to the first frame that is not as it was written, and drops what follows without a word. After a
//! crash that is the commit which was under way; after damage in the middle it would be commits that were acknowledged. Two
//! things tell the one from the other:
//!
//! - The index beside the log (`-shm`) counts the frames that are committed. It is brought up to date after the log is synced,
//!   so there are never fewer. It is not synced itself: it survives the process, not always the machine.
//! - A commit is begun only after the one before it was synced. So from a frame on that a crash has torn there is the end of
//!   one commit at most.
//!
//! Source: the formats of the log and of its index as SQLite documents them ("WAL-mode File Format").

use std::io::{self, Read};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// What a page takes in a log that this program makes.
pub(crate) const FRAME_BYTES: u64 = (FRAME_HEADER_BYTES + Format::OURS.page_bytes) as u64;
const INDEX_HEADER_BYTES: usize = 48;
/// How much of the index is looked at: two copies of its header.
pub(crate) const INDEX_BYTES: u64 = 2 * INDEX_HEADER_BYTES as u64;
const INDEX_VERSION: u32 = 3_007_000;

/// Reads a log to its end. Returns where it is damaged; `None`: it is whole, but for what a crash may leave.
pub(crate) fn damage(log: &mut impl Read, index: &[u8]) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    let format = Format::of(&header).unwrap_or(Format::OURS);
    let committed = index_of(index, &header).unwrap_or(0);
    let header_is_sound = format.sum(Sum(0, 0), &header[..24]) == Sum::stored(&header[24..]);
    let mut scan = Scan { sound: 0, broken_at: (!header_is_sound).then_some(0), commits_behind: 0 };
    let mut before = Sum::stored(&header[24..]);
    let mut frame = vec![0; FRAME_HEADER_BYTES + format.page_bytes];
    let mut offset = HEADER_BYTES as u64;
    while fill(log, &mut frame)? {
        let stored = Sum::stored(&frame[16..24]);
        let summed = format.sum(format.sum(before, &frame[..8]), &frame[FRAME_HEADER_BYTES..]);
        let is_of_this_log = frame[8..16] == header[16..24];
        scan.frame(offset, is_of_this_log && summed == stored, is_of_this_log && frame[4..8] != [0; 4]);
        // Each frame is held against what the one before it says, so that frames behind a broken one can be told.
        before = stored;
        offset += frame.len() as u64;
    }
    let is_damaged = scan.sound < committed || scan.commits_behind > 1;
    Ok(is_damaged.then_some(scan.broken_at.unwrap_or(offset)))
}

#[derive(Debug)]
struct Scan {
    /// Frames before the first one that is not as it was written.
    sound: u32,
    broken_at: Option<u64>,
    /// Ends of commits from there on.
    commits_behind: u32,
}

impl Scan {
    fn frame(&mut self, offset: u64, is_sound: bool, ends_commit: bool) {
        match (self.broken_at, is_sound) {
            (None, true) => self.sound += 1,
            (None, false) => {
                self.broken_at = Some(offset);
                self.commits_behind = ends_commit.into();
            }
            (Some(_), true) if ends_commit => self.commits_behind += 1,
            (Some(_), _) => {}
        }
    }
}

/// What a log's header says of how to read it.
#[derive(Clone, Copy, Debug)]
struct Format {
    big_endian: bool,
    page_bytes: usize,
}

impl Format {
    /// That of every log which this program makes, on this machine.
    const OURS: Self = Self { big_endian: cfg!(target_endian = "big"), page_bytes: 4_096 };

    fn of(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let magic = word(&header[..4], true);
        let page_bytes = usize::try_from(word(&header[8..12], true)).ok()?;
        let is_known =
            magic & !1 == 0x377f_0682 && page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
        is_known.then_some(Self { big_endian: magic & 1 == 1, page_bytes })
    }

    fn sum(self, from: Sum, bytes: &[u8]) -> Sum {
        sum(from, bytes, self.big_endian)
    }
}

/// SQLite's checksum, cumulative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn stored(bytes: &[u8]) -> Self {
        Self(word(&bytes[..4], true), word(&bytes[4..8], true))
    }
}

fn sum(from: Sum, bytes: &[u8], big_endian: bool) -> Sum {
    bytes.chunks_exact(8).fold(from, |Sum(a, b), pair| {
        let a = a.wrapping_add(word(&pair[..4], big_endian)).wrapping_add(b);
        Sum(a, b.wrapping_add(word(&pair[4..], big_endian)).wrapping_add(a))
    })
}

fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// How many frames of the log with this header the index counts as committed; `None` if it is of another log, or of none.
fn index_of(index: &[u8], header: &[u8; HEADER_BYTES]) -> Option<u32> {
    let native = |at: usize| word(&index[at..], cfg!(target_endian = "big"));
    let copies = index.get(..2 * INDEX_HEADER_BYTES)?.split_at(INDEX_HEADER_BYTES);
    let is_sound = copies.0 == copies.1
        && native(0) == INDEX_VERSION
        && sum(Sum(0, 0), &index[..40], cfg!(target_endian = "big")) == Sum(native(40), native(44));
    let committed = native(16);
    (is_sound && committed > 0 && index[32..40] == header[16..24]).then_some(committed)
}

/// Fills the buffer. `false`: the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
