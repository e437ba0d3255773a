//! Makes transactions at a given pace and says how long each took.
//!
//! ```text
//!   warm-up          measured time             in flight
//!   ───────┬───────────────────────────────┬──────────▶
//!     edge(Begin)                     edge(End)
//! ```

mod closed;
mod initiator;
mod open;
mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use initiator::Initiator;

use crate::http::Connection;

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

/// What came of it: of transactions that ended within the measured time. One that was under way at its end and failed later is an
/// error as well: a coordinator that hangs must not look faultless.
#[derive(Debug)]
pub(crate) struct LoadResult {
    /// Transactions that ended well at any time: before, within and after the measured time.
    pub(crate) made: u64,
    pub(crate) finished: u64,
    pub(crate) errors: u64,
    /// The first error, to be shown.
    pub(crate) first_error: Option<String>,
    /// Microseconds from its begin (open loop: from when it was due) to its last call and the answer to its last request.
    pub(crate) latency: Histogram<u64>,
    /// The measured time as it was.
    pub(crate) elapsed: Duration,
}

/// Makes the load; calls `edge` when the measured time begins and when it ends. Each is the moment at which it is called; the load
/// goes on while it runs, so what changes quickly is to be read first. Transactions under way at the end are awaited.
///
/// # Errors
/// The coordinator cannot be reached at all.
pub(crate) async fn drive(
    load: &Load,
    participants: &Participants,
    mut edge: impl AsyncFnMut(Edge),
) -> anyhow::Result<LoadResult> {
    Connection::open(load.target).await.with_context(|| format!("no coordinator listens on {}", load.target))?;
    let initiator = Arc::new(Initiator::new(load.clone(), participants.clone()));
    let clients = match load.pace {
        Pace::Closed { clients } => closed::start(&initiator, clients),
        Pace::Open { per_second } => open::start(&initiator, per_second, open::IN_FLIGHT_MAX),
    };
    tokio::time::sleep(load.warmup).await;
    let begin = initiator.tally.begin();
    edge(Edge::Begin).await;
    tokio::time::sleep_until((begin + load.length).into()).await;
    initiator.tally.end();
    edge(Edge::End).await;
    initiator.stop();
    clients.join_all().await;
    Ok(initiator.tally.result())
}

#[cfg(test)]
mod tests;
