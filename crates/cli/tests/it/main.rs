//! The `escrow` binary, run as a user runs it.

#![allow(clippy::unwrap_used)]

mod backup;
mod coordinator;
mod damage;
mod demo;
mod dtmcli;
mod escrow;
mod kill;
mod load;
mod serve;
mod store;
mod syncs;
