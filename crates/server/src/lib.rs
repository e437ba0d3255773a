//! The whole coordinator as a process: settings, connections, the DTM REST API, metrics, start and stop.
//!
//! ```text
//!  accept ──▶ app: guard, routes, body ──▶ dtm: decode ──▶ Coordinator ──▶ answer: encode
//! ```
//!
//! The edge decides nothing about transactions: handlers decode with [`escrow_wire`], ask the
//! [`Coordinator`](escrow_engine::Coordinator), and encode what it says.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod server;

pub mod stores;

pub mod config;

mod accept;
mod app;
mod body;
mod guard;
mod large;
mod routes;
mod sizes;

mod dtm;
mod gid;
mod topics;

mod alerts;
mod answer;
mod codes;
mod descriptors;
mod epoch;
mod metrics;

pub use codes::error_codes;
pub use config::Config;
pub use epoch::EpochError;
pub use server::{ServeError, Server, StartError};
pub use sizes::Sizes;
pub use stores::StoreChoice;
