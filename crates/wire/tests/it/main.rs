#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fuzz;
mod golden;
mod recorded;
mod round_trip;

mod write;
