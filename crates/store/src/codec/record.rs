//! The frame around a body.

use minicbor::{Decode, Decoder, Encode};

use super::{CodecError, Kind};

/// The newest record format that this program reads, and the one it writes.
pub const FORMAT_VERSION: u8 = 1;

const MAGIC: [u8; 2] = [0xE5, 0xC0];
const HEADER_BYTES: usize = 12;

/// The number of a kind in the header. Numbers are never used again.
fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Definition => 1,
        Kind::Progress => 2,
        Kind::Branch => 3,
        Kind::Attempt => 4,
    }
}

/// Appends one record to a blob.
pub(super) fn append(blob: &mut Vec<u8>, kind: Kind, body: &impl Encode<()>) {
    let start = blob.len();
    blob.extend_from_slice(&MAGIC);
    blob.extend_from_slice(&[kind_number(kind), FORMAT_VERSION]);
    blob.extend_from_slice(&[0; 8]);
    // `expect`: writing to a vector cannot fail, and no body has an encoder of its own that could.
    minicbor::encode(body, &mut *blob).expect("a record can be encoded");
    // `expect`: `limits` bounds everything in a record to a few megabytes.
    let length = u32::try_from(blob.len() - start - HEADER_BYTES).expect("a body is shorter than 4 GiB");
    blob[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&blob[start..]);
    blob[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[HEADER_BYTES..])
}

/// A record whose frame is sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framed<'b> {
    kind: Kind,
    /// Where it begins in its blob.
    pub(super) offset: usize,
    body: &'b [u8],
}

impl<'b> Framed<'b> {
    /// Decodes the body.
    pub(super) fn decode<T: Decode<'b, ()>>(self) -> Result<T, CodecError> {
        let mut decoder = Decoder::new(self.body);
        let value =
            decoder.decode().map_err(|source| CodecError::Body { kind: self.kind, offset: self.offset, source })?;
        let surplus = self.body.len() - decoder.position();
        if surplus > 0 {
            let offset = self.offset + HEADER_BYTES + decoder.position();
            return Err(CodecError::Trailing { kind: self.kind, offset, bytes: surplus });
        }
        Ok(value)
    }

    fn end(&self) -> usize {
        self.offset + HEADER_BYTES + self.body.len()
    }
}

/// The body of the one record that the blob holds.
pub(super) fn only<'b, T: Decode<'b, ()>>(blob: &'b [u8], kind: Kind) -> Result<T, CodecError> {
    let record = read(blob, 0, kind)?;
    if record.end() < blob.len() {
        return Err(CodecError::Trailing { kind, offset: record.end(), bytes: blob.len() - record.end() });
    }
    record.decode()
}

/// All records of the blob, in order, each with a sound frame.
pub(super) fn split(blob: &[u8], kind: Kind) -> Result<Vec<Framed<'_>>, CodecError> {
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < blob.len() {
        let record = read(blob, offset, kind)?;
        offset = record.end();
        records.push(record);
    }
    Ok(records)
}

fn read(blob: &[u8], offset: usize, kind: Kind) -> Result<Framed<'_>, CodecError> {
    let rest = &blob[offset..];
    if !rest.starts_with(&MAGIC[..rest.len().min(MAGIC.len())]) {
        return Err(CodecError::NotARecord { kind, offset });
    }
    let Some(header) = rest.first_chunk::<HEADER_BYTES>() else {
        return Err(CodecError::Short { kind, offset, needed: HEADER_BYTES as u64, available: rest.len() });
    };
    let [_, _, kind_found, version, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    // The version comes before the checksum: a newer format may compute that differently.
    if version == 0 || version > FORMAT_VERSION {
        return Err(CodecError::Version { kind, offset, found: version, newest: FORMAT_VERSION });
    }
    let needed = u64::from(u32::from_le_bytes([l0, l1, l2, l3])) + HEADER_BYTES as u64;
    let Some(record) = usize::try_from(needed).ok().and_then(|needed| rest.get(..needed)) else {
        return Err(CodecError::Short { kind, offset, needed, available: rest.len() });
    };
    let (found, computed) = (u32::from_le_bytes([c0, c1, c2, c3]), checksum(record));
    if found != computed {
        return Err(CodecError::Checksum { kind, offset, found, computed });
    }
    if kind_found != kind_number(kind) {
        return Err(CodecError::WrongKind { kind, offset, found: kind_found });
    }
    Ok(Framed { kind, offset, body: &record[HEADER_BYTES..] })
}
