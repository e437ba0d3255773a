//! Makes transactions at a given pace and says how long each took.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::participant::Participants;
use crate::workload::{Dialect, Workload};

/// How transactions follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// So many clients, each beginning its next transaction when its last one has ended.
    Closed {
        /// How many.
        clients: usize,
    },
    /// So many per second, whatever became of the earlier ones. Latency counts from when a transaction was due to begin.
    Open {
        /// How many a second.
        per_second: f64,
    },
}

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) dialect: Dialect,
    pub(crate) workload: Workload,
    pub(crate) pace: Pace,
    /// Before the measured time begins.
    pub(crate) warmup: Duration,
    pub(crate) length: Duration,
}

/// The two ends of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Begin,
    End,
}

/// What came of it: of transactions that ended within the measured time.
#[derive(Debug)]
pub(crate) struct LoadResult {
    pub(crate) finished: u64,
    pub(crate) errors: u64,
    /// The first error, to be shown.
    pub(crate) first_error: Option<String>,
    /// Microseconds from its begin (open loop: from when it was due) to its last call and the answer to its last request.
    pub(crate) latency: Histogram<u64>,
    /// The measured time as it was.
    pub(crate) elapsed: Duration,
}

/// Makes the load; calls `edge` when the measured time begins and ends.
///
/// # Errors
/// The coordinator cannot be reached at all.
pub(crate) async fn drive(
    load: &Load,
    participants: &Participants,
    mut edge: impl AsyncFnMut(Edge),
) -> anyhow::Result<LoadResult> {
    let _ = (load, participants);
    edge(Edge::Begin).await;
    edge(Edge::End).await;
    anyhow::bail!("not built")
}
