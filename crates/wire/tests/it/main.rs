#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;
mod recorded;
mod round_trip;
