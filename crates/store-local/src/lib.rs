//! The embedded store: a transaction log of our own, live transactions in memory, finished ones archived in SQLite.
//!
//! ```text
//!  create, commit, put ─▶ queue ─▶ writer (one thread): many changes, one frame, one sync, then all their answers
//!  load, list          ─▶ table (memory) ─▶ unfinished.db ─▶ archive        the order in which transactions move
//!  claim_due           ─▶ timers in memory; far ones in unfinished.db
//!  keeper (one thread) :  finished ─▶ archive, old unfinished ─▶ unfinished.db, segments that nobody needs ─▶ recycled
//! ```
//!
//! A directory holds `store.lock`, `escrow.id`, `log/` (segments), `unfinished.db` and `archive/` (partitions).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod archive;
mod backup;
mod check;
mod checksum;
mod columns;
mod core;
mod database;
mod disk;
mod error;
mod files;
mod filter;
mod find;
mod finding;
mod identity;
mod keeper;
mod ledger;
mod list;
mod listing;
mod log;
mod moves;
mod open;
mod rebuild;
mod record;
mod replay;
#[cfg(test)]
mod samples;
mod spill;
mod store;
mod table;
mod thread;
mod transfer;
mod tuning;
mod writer;

pub use backup::{Backup, backup, restore};
pub use check::{Checked, Finding, Repaired, check, repair};
pub use error::OpenError;
pub use rebuild::Contents;
pub use replay::ReplayError;
pub use store::LocalStore;

#[cfg(test)]
mod tests;
