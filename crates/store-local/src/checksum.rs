//! Checksums over values as a database holds them.
//!
//! ```text
//! NULL     0
//! INTEGER  1 │ the number, i64
//! TEXT     2 │ length in bytes, u64 │ its bytes
//! BLOB     3 │ length in bytes, u64 │ its bytes
//! ```
//! The checksum is CRC32C over these, one value behind the other; integers are little-endian. No value is stored as REAL;
//! one that is found so counts as its bits under 4.

use rusqlite::Row;
use rusqlite::types::ValueRef;

/// A checksum over some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

/// Small pieces are put together: a call of CRC32C costs as much as a hundred bytes.
const BUFFER_BYTES: usize = 256;

impl Checksum {
    /// The checksum over some values.
    pub(crate) fn of<'v>(values: impl IntoIterator<Item = ValueRef<'v>>) -> Self {
        Self::default().with(values)
    }

    /// The checksum over the values so far and more.
    pub(crate) fn with<'v>(self, values: impl IntoIterator<Item = ValueRef<'v>>) -> Self {
        let mut sum = Summing { sum: self.0, buffer: [0; BUFFER_BYTES], filled: 0 };
        for value in values {
            sum.value(value);
        }
        sum.flush();
        Self(sum.sum)
    }

    /// The checksum over the values so far and some columns of a row.
    pub(crate) fn with_columns(
        self,
        row: &Row<'_>,
        columns: impl IntoIterator<Item = usize>,
    ) -> rusqlite::Result<Self> {
        let mut sum = Summing { sum: self.0, buffer: [0; BUFFER_BYTES], filled: 0 };
        for column in columns {
            sum.value(row.get_ref(column)?);
        }
        sum.flush();
        Ok(Self(sum.sum))
    }

    /// The checksum as a column holds it.
    pub(crate) fn to_column(self) -> i64 {
        self.0.into()
    }
}

struct Summing {
    sum: u32,
    buffer: [u8; BUFFER_BYTES],
    filled: usize,
}

impl Summing {
    fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.put(&[0]),
            ValueRef::Integer(number) => self.number(1, number.cast_unsigned()),
            ValueRef::Text(text) => self.bytes(2, text),
            ValueRef::Blob(blob) => self.bytes(3, blob),
            ValueRef::Real(number) => self.number(4, number.to_bits()),
        }
    }

    fn number(&mut self, kind: u8, number: u64) {
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        self.put(&bytes);
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.number(kind, bytes.len() as u64);
        self.put(bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.filled + bytes.len() > BUFFER_BYTES {
            self.flush();
        }
        match self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
            }
            None => self.sum = crc32c::crc32c_append(self.sum, bytes),
        }
    }

    fn flush(&mut self) {
        self.sum = crc32c::crc32c_append(self.sum, &self.buffer[..self.filled]);
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_bytes_in_the_text_above() {
        let bytes = b"\x00\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x02\x01\0\0\0\0\0\0\0a\x03\0\0\0\0\0\0\0\0";
        let values = [ValueRef::Null, ValueRef::Integer(-2), ValueRef::Text(b"a"), ValueRef::Blob(b"")];
        assert_eq!(Checksum::of(values).to_column(), i64::from(crc32c::crc32c(bytes)));
    }

    #[test]
    fn what_moves_from_one_value_to_the_next_changes_the_checksum() {
        let of = |texts: [&'static str; 2]| Checksum::of(texts.map(|text| ValueRef::Text(text.as_bytes())));
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_ne!(Checksum::of([ValueRef::Text(b"a")]), Checksum::of([ValueRef::Blob(b"a")]));
    }
}
