//! What every service stands on: its database, its listener and client, the coordinator, the outbox, and injected faults.

pub mod api;
pub mod branch;
pub mod coordinator;
pub mod db;
pub mod faults;
pub mod http;
pub mod outbox;
pub mod service;
