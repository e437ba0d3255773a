//! The `escrow` binary, run as a user runs it.

#![allow(clippy::unwrap_used)]

mod coordinator;
mod demo;
mod dtmcli;
mod escrow;
mod kill;
mod serve;
mod store;
