//! The clients: begin transactions, remember what they were told, ask again while the coordinator is away.

mod participant;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) use participant::Participant;

/// What the acknowledgement promises about the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It ends, either way.
    Ends,
    Succeeds,
    Fails,
}

/// What was acknowledged, by gid.
pub(crate) type Promises = BTreeMap<String, Promise>;

pub(crate) struct Load {
    api: String,
    participant: SocketAddr,
    http: Client<HttpConnector, Full<Bytes>>,
    promised: Mutex<Promises>,
    acknowledged: AtomicU64,
    told: Notify,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) lost: Vec<String>,
    pub(crate) contradictory: Vec<String>,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
}

impl Load {
    pub(crate) fn new(coordinator: &str, participant: SocketAddr) -> Self {
        Self {
            api: format!("http://{coordinator}/api/dtmsvr"),
            participant,
            http: Client::builder(TokioExecutor::new()).build_http(),
            promised: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            told: Notify::new(),
            stopped: AtomicBool::new(false),
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Everything that was acknowledged so far.
    pub(crate) fn promises(&self) -> Promises {
        self.promised.lock().unwrap().clone()
    }

    /// Lets the clients go to work.
    pub(crate) fn start(self: &Arc<Self>, clients: usize) -> Vec<JoinHandle<()>> {
        (0..clients).map(|client| tokio::spawn(Arc::clone(self).run(client))).collect()
    }

    /// Waits until every client is through with what it does.
    pub(crate) async fn stop(&self, clients: Vec<JoinHandle<()>>) {
        self.stopped.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }

    /// Waits until this many were acknowledged.
    pub(crate) async fn wait_for(&self, count: u64, patience: Duration) {
        let enough = async {
            while self.acknowledged() < count {
                self.told.notified().await;
            }
        };
        tokio::time::timeout(patience, enough).await.expect("the load goes on");
    }

    /// One client: one transaction after the other.
    async fn run(self: Arc<Self>, client: usize) {
        for number in 0.. {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let gid = format!("k{client}-{number}");
            match number % 4 {
                0 => self.saga(&gid, "ok").await,
                1 => self.saga(&gid, if client.is_multiple_of(2) { "refuse" } else { "shaky" }).await,
                2 => self.tcc(&gid, number % 8 == 2).await,
                _ => self.message(&gid).await,
            }
        }
    }

    async fn saga(&self, gid: &str, behaviour: &str) {
        let step = |b: &str| json!({"action": self.branch(b), "compensate": self.branch("ok")});
        let body = json!({"gid": gid, "trans_type": "saga", "steps": [step("ok"), step(behaviour)],
            "payloads": ["{}", "{}"], "retry_interval": 1});
        self.told_of(gid, "submit", body, Promise::Ends).await;
    }

    async fn message(&self, gid: &str) {
        let body = json!({"gid": gid, "trans_type": "msg", "steps": [{"action": self.branch("shaky")}],
            "payloads": ["{}"], "retry_interval": 1});
        self.told_of(gid, "submit", body, Promise::Succeeds).await;
    }

    /// Registers and tries two branches, then decides. Gives up in the middle if the coordinator does not answer.
    async fn tcc(&self, gid: &str, submits: bool) {
        let base = json!({"gid": gid, "trans_type": "tcc", "retry_interval": 1, "timeout_to_fail": 20});
        if self.ask("prepare", &base).await != Some(StatusCode::OK) {
            return;
        }
        for branch in ["01", "02"] {
            let body = json!({"gid": gid, "trans_type": "tcc", "branch_id": branch, "confirm": self.branch("shaky"),
                "cancel": self.branch("ok"), "data": "{}"});
            if self.ask("registerBranch", &body).await != Some(StatusCode::OK) {
                return;
            }
            let query = format!("?gid={gid}&branch_id={branch}&op=try&trans_type=tcc");
            let tried = self.call(Method::POST, &(self.branch("ok") + &query), "{}".to_owned()).await;
            assert!(tried.is_some(), "the participant is always there");
        }
        let (route, promise) = if submits { ("submit", Promise::Succeeds) } else { ("abort", Promise::Fails) };
        self.told_of(gid, route, base, promise).await;
    }

    /// Sends a request until it is acknowledged, and notes what that promises.
    async fn told_of(&self, gid: &str, route: &str, body: Value, promise: Promise) {
        if self.ask(route, &body).await == Some(StatusCode::OK) {
            self.promised.lock().unwrap().insert(gid.to_owned(), promise);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            self.told.notify_one();
        }
    }

    /// The first definite answer; `None` if there is none in a while. Asks again while nobody answers.
    async fn ask(&self, route: &str, body: &Value) -> Option<StatusCode> {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            match self.call(Method::POST, &format!("{}/{route}", self.api), body.to_string()).await {
                Some((status, _)) if status == StatusCode::OK || status == StatusCode::CONFLICT => return Some(status),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        None
    }

    async fn call(&self, method: Method, url: &str, body: String) -> Option<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(url).body(Full::from(body)).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), async {
            let reply = self.http.request(request).await.ok()?;
            let status = reply.status();
            Some((status, reply.into_body().collect().await.ok()?.to_bytes()))
        });
        answer.await.ok().flatten()
    }

    fn branch(&self, behaviour: &str) -> String {
        format!("http://{}/{behaviour}", self.participant)
    }

    /// Waits for the end of everything that was acknowledged, and compares it with the participant's books.
    pub(crate) async fn verdict(&self, participant: &Participant, patience: Duration) -> Verdict {
        self.verdict_on(self.promises(), participant, patience).await
    }

    /// The same, of a part.
    pub(crate) async fn verdict_on(
        &self,
        promised: Promises,
        participant: &Participant,
        patience: Duration,
    ) -> Verdict {
        let until = Instant::now() + patience;
        let mut verdict = Verdict::default();
        for (gid, promise) in promised {
            match self.end_of(&gid, until).await {
                None => verdict.lost.push(gid),
                Some(transaction) => check(&gid, promise, &transaction, participant, &mut verdict),
            }
        }
        verdict
    }

    /// The `query` reply once the transaction is final, or as it is when the time is up; `None` if it is unknown.
    async fn end_of(&self, gid: &str, until: Instant) -> Option<Value> {
        loop {
            let reply = self.call(Method::GET, &format!("{}/query?gid={gid}", self.api), String::new()).await;
            if let Some((StatusCode::OK, body)) = reply {
                let reply: Value = serde_json::from_slice(&body).unwrap();
                let status = reply["transaction"]["status"].as_str()?;
                if status == "succeed" || status == "failed" || Instant::now() > until {
                    return Some(reply);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn check(gid: &str, promise: Promise, reply: &Value, participant: &Participant, verdict: &mut Verdict) {
    let status = reply["transaction"]["status"].as_str().unwrap_or_default();
    let succeeded = status == "succeed";
    let kept = match promise {
        Promise::Ends => succeeded || status == "failed",
        Promise::Succeeds => succeeded,
        Promise::Fails => status == "failed",
    };
    let mut ids: Vec<_> =
        reply["branches"].as_array().unwrap().iter().map(|b| b["branch_id"].as_str().unwrap()).collect();
    ids.dedup();
    let is_tcc = reply["transaction"]["trans_type"] == "tcc";
    let effects = ids.iter().all(|id| {
        let book = participant.book(gid, id);
        match (succeeded, is_tcc) {
            (true, _) => (book.forward, book.backward) == (1, 0),
            (false, true) => book.forward == 0,
            (false, false) => book.forward == book.backward,
        }
    });
    if kept && effects {
        *(if succeeded { &mut verdict.succeeded } else { &mut verdict.failed }) += 1;
    } else {
        let books: Vec<_> = ids.iter().map(|id| participant.book(gid, id)).collect();
        verdict.contradictory.push(format!("{gid}: promised {promise:?}, is {status}, {books:?}"));
    }
}
