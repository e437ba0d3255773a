//! Calls that leave: the engine's [`BranchCaller`](escrow_engine::BranchCaller) over HTTP.
//!
//! ```text
//!  BranchCall ──request──▶ http::Request ──pool──▶ Connector: resolve, check, dial ──▶ participant
//!  BranchReply ◀──outcome── status and at most 64 KiB of body ◀───────────────────────────────┘
//! ```
//!
//! Whether an address may be called is decided where it is dialled, by the [`EgressPolicy`], so that a name which changes
//! its address between a check and a connect gains nothing. Redirects are not followed, proxies and cookies are unknown
//! here, and of a reply only a bounded part is read.
//!
//! The requests are those that DTM's participants know.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod caller;
mod pool;
mod request;
mod target;

mod outcome;

mod connector;
mod egress;
mod resolve;

/// Bytes of a reply's header.
const HEADER_BYTES_MAX: usize = 16 * 1024;

pub use caller::HttpCaller;
pub use connector::{ConnectError, Connector};
pub use egress::{Denied, EgressPolicy};
pub use outcome::{REPLY_BYTES_MAX, outcome_of};
pub use resolve::{Resolve, SystemResolver};
