//! The whole coordinator, asked over real sockets.

#![allow(clippy::unwrap_used)]

mod alerts;
mod bad_input;
mod clients_page;
mod doors;
mod dtm_traces;
mod error_pages;
mod lifecycle;
mod limits;
mod routes;
mod topics;
mod transactions;

mod support;
