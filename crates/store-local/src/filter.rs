//! A filter over gids: says *no* or *maybe*, from memory.
//!
//! It is a set of short fingerprints. At 250,000 gids one *maybe* in 60,000 is wrong, at sixteen million one in 1,000.
//!
//! ```text
//! saved:  format │ probe │ bits │ fingerprints │ the fingerprints, in order: each as its distance to the one before │ checksum
//!         u8       u64     u8     u64            LEB128                                                              u32
//! ```
//! Integers are little-endian; the checksum is CRC32C over everything before it. The probe is the fingerprint of a fixed
//! text: a filter that was saved by a program with another hash function does not fit, and is made anew.

use std::fmt;
use std::hash::BuildHasher;

use escrow_txn::Gid;
use qfilter::{Builder, Filter, StableBuildHasher};

/// The length of a fingerprint.
const FINGERPRINT_BITS: u8 = 34;

const MASK: u64 = (1 << FINGERPRINT_BITS) - 1;

/// The format of a saved filter.
const FORMAT: u8 = 1;

const PROBE: &str = "the hash function of a filter";

/// What a filter knows of a gid. Worth making once to ask many filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a gid.
    pub(crate) fn of(gid: &Gid) -> Self {
        Self(hash(gid.as_str()))
    }
}

fn hash(text: &str) -> u64 {
    StableBuildHasher.hash_one(text)
}

/// A set of fingerprints, which grows. Never says *no* to a gid that is in it.
#[derive(Clone)]
pub(crate) struct GidFilter {
    /// `None`: it could not grow any more, and says *maybe* to everything.
    filter: Option<Filter>,
}

impl fmt::Debug for GidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GidFilter").field("fingerprints", &self.filter.as_ref().map(Filter::len)).finish()
    }
}

impl GidFilter {
    /// An empty filter that can take so many gids before it has to grow.
    #[cfg(test)]
    pub(crate) fn with_capacity(gids: u64) -> Self {
        Self::with_bits(gids, FINGERPRINT_BITS)
    }

    /// A filter of these gids, each once, with room for so many.
    pub(crate) fn of(mut fingerprints: Vec<Fingerprint>, capacity: u64) -> Self {
        fingerprints.sort_unstable_by_key(|fingerprint| fingerprint.0 & MASK);
        let capacity = capacity.max(fingerprints.len() as u64);
        let build = || -> Result<Filter, qfilter::Error> {
            let mut builder = Builder::new(Filter::with_fingerprint_size(capacity, FINGERPRINT_BITS)?);
            for fingerprint in fingerprints {
                builder.insert_fingerprint(true, fingerprint.0)?;
            }
            Ok(builder.into_filter())
        };
        Self { filter: build().ok() }
    }

    #[cfg(test)]
    fn with_bits(gids: u64, bits: u8) -> Self {
        Self { filter: Filter::with_fingerprint_size(gids, bits).ok() }
    }

    /// Whether the gid may be in it.
    pub(crate) fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.contains_fingerprint(fingerprint.0))
    }

    /// Takes a gid up. It may be in it already; it cannot be removed. Whether its fingerprint is new.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        self.put(fingerprint, false)
    }

    /// Takes a gid up that is not in it, so that it can be removed: another gid's fingerprint may be the same.
    pub(crate) fn insert_counted(&mut self, fingerprint: Fingerprint) {
        self.put(fingerprint, true);
    }

    fn put(&mut self, fingerprint: Fingerprint, counted: bool) -> bool {
        let Some(filter) = &mut self.filter else { return false };
        filter.insert_fingerprint(counted, fingerprint.0).unwrap_or_else(|_| {
            self.filter = None;
            false
        })
    }

    /// Whether so many more gids fit in without its growing.
    pub(crate) fn has_room(&self, gids: u64) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.len() + gids <= filter.capacity())
    }

    /// All fingerprints in it, in their order, each as often as it was taken up; `None` if it says *maybe* to everything.
    pub(crate) fn fingerprints(&self) -> Option<Vec<Fingerprint>> {
        Some(self.filter.as_ref()?.fingerprints().map(Fingerprint).collect())
    }

    /// Removes a gid that was taken up by [`GidFilter::insert_counted`].
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(filter) = &mut self.filter {
            filter.remove_fingerprint(fingerprint.0);
        }
    }

    /// The filter as bytes; `None` if it says *maybe* to everything.
    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        let filter = self.filter.as_ref()?;
        let mut bytes = vec![FORMAT];
        bytes.extend(hash(PROBE).to_le_bytes());
        bytes.push(filter.fingerprint_size());
        bytes.extend(filter.len().to_le_bytes());
        let mut last = 0;
        for fingerprint in filter.fingerprints() {
            append_leb128(&mut bytes, fingerprint - last);
            last = fingerprint;
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        Some(bytes)
    }

    /// Reads a saved filter; `None` if the bytes are damaged, or were saved in a way that this program does not use.
    pub(crate) fn restore(bytes: &[u8]) -> Option<Self> {
        let (bytes, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (&format, bytes) = bytes.split_first()?;
        let (probe, bytes) = bytes.split_first_chunk::<8>()?;
        let (&bits, bytes) = bytes.split_first()?;
        let (count, mut bytes) = bytes.split_first_chunk::<8>()?;
        if format != FORMAT || u64::from_le_bytes(*probe) != hash(PROBE) || bits != FINGERPRINT_BITS {
            return None;
        }
        let count = u64::from_le_bytes(*count);
        let mut filter = Builder::new(Filter::with_fingerprint_size(count, bits).ok()?);
        let mut fingerprint = 0_u64;
        for _ in 0..count {
            fingerprint = fingerprint.checked_add(take_leb128(&mut bytes)?)?;
            filter.insert_fingerprint(true, fingerprint).ok()?;
        }
        bytes.is_empty().then(|| Self { filter: Some(filter.into_filter()) })
    }
}

/// Seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
fn append_leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // Masked to one byte.
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
