use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use escrow_engine::{BranchCall, BranchCaller, BranchReply};
use escrow_txn::{BranchOutcome, limits};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use crate::outcome::{REPLY_BYTES_MAX, outcome_of};
use crate::target::Target;
use crate::{ConnectError, Connector, EgressPolicy, Resolve, SystemResolver, request};

/// How long an unused connection is kept. Shorter than what servers allow as a rule (5 s in Node, 60 s and more elsewhere):
/// a call that meets a connection on the point of closing would come back unknown.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Unused connections kept for one host; as many as one lane makes calls at once.
const IDLE_PER_HOST: usize = 64;
/// Bytes of a reply's header.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Calls participants over HTTP/1.1.
///
/// One call is one request: a connection that turns out to be closed before anything was sent is replaced, everything
/// else is reported. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct HttpCaller {
    client: Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for HttpCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCaller").finish_non_exhaustive()
    }
}

impl HttpCaller {
    /// A caller that obeys `policy` and asks the operating system for names.
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_resolver(policy, Arc::new(SystemResolver::default()))
    }

    /// A caller that asks `resolver` for names.
    pub fn with_resolver(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .build(Connector::new(resolver, policy));
        Self { client }
    }

    /// Posts a JSON text to an address that is no branch's, once. Says with which status it was answered within `limit`;
    /// `None`: it was not. Where such a call may go is decided as for branch calls.
    pub async fn post_json(&self, url: &str, body: Bytes, limit: Duration) -> Option<StatusCode> {
        let request = request::post_json(url, body).ok()?;
        let exchange = async {
            let response = self.client.request(request).await.ok()?;
            let status = response.status();
            // Read, so that the connection can be used again; what it says does not matter.
            let _ = read_bounded(response.into_body()).await;
            Some(status)
        };
        tokio::time::timeout(limit, exchange).await.ok().flatten()
    }

    /// One call and its answer, or what went wrong.
    async fn exchange(&self, call: &BranchCall) -> Result<(StatusCode, Bytes), String> {
        let until = Instant::now() + call.timeout;
        let request = request::build(call).map_err(|bad| bad.to_string())?;
        let response = timeout_at(until, self.client.request(request)).await;
        let response =
            response.map_err(|_| format!("no answer within {:?}", call.timeout))?.map_err(|error| describe(&error))?;
        let status = response.status();
        match timeout_at(until, read_bounded(response.into_body())).await {
            Ok(Ok(body)) => Ok((status, body)),
            Ok(Err(_)) => Err(format!("the connection broke in the middle of an answer with {}", named(status))),
            Err(_) => Err(format!("an answer with {} did not end within {:?}", named(status), call.timeout)),
        }
    }
}

#[async_trait]
impl BranchCaller for HttpCaller {
    async fn call(&self, call: BranchCall) -> BranchReply {
        match self.exchange(&call).await {
            Ok((status, body)) => reply(status, &body),
            Err(text) => BranchReply { outcome: BranchOutcome::Unknown, code: None, text },
        }
    }

    fn lane(&self, url: &str) -> String {
        // What cannot be called is answered without a network, so all of it may share one lane.
        Target::parse(url).map_or_else(|_| "none".to_owned(), |target| target.lane())
    }
}

fn reply(status: StatusCode, body: &[u8]) -> BranchReply {
    let outcome = outcome_of(status, body);
    let text = if outcome == BranchOutcome::Unknown && status.is_redirection() {
        "the answer is a redirect, which is not followed".to_owned()
    } else {
        let kept = &body[..body.len().min(limits::REASON_ANSWER_BYTES_MAX)];
        String::from_utf8_lossy(kept).into_owned()
    };
    BranchReply { outcome, code: Some(status.as_u16()), text }
}

/// Without the reason phrase, which some statuses lack.
fn named(status: StatusCode) -> String {
    format!("status {}", status.as_u16())
}

/// The body up to [`REPLY_BYTES_MAX`]. A longer one is cut there: what is dropped unread takes its connection along.
async fn read_bounded(mut body: Incoming) -> hyper::Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = REPLY_BYTES_MAX - whole.len();
        whole.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            break;
        }
    }
    Ok(whole.freeze())
}

/// What went wrong, in words that hold no part of the URL or the payload.
fn describe(error: &hyper_util::client::legacy::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return connect.to_string();
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            return if hyper.is_parse_too_large() {
                format!("the header of the answer is larger than {HEADER_BYTES_MAX} bytes")
            } else if hyper.is_parse() {
                "the answer is not HTTP".to_owned()
            } else {
                "the connection broke before the answer".to_owned()
            };
        }
        source = cause.source();
    }
    "the request could not be sent".to_owned()
}
