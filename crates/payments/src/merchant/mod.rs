//! The merchant's side, as far as the platform needs one: a client that asks for payments, and an endpoint that is told.
//! It is another company's: it has a database of its own and knows the platform's interface, nothing else.

mod client;
mod endpoint;

pub use client::{Client, ClientError};
pub use endpoint::{Settings, routes};
