//! The rules of global transactions, as pure functions: what to do next, and what an answer means.
//!
//! Nothing here reads a clock, draws a random number or touches a network or a disk: `now` and the jitter are passed in
//! as a [`Moment`], the same events always give the same state, and the live path and recovery go through the same
//! [`apply`].
//!
//! ```text
//!  Event (request, answer, time) ──apply──▶ Drive ──next──▶ Step (store this first, make these calls, wake me then)
//! ```
//!
//! A [`Drive`] is one transaction while somebody works on it: the durable [`Txn`] plus what is in flight. The rules of
//! each pattern stand in a module of their own: [`saga`], [`tcc`], [`xa`], [`message`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
#![deny(clippy::wildcard_enum_match_arm)]

mod drive;
mod event;
mod next;

pub mod message;
pub mod saga;
pub mod tcc;
pub mod xa;

mod phase_two;

#[cfg(test)]
mod laws;

mod definition;
mod ids;
pub mod limits;
mod options;
mod progress;
mod repeat;
mod request;
mod retry;
mod time;

pub use definition::{Branch, BranchOp, BranchOutcome, Definition, Digest, InvalidDefinition, Pattern, Txn};
pub use drive::{Drive, IllegalEvent, apply};
pub use event::{Answer, Event, Operator};
pub use ids::{BranchId, BusinessKey, Gid, InvalidId, TopicName};
pub use next::{Step, next};
pub use options::{Amendment, Defaults, Options};
pub use progress::{
    Attempt, Attention, BranchProgress, CallId, OpProgress, OpStatus, OperatorOrder, Progress, Reach, Status,
};
pub use repeat::{RepeatRefused, Request, check_repeat};
pub use request::{Abort, Begin, Registration};
pub use time::{Moment, Timestamp};
