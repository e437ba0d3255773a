use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

/// What a participant answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Done.
    Success,
    /// Refused.
    Failure,
    /// In progress.
    Ongoing,
    /// A broken server.
    Error,
    /// Refused, as it was said before there were status codes for it.
    OldFailure,
    /// In progress, as it was said before there were status codes for it.
    OldOngoing,
    /// Anything.
    Raw(u16, &'static str),
    /// Nothing before [`Participant::release`] of its path, then *done*.
    Held,
}

/// A call as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// As it was sent.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Answers each path as it was told, and success where it was told nothing. Notes every call.
pub(crate) struct Participant {
    address: SocketAddr,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    always: Mutex<BTreeMap<String, Answer>>,
    once: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
    released: watch::Sender<BTreeSet<String>>,
}

impl Participant {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&shared)));
        Self { address, shared, _listening: listening }
    }

    /// Where a path of this participant is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// From now on this path answers so.
    pub(crate) fn always(&self, path: &str, answer: Answer) {
        self.shared.always.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// The next calls of this path are answered so, in this order.
    pub(crate) fn next(&self, path: &str, answers: &[Answer]) {
        self.shared.once.lock().unwrap().entry(path.to_owned()).or_default().extend(answers);
    }

    /// Lets go what is held of this path, now and later.
    pub(crate) fn release(&self, path: &str) {
        self.shared.released.send_modify(|released| {
            released.insert(path.to_owned());
        });
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The paths of all calls so far, in their order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.path).collect()
    }

    /// Waits until this path was called so often; returns its calls.
    pub(crate) async fn called(&self, path: &str, count: usize) -> Vec<Call> {
        let of_path = || self.calls().into_iter().filter(|call| call.path == path).collect::<Vec<_>>();
        let mut calls = self.shared.count.subscribe();
        let enough = async { calls.wait_for(|_| of_path().len() >= count).await.map(drop).unwrap() };
        timeout(PATIENCE, enough)
            .await
            .unwrap_or_else(|_| panic!("{path} not called {count} times: {:?}", self.paths()));
        of_path()
    }
}

impl Call {
    /// The parameters of the query, decoded, in their order.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Answer {
    fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Success | Self::Held => (200, r#"{"dtm_result":"SUCCESS"}"#),
            Self::Failure => (409, r#"{"dtm_result":"FAILURE","message":"Insufficient balance"}"#),
            Self::Ongoing => (425, r#"{"dtm_result":"ONGOING"}"#),
            Self::Error => (500, "broken"),
            Self::OldFailure => (200, r#"{"dtm_result":"FAILURE"}"#),
            Self::OldOngoing => (200, r#"{"dtm_result":"ONGOING"}"#),
            Self::Raw(status, body) => (status, body),
        }
    }
}

impl Shared {
    fn answer(&self, path: &str) -> Answer {
        let once = self.once.lock().unwrap().get_mut(path).and_then(VecDeque::pop_front);
        once.or_else(|| self.always.lock().unwrap().get(path).copied()).unwrap_or(Answer::Success)
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
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path().trim_start_matches('/').to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let answer = shared.answer(&path);
    let call = Call { at, method: head.method, path: path.clone(), query, headers: head.headers, body };
    shared.calls.lock().unwrap().push(call);
    shared.count.send_modify(|count| *count += 1);
    if matches!(answer, Answer::Held) {
        shared.released.subscribe().wait_for(|released| released.contains(&path)).await.unwrap();
    }
    let (status, body) = answer.parts();
    Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
}
