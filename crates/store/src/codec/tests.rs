use super::*;

mod damage;
mod golden;
mod round_trip;
pub(super) mod samples;
