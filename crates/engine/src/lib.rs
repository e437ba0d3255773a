//! The drive: claims transactions, makes their calls, stores what came of it, and wakes them in time.
//!
//! The engine decides nothing: [`escrow_txn`] says what must be durable before which call and what an answer means; the
//! engine obeys. It knows no HTTP and no SQL: calls leave through a [`BranchCaller`], state goes to a
//! [`Store`](escrow_store::Store).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod coordinator;
mod driver;
mod due;
mod lanes;
mod purge;
mod registry;
mod retry;
mod shared;

mod caller;
mod config;
mod error;
mod observer;
mod topics;

pub use caller::{BranchCall, BranchCaller, BranchReply};
pub use config::{ACTIVE_BYTES_MIN, EngineConfig, Jitter};
pub use coordinator::{Coordinator, Receipt};
pub use error::RequestError;
pub use observer::{Failure, Observer, Silent};
pub use retry::{Retried, RetryError};
pub use topics::{NoTopics, Topics};
