//! A participant that answers as one did when the conversation was recorded.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::recorded::Trace;

/// A call as it came in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: Instant,
    /// Method and target.
    pub(super) request: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// Answers the n-th call as the n-th recorded one was answered, once it may, and one call too many with a 500.
pub(super) struct Participant {
    address: SocketAddr,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

struct Shared {
    answers: Vec<(u16, String)>,
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
    may_answer: watch::Sender<usize>,
}

impl Participant {
    pub(super) async fn start(trace: &Trace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = trace.calls().map(|call| (call.status, call.reply.clone())).collect();
        let (calls, count, may_answer) = <(Mutex<_>, watch::Sender<_>, watch::Sender<_>)>::default();
        let shared = Arc::new(Shared { answers, calls, count, may_answer });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&shared)));
        Self { address, shared, _listening: listening }
    }

    /// `http://host:port/`.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From now on the first `count` calls may be answered.
    pub(super) fn may_answer(&self, count: usize) {
        self.shared.may_answer.send_replace(count);
    }

    /// Returns once there were `count` calls.
    pub(super) async fn called(&self, count: usize) {
        self.shared.count.subscribe().wait_for(|&calls| calls >= count).await.unwrap();
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &shared));
            // A connection that breaks was closed by the coordinator, which is its right.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let index = shared.note(Call { at, request: format!("{} {}", head.method, head.uri), headers, body });
    let Some((status, reply)) = shared.answers.get(index).cloned() else {
        return Ok(Response::builder().status(500).body(Full::from("one call too many")).unwrap());
    };
    shared.may_answer.subscribe().wait_for(|&count| count > index).await.unwrap();
    Ok(Response::builder().status(status).body(Full::from(reply)).unwrap())
}

impl Shared {
    /// Notes a call; returns which one it is, from 0.
    fn note(&self, call: Call) -> usize {
        let mut calls = self.calls.lock().unwrap();
        calls.push(call);
        self.count.send_replace(calls.len());
        calls.len() - 1
    }
}
