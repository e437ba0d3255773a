//! The embedded store: a transaction log of our own, live transactions in memory, finished ones archived in SQLite.
//!
//! ```text
//!  create, commit, put ─▶ queue ─▶ writer (one thread): many changes, one frame, one sync, then all their answers
//!  load, list          ─▶ table (memory) ─▶ unfinished.db ─▶ archive        the order in which transactions move
//!  claim_due           ─▶ timers in memory; far ones in unfinished.db
//!  keeper (one thread) :  finished ─▶ archive, old unfinished ─▶ unfinished.db, segments that nobody needs ─▶ recycled
//! ```
//!
//! A directory holds `escrow.lock`, `escrow.id`, `log/` (segments), `unfinished.db` and `archive/` (partitions).
#![allow(dead_code, unused_imports)]
mod disk;
mod identity;
mod record;
mod log;
mod archive;
mod columns;
mod database;
mod filter;
mod finding;
mod spill;
