//! A coordinator in memory: enough of DTM's rules to drive the platform, and nothing that survives it. It never gives up, so
//! that a test's end is a matter of the services alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use escrow_payments::barrier::BarrierOp;
use escrow_payments::foundation::branch::BranchContext;
use escrow_payments::foundation::faults::Faults;
use escrow_payments::foundation::http::{HttpClient, Server, bind};
use escrow_payments::ids::Gid;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

/// After an unknown answer; one that says *in progress* is asked for again at the transaction's own interval.
const RETRY: Duration = Duration::from_millis(40);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct MiniCoordinator {
    pub(crate) url: String,
    shared: Shared,
    _server: Server,
}

#[derive(Clone, Default)]
struct Shared {
    txns: Arc<Mutex<HashMap<String, Txn>>>,
    client: HttpClient,
}

/// A transaction as it was prepared or submitted, and how far it is.
#[derive(Clone, Deserialize)]
struct Txn {
    gid: String,
    trans_type: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    payloads: Vec<String>,
    #[serde(default)]
    concurrent: bool,
    #[serde(default)]
    query_prepared: String,
    #[serde(default)]
    timeout_to_fail: u64,
    #[serde(default)]
    retry_interval: u64,
}

#[derive(Clone, Deserialize)]
struct Branch {
    branch_id: String,
    confirm: String,
    cancel: String,
    data: String,
}

#[derive(Clone, Deserialize)]
struct Step {
    action: String,
    #[serde(default)]
    compensate: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Done,
    Refused,
    InProgress,
    Unknown,
}

type Reply = (StatusCode, Json<Value>);

impl MiniCoordinator {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        let router = Router::new()
            .route("/api/dtmsvr/prepare", post(prepare))
            .route("/api/dtmsvr/submit", post(submit))
            .route("/api/dtmsvr/abort", post(abort))
            .route("/api/dtmsvr/query", get(query))
            .with_state(shared.clone());
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", bound.addr());
        Self { url, shared, _server: bound.serve("coordinator", router, Faults::none()) }
    }

    /// Gid and status of every transaction that has not ended.
    pub(crate) fn open(&self) -> Vec<String> {
        let txns = self.shared.txns.lock().unwrap();
        let open = txns.values().filter(|txn| !matches!(txn.status.as_str(), "succeed" | "failed"));
        open.map(|txn| format!("{} {}", txn.gid, txn.status)).collect()
    }

    /// The status of a transaction.
    pub(crate) fn status(&self, gid: &str) -> String {
        self.shared.txns.lock().unwrap()[gid].status.clone()
    }

    /// How many transactions have ended like this.
    pub(crate) fn count(&self, trans_type: &str, status: &str) -> usize {
        let txns = self.shared.txns.lock().unwrap();
        txns.values().filter(|txn| txn.trans_type == trans_type && txn.status == status).count()
    }
}

fn success() -> Reply {
    (StatusCode::OK, Json(json!({"dtm_result": "SUCCESS"})))
}

fn failure() -> Reply {
    (StatusCode::CONFLICT, Json(json!({"dtm_result": "FAILURE", "message": "not from this state FAILURE"})))
}

async fn prepare(State(shared): State<Shared>, Json(new): Json<Txn>) -> Reply {
    let mut txns = shared.txns.lock().unwrap();
    match txns.get(&new.gid).map(|txn| txn.status.as_str()) {
        Some("prepared") => success(),
        Some(_) => failure(),
        None => {
            tokio::spawn(shared.clone().time_out(new.clone()));
            txns.insert(new.gid.clone(), Txn { status: "prepared".to_owned(), ..new });
            success()
        }
    }
}

async fn submit(State(shared): State<Shared>, Json(new): Json<Txn>) -> Reply {
    let mut txns = shared.txns.lock().unwrap();
    let status = txns.get(&new.gid).map(|txn| txn.status.clone());
    match status.as_deref() {
        Some("submitted") => return success(),
        None if new.trans_type != "tcc" => {
            txns.insert(new.gid.clone(), new.clone());
        }
        Some("prepared") => {}
        _ => return failure(),
    }
    shared.decide(&mut txns, &new.gid, "submitted");
    success()
}

async fn abort(State(shared): State<Shared>, Json(new): Json<Txn>) -> Reply {
    let mut txns = shared.txns.lock().unwrap();
    match txns.get(&new.gid).map(|txn| (txn.trans_type.as_str(), txn.status.as_str())) {
        None => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"message": "not found"}))),
        Some(("tcc", "aborting")) => success(),
        Some(("tcc", "prepared")) => {
            shared.decide(&mut txns, &new.gid, "aborting");
            success()
        }
        Some(("msg", "prepared")) => {
            txns.get_mut(&new.gid).unwrap().status = "failed".to_owned();
            success()
        }
        Some(_) => failure(),
    }
}

async fn query(State(shared): State<Shared>, Query(asked): Query<HashMap<String, String>>) -> Reply {
    let txns = shared.txns.lock().unwrap();
    let transaction = txns.get(&asked["gid"]).map(|txn| json!({"gid": txn.gid, "status": txn.status}));
    (StatusCode::OK, Json(json!({"transaction": transaction, "branches": []})))
}

impl Shared {
    fn decide(&self, txns: &mut HashMap<String, Txn>, gid: &str, status: &str) {
        let txn = txns.get_mut(gid).unwrap();
        txn.status = status.to_owned();
        tokio::spawn(self.clone().drive(txn.clone()));
    }

    fn set(&self, gid: &str, status: &str) {
        self.txns.lock().unwrap().get_mut(gid).unwrap().status = status.to_owned();
    }

    /// An undecided TCC is cancelled, an undecided message checked back until it is decided.
    async fn time_out(self, txn: Txn) {
        tokio::time::sleep(Duration::from_secs(txn.timeout_to_fail)).await;
        loop {
            let answer = match txn.trans_type.as_str() {
                "msg" => self.check_back(&txn).await,
                _ => Answer::Refused,
            };
            if self.is_decided_by(answer, &txn) {
                return;
            }
            txn.wait_after(answer).await;
        }
    }

    /// Decides a transaction that is still prepared; false if it has to be asked about again.
    fn is_decided_by(&self, answer: Answer, txn: &Txn) -> bool {
        let mut txns = self.txns.lock().unwrap();
        match (txns[&txn.gid].status.as_str(), answer, txn.trans_type.as_str()) {
            ("prepared", Answer::InProgress | Answer::Unknown, _) => return false,
            ("prepared", Answer::Done, _) => self.decide(&mut txns, &txn.gid, "submitted"),
            ("prepared", Answer::Refused, "tcc") => self.decide(&mut txns, &txn.gid, "aborting"),
            ("prepared", Answer::Refused, _) => txns.get_mut(&txn.gid).unwrap().status = "failed".to_owned(),
            _ => {}
        }
        true
    }

    async fn drive(self, txn: Txn) {
        match (txn.trans_type.as_str(), txn.status.as_str()) {
            ("tcc", "submitted") => {
                join_all(txn.branches.iter().map(|branch| self.phase_two(&txn, branch, BarrierOp::Confirm))).await;
                self.set(&txn.gid, "succeed");
            }
            ("tcc", _) => {
                join_all(txn.branches.iter().map(|branch| self.phase_two(&txn, branch, BarrierOp::Cancel))).await;
                self.set(&txn.gid, "failed");
            }
            ("msg", _) => {
                self.deliver(&txn).await;
                self.set(&txn.gid, "succeed");
            }
            (_, _) => self.saga(&txn).await,
        }
    }

    async fn phase_two(&self, txn: &Txn, branch: &Branch, op: BarrierOp) {
        let url = if op == BarrierOp::Confirm { &branch.confirm } else { &branch.cancel };
        let context = context(txn, &branch.branch_id, op);
        self.until_done(txn, url, &context, &branch.data).await;
    }

    async fn deliver(&self, txn: &Txn) {
        let deliver = |n: usize| async move {
            let context = context(txn, &format!("{:02}", n + 1), BarrierOp::Action);
            self.until_done(txn, &txn.steps[n].action, &context, &txn.payloads[n]).await;
        };
        if txn.concurrent {
            join_all((0..txn.steps.len()).map(deliver)).await;
        } else {
            for n in 0..txn.steps.len() {
                deliver(n).await;
            }
        }
    }

    /// Step by step; from a refused one back over all that may have been called.
    async fn saga(&self, txn: &Txn) {
        for n in 0..txn.steps.len() {
            let context = context(txn, &format!("{:02}", n + 1), BarrierOp::Action);
            let answer = loop {
                match self.call(&txn.steps[n].action, &context, &txn.payloads[n]).await {
                    answer @ (Answer::Done | Answer::Refused) => break answer,
                    answer => txn.wait_after(answer).await,
                }
            };
            if answer == Answer::Refused {
                self.set(&txn.gid, "aborting");
                for n in (0..=n).rev() {
                    self.compensate(txn, n).await;
                }
                return self.set(&txn.gid, "failed");
            }
        }
        self.set(&txn.gid, "succeed");
    }

    async fn compensate(&self, txn: &Txn, n: usize) {
        let context = context(txn, &format!("{:02}", n + 1), BarrierOp::Compensate);
        self.until_done(txn, &txn.steps[n].compensate, &context, &txn.payloads[n]).await;
    }

    async fn until_done(&self, txn: &Txn, url: &str, context: &BranchContext, payload: &str) {
        loop {
            match self.call(url, context, payload).await {
                Answer::Done => return,
                answer => txn.wait_after(answer).await,
            }
        }
    }

    async fn call(&self, url: &str, context: &BranchContext, payload: &str) -> Answer {
        if url.is_empty() {
            return Answer::Done;
        }
        let (url, body) = (context.url(url), payload.to_owned().into());
        let reply = self.client.post(&url, Default::default(), body, CALL_TIMEOUT).await;
        understand(reply.map(|reply| reply.status))
    }

    async fn check_back(&self, txn: &Txn) -> Answer {
        let url = context(txn, "00", BarrierOp::Msg).url(&txn.query_prepared);
        understand(self.client.get(&url, CALL_TIMEOUT).await.map(|reply| reply.status))
    }
}

impl Txn {
    async fn wait_after(&self, answer: Answer) {
        // Retries are spread, time-outs are not: the two do not fall together.
        let pause =
            if answer == Answer::InProgress { Duration::from_millis(1_100 * self.retry_interval) } else { RETRY };
        tokio::time::sleep(pause).await;
    }
}

fn context(txn: &Txn, branch_id: &str, op: BarrierOp) -> BranchContext {
    let (trans_type, branch_id) = (txn.trans_type.clone(), branch_id.to_owned());
    BranchContext { gid: Gid::new(&txn.gid), trans_type, branch_id, op }
}

fn understand<E>(status: Result<StatusCode, E>) -> Answer {
    match status {
        Ok(StatusCode::OK) => Answer::Done,
        Ok(StatusCode::CONFLICT) => Answer::Refused,
        Ok(StatusCode::TOO_EARLY) => Answer::InProgress,
        _ => Answer::Unknown,
    }
}
