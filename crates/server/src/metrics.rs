//! What is counted, for Prometheus.
//!
//! Names that begin with `dtm_` are DTM's, so that dashboards and alerts made for it go on working; `branchid` is left out
//! there, because labels come from a fixed set. Ours begin with `escrow_`.

mod store;

use std::time::Duration;

use escrow_engine::Observer;
use escrow_store::Stats;
use escrow_txn::{BranchOp, BranchOutcome, Pattern, Status};
use escrow_wire::dtm;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::accept::Refusal;

use store::StoreCollector;

/// The content type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Seconds of one request or call.
const CALL_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds of a whole transaction.
const TXN_SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    r#type: &'static str,
    api: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    r#type: &'static str,
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelStatusLabels {
    model: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BranchLabels {
    model: &'static str,
    branchtype: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PatternLabels {
    pattern: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabels {
    pattern: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    op: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    outcome: &'static str,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlertOutcome {
    Delivered,
    /// The hook did not take it.
    Failed,
    /// Too many were waiting.
    Dropped,
}

/// All counters of a coordinator.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histograms<ApiLabels>,
    dtm_transactions: Family<ModelStatusLabels, Counter>,
    dtm_transaction_seconds: Histograms<ModelLabels>,
    dtm_branches: Family<BranchLabels, Counter>,
    finished: Family<FinishedLabels, Counter>,
    call_seconds: Histograms<CallLabels>,
    attention: Family<PatternLabels, Counter>,
    alerts: Family<AlertLabels, Counter>,
    active: Gauge,
    connections: ConnectionMetrics,
}

/// The counters of connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionMetrics {
    open: Gauge,
    refused: Family<RefusedLabels, Counter>,
}

/// One open connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Metrics {
    /// Counters at zero. `store` says what the store has counted itself.
    pub(crate) fn new(store: impl Fn() -> Stats + Send + Sync + 'static) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            dtm_transactions: Family::default(),
            dtm_transaction_seconds: Family::new_with_constructor(|| Histogram::new(TXN_SECONDS)),
            dtm_branches: Family::default(),
            finished: Family::default(),
            call_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            attention: Family::default(),
            alerts: Family::default(),
            active: Gauge::default(),
            connections: ConnectionMetrics::default(),
        };
        metrics.register();
        metrics.registry.register_collector(Box::new(StoreCollector(Box::new(store))));
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("dtm_server_process", "Requests answered; fail: status 400 or above", self.requests.clone());
        registry.register(
            "dtm_server_response_duration",
            "Seconds until a request was answered",
            self.request_seconds.clone(),
        );
        registry.register(
            "dtm_transaction_process",
            "Transactions that became final, with DTM's words for the status",
            self.dtm_transactions.clone(),
        );
        registry.register(
            "dtm_transaction_handled_duration",
            "Seconds from a transaction's creation to its end",
            self.dtm_transaction_seconds.clone(),
        );
        registry.register("dtm_branch_process", "Branch calls by what came of them", self.dtm_branches.clone());
        registry.register("escrow_transactions_finished", "Transactions that became final", self.finished.clone());
        registry.register(
            "escrow_branch_call_duration_seconds",
            "Seconds that a branch call took, by what its answer meant",
            self.call_seconds.clone(),
        );
        registry.register("escrow_attention", "Transactions that began to ask for a human", self.attention.clone());
        registry.register("escrow_alerts", "Alerts to the web hook", self.alerts.clone());
        registry.register("escrow_transactions_active", "Transactions in memory", self.active.clone());
        registry.register("escrow_connections_open", "Open client connections", self.connections.open.clone());
        registry.register(
            "escrow_connections_refused",
            "Client connections refused for their number",
            self.connections.refused.clone(),
        );
    }

    pub(crate) fn connections(&self) -> ConnectionMetrics {
        self.connections.clone()
    }

    /// A request was answered. `api` is the last part of its route.
    pub(crate) fn answered_request(&self, api: &'static str, ok: bool, latency: Duration) {
        let status = if ok { "ok" } else { "fail" };
        self.requests.get_or_create(&RequestLabels { r#type: "http", api, status }).inc();
        self.request_seconds.get_or_create(&ApiLabels { r#type: "http", api }).observe(latency.as_secs_f64());
    }

    /// An alert was delivered, or not.
    pub(crate) fn alerted(&self, outcome: AlertOutcome) {
        let outcome = match outcome {
            AlertOutcome::Delivered => "delivered",
            AlertOutcome::Failed => "failed",
            AlertOutcome::Dropped => "dropped",
        };
        self.alerts.get_or_create(&AlertLabels { outcome }).inc();
    }

    /// All counters as text; `active` is the number of transactions in memory now.
    pub(crate) fn render(&self, active: usize) -> String {
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
        let mut text = String::new();
        if let Err(error) = prometheus_text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

impl Observer for Metrics {
    fn finished(&self, pattern: Pattern, status: Status, age: Duration) {
        let model = dtm::trans_type(pattern);
        self.dtm_transactions.get_or_create(&ModelStatusLabels { model, status: dtm::status_word(status) }).inc();
        self.dtm_transaction_seconds.get_or_create(&ModelLabels { model }).observe(age.as_secs_f64());
        let labels = FinishedLabels { pattern: pattern_name(pattern), status: status_name(status) };
        self.finished.get_or_create(&labels).inc();
    }

    fn answered(&self, pattern: Pattern, op: BranchOp, outcome: BranchOutcome, latency: Duration) {
        let (name, status) = match outcome {
            BranchOutcome::Done => ("done", "ok"),
            BranchOutcome::Refused => ("refused", "fail"),
            BranchOutcome::InProgress => ("in_progress", "ongoing"),
            BranchOutcome::Unknown => ("unknown", "fail"),
        };
        let branch = BranchLabels { model: dtm::trans_type(pattern), branchtype: dtm::op_word(op), status };
        self.dtm_branches.get_or_create(&branch).inc();
        let call = CallLabels { op: op_name(op), outcome: name };
        self.call_seconds.get_or_create(&call).observe(latency.as_secs_f64());
    }

    fn attention(&self, pattern: Pattern) {
        self.attention.get_or_create(&PatternLabels { pattern: pattern_name(pattern) }).inc();
    }
}

impl ConnectionMetrics {
    pub(crate) fn open(&self) -> OpenConnection {
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let reason = match refusal {
            Refusal::TooMany => "total",
            Refusal::TooManyOfPeer => "peer",
        };
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn pattern_name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Saga => "saga",
        Pattern::Tcc => "tcc",
        Pattern::Xa => "xa",
        Pattern::Message => "message",
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Prepared => "prepared",
        Status::Submitted => "submitted",
        Status::Aborting => "aborting",
        Status::Committed => "committed",
        Status::Aborted => "aborted",
        Status::Stopped => "stopped",
    }
}

fn op_name(op: BranchOp) -> &'static str {
    match op {
        BranchOp::Action => "action",
        BranchOp::Compensate => "compensate",
        BranchOp::Try => "try",
        BranchOp::Confirm => "confirm",
        BranchOp::Cancel => "cancel",
        BranchOp::Prepare => "prepare",
        BranchOp::Commit => "commit",
        BranchOp::Rollback => "rollback",
        BranchOp::Deliver => "deliver",
        BranchOp::CheckBack => "check_back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtms_names_and_ours_count_the_same_things() {
        let metrics = Metrics::new(Stats::default);
        let second = Duration::from_secs(1);
        metrics.answered_request("submit", true, second);
        metrics.answered_request("submit", false, second);
        metrics.finished(Pattern::Message, Status::Stopped, second);
        metrics.answered(Pattern::Tcc, BranchOp::Confirm, BranchOutcome::Unknown, second);
        metrics.attention(Pattern::Tcc);
        metrics.connections().refused(Refusal::TooMany);
        let open = metrics.connections().open();
        let text = metrics.render(3);
        for line in [
            r#"dtm_server_process_total{type="http",api="submit",status="ok"} 1"#,
            r#"dtm_server_process_total{type="http",api="submit",status="fail"} 1"#,
            r#"dtm_server_response_duration_count{type="http",api="submit"} 2"#,
            r#"dtm_transaction_process_total{model="msg",status="failed"} 1"#,
            r#"dtm_transaction_handled_duration_sum{model="msg"} 1.0"#,
            r#"dtm_branch_process_total{model="tcc",branchtype="confirm",status="fail"} 1"#,
            r#"escrow_transactions_finished_total{pattern="message",status="stopped"} 1"#,
            r#"escrow_branch_call_duration_seconds_count{op="confirm",outcome="unknown"} 1"#,
            r#"escrow_attention_total{pattern="tcc"} 1"#,
            "escrow_transactions_active 3",
            "escrow_connections_open 1",
            r#"escrow_connections_refused_total{reason="total"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        drop(open);
        assert!(metrics.render(0).contains("escrow_connections_open 0"));
    }
}
