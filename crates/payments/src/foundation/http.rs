//! HTTP both ways: a listener for a service's routes, and the client that services call each other with.

pub use client::{CallError, HttpClient, Reply};
pub use server::{Bound, Server, bind};

mod client;
mod server;

/// Largest body that is sent or accepted, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
