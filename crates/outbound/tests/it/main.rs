//! Branch calls against participants that answer in every way a socket allows.

#![allow(clippy::unwrap_used)]

mod addresses;
mod connections;
mod faults;
mod requests;

mod participant;
