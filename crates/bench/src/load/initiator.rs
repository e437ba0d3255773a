//! Carries out one transaction after the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tokio::sync::oneshot;

use super::Load;
use super::tally::Tally;
use crate::http::Connection;
use crate::participant::Participants;
use crate::workload::Request;

/// How long a transaction may take from when it was due.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all clients of a load share.
#[derive(Debug)]
pub(super) struct Initiator {
    load: Load,
    participants: Participants,
    /// Of all gids of this load, and of no other on the same store.
    prefix: String,
    begun: AtomicU64,
    stopping: AtomicBool,
    pub(super) tally: Tally,
}

impl Initiator {
    pub(super) fn new(load: Load, participants: Participants) -> Self {
        let prefix = format!("b{:08x}", rand::random::<u32>());
        let (begun, stopping) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { load, participants, prefix, begun, stopping, tally: Tally::new() }
    }

    /// Nothing new is to be begun.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// One transaction that was due then, from its first request to its last call, and counts it. It uses the connection, or opens
    /// one in its place; says whether all went well. After a failure there is no connection.
    pub(super) async fn transact(&self, connection: &mut Option<Connection>, due: Instant) -> bool {
        // All of one length: some coordinators confuse transactions if one's gid begins with the other's.
        let gid = format!("{}-{:09}", self.prefix, self.begun.fetch_add(1, Relaxed));
        let workload = self.load.workload;
        let requests = workload.requests(self.load.dialect, &gid, self.participants.address());
        let last_call = self.participants.expect(&gid, workload.calls());
        let work = self.carry_out(connection, &requests, last_call);
        let outcome = tokio::time::timeout_at((due + PATIENCE).into(), work)
            .await
            .unwrap_or_else(|_| Err(anyhow!("a transaction has not finished in {} s", PATIENCE.as_secs())));
        let is_done = outcome.is_ok();
        if !is_done {
            self.participants.forget(&gid);
            // The reply to a request may still be on its way.
            *connection = None;
        }
        self.tally.record(due, outcome);
        is_done
    }

    async fn carry_out(
        &self,
        connection: &mut Option<Connection>,
        requests: &[Request],
        last_call: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        // A coordinator may have closed it while it was not in use.
        if connection.as_ref().is_some_and(|connection| !connection.is_open()) {
            *connection = None;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(self.load.target).await.context("cannot connect")?),
        };
        for Request { path, body } in requests {
            let reply = connection.post(path, body).await.with_context(|| format!("no reply to {path}"))?;
            ensure!(reply.status == 200, "{path}: {} {}", reply.status, String::from_utf8_lossy(reply.body));
        }
        last_call.await.context("nobody waits for its calls any more")
    }
}
