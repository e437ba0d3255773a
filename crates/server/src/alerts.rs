//! Alerts: a web hook is told of operations that fail again and again.
//!
//! Driving never waits for it: what it is told goes through a queue, and what finds the queue full is counted and dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use escrow_engine::{Failure, Observer};
use escrow_outbound::HttpCaller;
use escrow_txn::{BranchOp, BranchOutcome, Pattern, Status};
use escrow_wire::dtm::{self, Alert};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::AlertConfig;
use crate::metrics::{AlertOutcome, Metrics};

/// Alerts that wait for the hook.
const QUEUE_MAX: usize = 1_000;
/// Calls of the hook at once.
const CALLS_MAX: usize = 4;
/// How long the hook may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What the engine tells: it is counted, and the web hook hears of what goes wrong.
#[derive(Debug)]
pub(crate) struct Watch {
    metrics: Arc<Metrics>,
    alerts: Option<Alerts>,
}

/// What goes to the web hook.
#[derive(Debug)]
struct Alerts {
    queue: mpsc::Sender<Bytes>,
    after_failures: u32,
    /// The queue was full last time: that is worth a line once.
    is_full: AtomicBool,
}

impl Watch {
    /// Calls the hook, if there is one, from a task of the set; dropping the set ends that.
    pub(crate) fn start(metrics: Arc<Metrics>, hook: Option<AlertConfig>, caller: HttpCaller) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let alerts = hook.map(|AlertConfig { web_hook, after_failures }| {
            let (queue, waiting) = mpsc::channel(QUEUE_MAX);
            tasks.spawn(deliver(web_hook, caller, Arc::clone(&metrics), waiting));
            Alerts { queue, after_failures, is_full: AtomicBool::new(false) }
        });
        (Self { metrics, alerts }, tasks)
    }
}

async fn deliver(url: String, caller: HttpCaller, metrics: Arc<Metrics>, waiting: mpsc::Receiver<Bytes>) {
    let bodies = stream::unfold(waiting, async |mut waiting| waiting.recv().await.map(|body| (body, waiting)));
    let deliver = async |body| {
        // What it answers is counted and no more: the next failure is told again.
        let outcome = match caller.post_json(&url, body, TIMEOUT).await {
            Some(status) if status.is_success() => AlertOutcome::Delivered,
            Some(_) | None => AlertOutcome::Failed,
        };
        metrics.alerted(outcome);
    };
    bodies.for_each_concurrent(CALLS_MAX, deliver).await;
}

impl Alerts {
    fn tell(&self, failure: &Failure<'_>, metrics: &Metrics) {
        let &Failure { gid, status, url, code, answer, in_a_row } = failure;
        if in_a_row < self.after_failures {
            return;
        }
        let body = dtm::encode_alert(&Alert { gid, status, url, code, answer, failures: in_a_row });
        let is_full = self.queue.try_send(body).is_err();
        if is_full {
            metrics.alerted(AlertOutcome::Dropped);
        }
        if is_full && !self.is_full.swap(is_full, Ordering::Relaxed) {
            tracing::warn!("alerts are dropped: the web hook takes them too slowly");
        } else {
            self.is_full.store(is_full, Ordering::Relaxed);
        }
    }
}

impl Observer for Watch {
    fn finished(&self, pattern: Pattern, status: Status, age: Duration) {
        self.metrics.finished(pattern, status, age);
    }

    fn answered(&self, pattern: Pattern, op: BranchOp, outcome: BranchOutcome, latency: Duration) {
        self.metrics.answered(pattern, op, outcome, latency);
    }

    fn failed(&self, failure: &Failure<'_>) {
        if let Some(alerts) = &self.alerts {
            alerts.tell(failure, &self.metrics);
        }
    }

    fn attention(&self, pattern: Pattern) {
        self.metrics.attention(pattern);
    }
}

#[cfg(test)]
mod tests {
    use escrow_outbound::EgressPolicy;
    use escrow_txn::Gid;

    use super::*;

    #[tokio::test]
    async fn a_hook_that_hangs_costs_its_alerts_and_nothing_else() {
        // Takes connections, and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web_hook = format!("http://{}/alert", silent.local_addr().unwrap());
        let metrics = Arc::new(Metrics::new(Default::default));
        let hook = Some(AlertConfig { web_hook, after_failures: 3 });
        let (watch, _tasks) = Watch::start(Arc::clone(&metrics), hook, HttpCaller::new(EgressPolicy::default()));
        let gid = Gid::parse("g").unwrap();
        let failure = |in_a_row| Failure {
            gid: &gid,
            status: Status::Submitted,
            url: "http://rm/",
            code: None,
            answer: "x",
            in_a_row,
        };
        for in_a_row in [1, 2] {
            watch.failed(&failure(in_a_row));
        }
        let total = 2 * QUEUE_MAX;
        // In one go: the sender has no turn in between.
        for _ in 0..total {
            watch.failed(&failure(3));
        }
        let dropped = format!(r#"escrow_alerts_total{{outcome="dropped"}} {}"#, total - QUEUE_MAX);
        assert!(metrics.render(0).contains(&dropped), "{}", metrics.render(0));
    }
}
