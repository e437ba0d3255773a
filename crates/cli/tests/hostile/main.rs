//! `escrow serve` among clients and participants that mean harm, or are broken.
//!
//! Whatever they do: it answers clearly, stores nothing of what it refuses, never panics, stays within its memory, and
//! serves everybody else meanwhile.

#![cfg(target_os = "linux")] // All of 127.0.0.0/8 is this machine, and /proc tells what a process uses.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // The figures go into notes.

mod descriptors;
mod floods;
mod participants;
mod slow;
mod table;
mod tcc;

mod client;
mod coordinator;
mod healthy;
mod participant;
