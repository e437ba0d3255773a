//! The seam to durable storage.
//!
//! The unit of storage is one whole global transaction. Its [`Version`] is compare-and-set token and fencing token in
//! one: every write names the version it read, so that a coordinator which lost its right to drive cannot write, and
//! learns it. Stores see the [`Head`] of a transaction and bytes; what the bytes mean is the business of [`codec`].
//!
//! A new store implements [`Store`] and passes [`mod@conformance`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backend;
mod change;
mod claim;
mod clock;
mod error;
mod list;
mod queue;
mod reads;
mod schedule;
mod settings;
mod stats;
mod stored;
mod traits;

pub mod codec;
pub mod conformance;
pub mod files;
pub mod memory;

pub use backend::{Backend, Transfer};
pub use change::{Change, Head, NewTxn, OwnerEpoch, Version, Versioned, WriteId};
pub use claim::Claim;
pub use clock::{Clock, SystemClock};
pub use error::{CommitError, StoreError, error_chain};
pub use list::{Cursor, InvalidCursor, ListQuery, PAGE_MAX, Page, TxnSummary};
pub use queue::{Batches, Queue, QueueLimits, Queued, Room, Unanswered};
pub use reads::Reads;
pub use schedule::Schedule;
pub use settings::{PutOutcome, Setting, Settings, SettingsError};
pub use stats::{BATCH_SIZES, BatchCounters, EmbeddedStats, SYNC_MICROS, Stats};
pub use stored::{EncodedChange, HISTORY_BYTES_MAX, StoredTxn};
pub use traits::{Claimed, Created, Store};
