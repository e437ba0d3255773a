use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::{Setting, Settings, Stats, Store, StoreError, StoredTxn};

/// A store that a coordinator can run on: it keeps things on a disk, and can fail.
#[async_trait]
pub trait Backend: Store + Settings + Transfer + fmt::Debug {
    /// Returns when the store has failed for good: it is not known what of the last write is on the disk, and every later
    /// write is refused. The process has to end, and the next one finds out.
    async fn failed(&self);

    /// What it has done since it was opened, and what it holds.
    fn stats(&self) -> Stats;
}

/// Everything that a store holds, in pieces, to be carried over into another one. For stores that nobody else uses meanwhile.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Up to `limit` transactions whose gids come after `after` (`None`: from the first), in gid order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn export(&self, after: Option<&escrow_txn::Gid>, limit: NonZeroU32) -> Result<Vec<StoredTxn>, StoreError>;

    /// Takes transactions over as they are; durable when this returns. One that is there already is replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn import(&self, txns: Vec<StoredTxn>) -> Result<(), StoreError>;

    /// All settings, with their categories.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn export_settings(&self) -> Result<Vec<(String, Setting)>, StoreError>;

    /// Takes settings over with their versions; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn import_settings(&self, settings: Vec<(String, Setting)>) -> Result<(), StoreError>;
}
