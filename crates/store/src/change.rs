use bytes::Bytes;
use escrow_txn::{Attempt, Branch, Definition, Gid, Pattern, Progress, Status, Timestamp};

use crate::codec;

/// How often a transaction has been written; from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of a transaction that was just created.
    pub const FIRST: Self = Self(1);

    /// The version after one more write.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A value together with the version it was read at.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// The version.
    pub version: Version,
    /// The value.
    pub value: T,
}

/// Tells two writes apart when a store cannot say whether the first one landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriteId(pub u64);

/// One life of one coordinator. Stored with what it has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerEpoch(pub u64);

/// The part of a transaction that stores look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Where it stands.
    pub status: Status,
    /// When it is due; `None` while it is in flight, when final, and when only its initiator can move it.
    pub next_run_at: Option<Timestamp>,
    /// Who has it in flight; `None` while it waits and when final.
    pub owner: Option<OwnerEpoch>,
    /// Whether a human should look.
    pub attention: bool,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
}

impl Head {
    /// The head of a progress that `owner` stores; it stays in flight there if `driving`.
    pub fn of(progress: &Progress, owner: OwnerEpoch, driving: bool) -> Self {
        Self {
            status: progress.status,
            next_run_at: progress.next_run_at,
            owner: (driving && !progress.status.is_final()).then_some(owner),
            attention: progress.attention.is_some(),
            updated_at: progress.updated_at,
            finished_at: progress.finished_at,
        }
    }
}

/// A transaction to create. Made by [`NewTxn::encode`], in the task that drives it.
#[derive(Clone, Debug)]
pub struct NewTxn {
    /// Its id.
    pub gid: Gid,
    /// Its rules, for listing.
    pub pattern: Pattern,
    /// When it was created, for listing.
    pub created_at: Timestamp,
    /// What people know it by, for searching.
    pub business_key: Option<escrow_txn::BusinessKey>,
    /// The write.
    pub write: WriteId,
    /// What stores look at.
    pub head: Head,
    /// The definition as a record, branches included.
    pub definition: Bytes,
    /// The progress as a record.
    pub progress: Bytes,
}

impl NewTxn {
    /// Encodes a new transaction.
    pub fn encode(def: &Definition, progress: &Progress, head: Head, write: WriteId) -> Self {
        Self {
            gid: def.gid.clone(),
            pattern: def.pattern,
            created_at: def.created_at,
            business_key: def.business_key.clone(),
            write,
            head,
            definition: codec::encode_definition(def),
            progress: codec::encode_progress(progress),
        }
    }
}

/// One change of one transaction. More can ride in the same commit later, so it is one struct.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which transaction.
    pub gid: Gid,
    /// The version that was read.
    pub expected: Version,
    /// The write.
    pub write: WriteId,
    /// What stores look at.
    pub head: Head,
    /// The progress as a record.
    pub progress: Bytes,
    /// Branches registered with this change, to be appended to the definition.
    pub add: Vec<Branch>,
    /// Attempts made since the last change, to be appended to the history.
    pub history: Vec<Attempt>,
}
