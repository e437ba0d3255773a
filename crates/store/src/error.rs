use std::error::Error;

use escrow_txn::Gid;

use crate::codec::CodecError;
use crate::{Cursor, Version};

type Source = Box<dyn Error + Send + Sync>;

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The record of this transaction cannot be read. The transaction is held; the others go on.
    #[error("the record of transaction {gid} cannot be read")]
    Corrupt {
        /// The transaction.
        gid: Gid,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// A setting cannot be read by whoever wants to use it.
    #[error("the setting {key:?} of {category} cannot be read")]
    CorruptSetting {
        /// Its category.
        category: &'static str,
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// The store is not available; nothing was written.
    #[error("the store is not available")]
    Down {
        /// Why.
        #[source]
        source: Source,
    },
    /// Whether the write landed is not known: load the transaction to find out.
    #[error("it is not known whether the write landed")]
    Unknown {
        /// Why.
        #[source]
        source: Source,
    },
    /// The store takes no more work at the moment; nothing was written.
    #[error("the store's queue is full")]
    Busy,
    /// The cursor was not made by this store.
    #[error("the position {cursor:?} is not one that a list returned")]
    BadCursor {
        /// The cursor.
        cursor: Cursor,
    },
}

/// Why a commit did not happen, or may not have happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The transaction is at another version, or absent: somebody else drives it. Nothing was written.
    #[error("the transaction is at another version")]
    Conflict {
        /// Where it is; `None`: it does not exist.
        current: Option<Version>,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error with its causes on one line, for logs.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
