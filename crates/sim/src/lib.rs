//! The weather: whole coordinators under lost requests, lost replies and crashes, all from one seed.
//!
//! The real engine runs on the in-memory store, on one thread with a paused clock: the same seed gives the same history,
//! event by event. Clients begin transactions of every pattern and lose requests and replies; participants keep books
//! behind a barrier, refuse, take their time and answer late; the coordinator crashes in the middle of commits and calls
//! and starts again on what was durable. In the end the weather clears, everything has to come to an end, and the
//! [`audit`] recomputes from the participants' books what must be true. The audit shares no code with the rules.
//!
//! [`Mutation`]s are planted bugs: the audit has to find each of them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod run;

mod clients;
mod network;
mod participants;
mod storm;

pub mod audit;
mod sights;
mod weather;

pub use run::{Report, simulate};
pub use sights::Sight;
pub use storm::CrashPoint;
pub use weather::{Mutation, Plan, Weather};
