//! What a transaction costs, measured beside the same HTTP work without rules and store.
//!
//! ```text
//!   this process, core 0                    another process, core 1
//!   load ──requests──▶                      target: null | escrow | a peer
//!   participants ◀──calls──
//! ```
//!
//! `plan` says what is run, `run` interleaves the rounds, `load` makes the transactions, `target` starts coordinators and reads
//! what they cost, `report` writes tables and plots. `lateness` and `backlog` are measurements of their own.

// A benchmark talks to the person who started it.
#![allow(clippy::print_stdout)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backlog;
mod fill;
mod http;
mod lateness;
mod load;
mod measure;
mod null;
mod participant;
mod plan;
mod process;
mod report;
mod run;
mod target;
mod workload;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
