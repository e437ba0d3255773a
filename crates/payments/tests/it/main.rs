//! The services over real sockets and real database files.

#![allow(clippy::unwrap_used)]

mod accounting;
mod bank;
mod coordinator;
mod db;
mod funds;
mod gateway;
mod http;
mod mini_coordinator;
mod notify;
mod outbox;
mod play;
mod points;
mod refund;
mod settlement;
mod support;
mod whole_platform;
