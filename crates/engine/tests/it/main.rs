//! The engine on the in-memory store with a scripted network and a paused clock.

#![allow(clippy::unwrap_used)]

mod world;

mod claims;
mod cost;
mod durable_replies;
mod flow;
mod holds;
mod lanes;
mod lifecycle;
mod orders;
mod races;
mod topics;
