//! The services over real sockets and real database files.

#![allow(clippy::unwrap_used)]

mod accounting;
mod coordinator;
mod db;
mod funds;
mod http;
mod outbox;
mod points;
mod support;
