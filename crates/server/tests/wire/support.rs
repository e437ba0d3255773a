//! A coordinator behind its socket, and a participant that answers each URL as it is told.

mod bodies;
mod coordinator;
mod participant;
mod shown;

use std::time::Duration;

pub(crate) use bodies::{global, msg, saga, tcc_branch, with, xa_branch};
pub(crate) use coordinator::{Coordinator, Reply};
pub(crate) use participant::{Answer, Call, Participant};
pub(crate) use shown::Shown;

/// How long anything may take that has to come, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a question is repeated until its answer is the right one.
pub(crate) const POLL: Duration = Duration::from_millis(5);
