use std::num::NonZeroU32;

use async_trait::async_trait;
use escrow_txn::{Gid, Timestamp, Txn};

use crate::{Change, CommitError, ListQuery, NewTxn, OwnerEpoch, Page, StoreError, TxnSummary, Version, Versioned};

/// Durable storage of global transactions.
///
/// Every reply of every method tells what is durable: a store that keeps changes in memory for a while answers from the
/// durable image, and answers a writer when its write is on stable storage.
#[async_trait]
pub trait Store: Send + Sync {
    /// Inserts the transaction unless its gid exists.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: it may or may not have been inserted; load it to find out.
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError>;

    /// The transaction under this gid, as it is durable.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the record cannot be read: it is never taken for an absent or an empty one.
    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError>;

    /// Applies the change if the transaction is still at `change.expected`; durable when this returns.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if it is not; nothing was written then.
    async fn commit(&self, change: Change) -> Result<Version, CommitError>;

    /// Claims up to `limit` transactions that are due by the store's clock, and says when the next one will be.
    ///
    /// A claimed transaction is not due again until its claimer stores a new time, releases it, or is gone: on stores of
    /// one process a claim lives in memory, and at open everything that was in flight is due at once. A claim reads no
    /// record: what is driven has to be read by its driver, once nobody else can drive it, or it could be out of date.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is claimed then.
    async fn claim_due(&self, owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError>;

    /// Hands a transaction that is claimed or in flight back: it is due at `due_at`, or at the earlier time stored with it
    /// if that is still to come. Nothing durable changes. Unknown, waiting and final gids are left alone.
    async fn release(&self, gid: &Gid, due_at: Timestamp);

    /// One page of transactions, newest first: ordered by (creation time, gid) descending.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError>;

    /// Removes up to `limit` final transactions that became final before `final_before`; returns how many.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed before the error stays removed.
    async fn purge(&self, final_before: Timestamp, limit: NonZeroU32) -> Result<u32, StoreError>;

    /// Whether the transaction is on hold, and nobody may drive it: a store that comes from a backup holds what was unfinished
    /// then, because its calls may have been made since. What is held is never claimed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn is_held(&self, _gid: &Gid) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Takes one transaction off hold, or all of them (`None`): what was in flight is due at once, what waits at its time.
    /// Durable when this returns; returns how many were on hold.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release_held(&self, _gid: Option<&Gid>) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// What [`Store::create`] found.
#[derive(Debug)]
pub enum Created {
    /// The gid was free; this is the version it has now.
    New(Version),
    /// The gid is taken; this is what stands.
    Exists(Box<Versioned<Txn>>),
}

/// What [`Store::claim_due`] found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The claimed transactions, the longest due first.
    pub gids: Vec<Gid>,
    /// When the next unclaimed one is due, by the store's clock; `None`: none is known to be waiting.
    pub next_due_at: Option<Timestamp>,
}
