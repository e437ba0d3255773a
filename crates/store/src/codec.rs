//! Records: how a transaction is written down.
//!
//! ```text
//! byte 0       2      3         4              8          12
//!      magic │ kind │ version │ body length  │ checksum │ body (CBOR)      integers are little-endian
//! ```
//!
//! The checksum is CRC32C over everything but itself, so that every damaged byte is noticed. A body is a CBOR array whose
//! fields are known by their place: a newer program may append optional fields, and an older one skips them. Whatever
//! decides what a transaction does (patterns, states, operations, results) is a number from [`tags`]; an unknown one is
//! an error, never a default. A change that older programs would misread raises [`FORMAT_VERSION`].
//!
//! A transaction is stored as four blobs: one definition record, any number of branch records (registered later), one
//! progress record, and any number of attempt records. Records in one blob simply follow each other.

use bytes::Bytes;
use escrow_txn::{Attempt, Branch, BranchId, Definition, Gid, InvalidId, Progress, Txn, limits};
use std::fmt;
use std::sync::Arc;

use crate::StoreError;

mod body;
mod record;
pub mod tags;

pub use record::FORMAT_VERSION;

/// What a record describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a transaction is.
    Definition,
    /// How far it has come.
    Progress,
    /// A branch that was registered after the transaction was created.
    Branch,
    /// One call that was made.
    Attempt,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definition => "definition",
            Self::Progress => "progress",
            Self::Branch => "branch",
            Self::Attempt => "attempt",
        })
    }
}

/// Why a record cannot be read. Offsets count bytes from the start of the blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The first bytes are not those of a record.
    #[error("no {kind} record begins at byte {offset}")]
    NotARecord {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
    },
    /// It was written by a newer program.
    #[error("the {kind} record at byte {offset} has format version {found}; this program reads up to {newest}")]
    Version {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
        /// The version it has.
        found: u8,
        /// The newest version known here.
        newest: u8,
    },
    /// The blob ends before the record does.
    #[error("the {kind} record at byte {offset} is cut off: {needed} bytes are needed and {available} are there")]
    Short {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
        /// Its length.
        needed: u64,
        /// What is left of the blob.
        available: usize,
    },
    /// The bytes are not those that were written.
    #[error("the {kind} record at byte {offset} has checksum {found:08x} where its bytes give {computed:08x}")]
    Checksum {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
        /// What the record says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// It is a sound record of something else.
    #[error("the record at byte {offset} is of kind {found}, not a {kind}")]
    WrongKind {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
        /// The kind it has.
        found: u8,
    },
    /// Something follows that does not belong there.
    #[error("{bytes} bytes follow the {kind} at byte {offset}")]
    Trailing {
        /// What was read.
        kind: Kind,
        /// Where the surplus begins.
        offset: usize,
        /// How long it is.
        bytes: usize,
    },
    /// The body is not what this kind of record holds.
    #[error("the body of the {kind} record at byte {offset} is malformed")]
    Body {
        /// What was expected.
        kind: Kind,
        /// Where.
        offset: usize,
        /// What is wrong with it.
        #[source]
        source: minicbor::decode::Error,
    },
    /// The store has a record, and cannot get at its bytes.
    #[error("the bytes of the record cannot be read")]
    Unreadable {
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A number that this program does not know stands where it decides something.
    #[error("{found} is no known {what}")]
    UnknownTag {
        /// What it should be.
        what: &'static str,
        /// The number.
        found: u8,
    },
    /// A number that is set aside for a later version of this program.
    #[error("{what} {found} ({meaning}) is reserved: a newer version wrote this")]
    Reserved {
        /// What it is.
        what: &'static str,
        /// The number.
        found: u8,
        /// What it will mean.
        meaning: &'static str,
    },
    /// A text is not the id it should be.
    #[error("what is stored as {what} is not one")]
    Id {
        /// Which id.
        what: &'static str,
        /// The rule that it breaks.
        #[source]
        source: InvalidId,
    },
    /// The definition belongs to another transaction.
    #[error("the definition is that of transaction {found}")]
    OtherTransaction {
        /// Which.
        found: Gid,
    },
    /// Definition and progress do not belong together.
    #[error("the progress counts {progress} branches where the definition has {definition}")]
    BranchCount {
        /// Branches of the definition, with those registered later.
        definition: usize,
        /// Branches of the progress.
        progress: usize,
    },
    /// Two branches have one id.
    #[error("branch {branch} is stored twice")]
    BranchTwice {
        /// Which.
        branch: BranchId,
    },
}

/// The four blobs of one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// One definition record.
    pub definition: &'a [u8],
    /// Branch records, in the order of their registration.
    pub added: &'a [u8],
    /// One progress record.
    pub progress: &'a [u8],
    /// Attempt records, oldest first.
    pub history: &'a [u8],
}

/// Puts a stored transaction together.
///
/// # Errors
/// [`StoreError::Corrupt`] if a record cannot be read or the records do not belong together.
pub fn assemble(gid: &Gid, records: &Records<'_>) -> Result<Txn, StoreError> {
    decode_txn(gid, records).map_err(|source| StoreError::Corrupt { gid: gid.clone(), source })
}

fn decode_txn(gid: &Gid, records: &Records<'_>) -> Result<Txn, CodecError> {
    let mut def = decode_definition(records.definition)?;
    if def.gid != *gid {
        return Err(CodecError::OtherTransaction { found: def.gid });
    }
    let added = decode_branches(records.added)?;
    if !added.is_empty() {
        def.branches.extend(added);
        check_ids_unique(&def.branches)?;
    }
    let progress = decode_progress(records.progress)?;
    // Also how a lost registration is noticed: a blob that ends between two branch records is sound by itself.
    if progress.branches.len() != def.branches.len() {
        return Err(CodecError::BranchCount { definition: def.branches.len(), progress: progress.branches.len() });
    }
    Ok(Txn { def: Arc::new(def), progress, history: decode_attempts(records.history)? })
}

fn check_ids_unique(branches: &[Branch]) -> Result<(), CodecError> {
    let mut ids: Vec<_> = branches.iter().map(|branch| &branch.id).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CodecError::BranchTwice { branch: pair[0].clone() }),
        None => Ok(()),
    }
}

/// Encodes a definition, branches included.
pub fn encode_definition(def: &Definition) -> Bytes {
    let mut blob = Vec::with_capacity(256 + def.bytes() + 32 * def.branches.len());
    record::append(&mut blob, Kind::Definition, &body::DefinitionBody::from(def));
    blob.into()
}

/// Reads a blob of one definition.
///
/// # Errors
/// [`CodecError`] if it is anything else.
pub fn decode_definition(blob: &[u8]) -> Result<Definition, CodecError> {
    record::only::<body::DefinitionBody<'_>>(blob, Kind::Definition)?.try_into()
}

/// Encodes a progress.
pub fn encode_progress(progress: &Progress) -> Bytes {
    let mut blob = Vec::with_capacity(128 + 48 * progress.branches.len());
    record::append(&mut blob, Kind::Progress, &body::ProgressBody::from(progress));
    blob.into()
}

/// Reads a blob of one progress.
///
/// # Errors
/// [`CodecError`] if it is anything else.
pub fn decode_progress(blob: &[u8]) -> Result<Progress, CodecError> {
    record::only::<body::ProgressBody<'_>>(blob, Kind::Progress)?.try_into()
}

/// Encodes branches that were registered later, to be appended to those already stored.
pub fn encode_branches(branches: &[Branch]) -> Bytes {
    let mut blob = Vec::new();
    for branch in branches {
        record::append(&mut blob, Kind::Branch, &body::BranchBody::from(branch));
    }
    blob.into()
}

/// Reads a blob of branches.
///
/// # Errors
/// [`CodecError`] if it holds anything else.
pub fn decode_branches(blob: &[u8]) -> Result<Vec<Branch>, CodecError> {
    let records = record::split(blob, Kind::Branch)?;
    records.into_iter().map(|at| at.decode::<body::BranchBody<'_>>()?.try_into()).collect()
}

/// Encodes attempts, to be appended to those already stored.
pub fn encode_attempts(attempts: &[Attempt]) -> Bytes {
    let mut blob = Vec::with_capacity(attempts.iter().map(|attempt| 96 + attempt.answer.len()).sum());
    for attempt in attempts {
        record::append(&mut blob, Kind::Attempt, &body::AttemptBody::from(attempt));
    }
    blob.into()
}

/// Reads the last [`limits::ATTEMPTS_MAX`] attempts of a blob.
///
/// # Errors
/// [`CodecError`] if the blob holds anything else.
pub fn decode_attempts(blob: &[u8]) -> Result<Vec<Attempt>, CodecError> {
    let records = record::split(blob, Kind::Attempt)?;
    let surplus = records.len().saturating_sub(limits::ATTEMPTS_MAX);
    records.into_iter().skip(surplus).map(|at| at.decode::<body::AttemptBody<'_>>()?.try_into()).collect()
}

/// The part of a blob of attempts that [`decode_attempts`] reads: what a store has to keep.
///
/// # Errors
/// [`CodecError`] if the blob holds anything else.
pub fn last_attempts(blob: &[u8]) -> Result<&[u8], CodecError> {
    let records = record::split(blob, Kind::Attempt)?;
    let surplus = records.len().saturating_sub(limits::ATTEMPTS_MAX);
    Ok(records.get(surplus).map_or(&[], |first| &blob[first.offset..]))
}

#[cfg(test)]
mod tests;
