//! The coordinator as DTM's clients see it: requests over real sockets, a participant that answers as it is told, time that
//! passes by itself. What DTM's own tests check, and what its clients rely on, each has a test here.
#![allow(clippy::unwrap_used)]

mod api;
mod calls;
mod msg;
mod requests;
mod saga;
mod states;
mod tcc;
mod xa;

mod support;
