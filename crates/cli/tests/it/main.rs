//! The `escrow` binary, run as a user runs it.

#![allow(clippy::unwrap_used)]

mod demo;
mod kill;
mod serve;
