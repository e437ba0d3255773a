use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use escrow_engine::{BranchCall, BranchCaller, BranchReply};
use escrow_txn::{BranchOutcome, limits};
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::outcome::outcome_of;
use crate::pool::{ExchangeError, Pool};
use crate::target::Target;
use crate::{Connector, EgressPolicy, HEADER_BYTES_MAX, Resolve, SystemResolver, request};

/// Calls participants over HTTP/1.1.
///
/// One call is one request: a connection that turns out to be closed before anything was sent is replaced, everything
/// else is reported. Must be used inside a tokio runtime.
#[derive(Clone)]
pub struct HttpCaller {
    pool: Pool,
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
        Self { pool: Pool::new(Connector::new(resolver, policy)) }
    }

    /// Posts a JSON text to an address that is no branch's, once. Says with which status it was answered within `limit`;
    /// `None`: it was not. Where such a call may go is decided as for branch calls.
    pub async fn post_json(&self, url: &str, body: Bytes, limit: Duration) -> Option<StatusCode> {
        let (host, request) = request::post_json(url, body).ok()?;
        let mut answered = None;
        let exchange = self.pool.exchange(&host, request, &mut answered);
        let (status, _) = tokio::time::timeout(limit, exchange).await.ok()?.ok()?;
        Some(status)
    }

    /// One call and its answer, or what went wrong.
    async fn exchange(&self, call: &BranchCall) -> Result<(StatusCode, Bytes), String> {
        let until = Instant::now() + call.timeout;
        let (host, request) = request::build(call).map_err(|bad| bad.to_string())?;
        let mut answered = None;
        let exchanged = timeout_at(until, self.pool.exchange(&host, request, &mut answered)).await;
        match (exchanged, answered) {
            (Ok(Ok(exchanged)), _) => Ok(exchanged),
            (Ok(Err(error)), None) => Err(describe(&error)),
            (Ok(Err(_)), Some(status)) => {
                Err(format!("the connection broke in the middle of an answer with {}", named(status)))
            }
            (Err(_), None) => Err(format!("no answer within {:?}", call.timeout)),
            (Err(_), Some(status)) => {
                Err(format!("an answer with {} did not end within {:?}", named(status), call.timeout))
            }
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

    fn lane<'a>(&self, url: &'a str) -> Cow<'a, str> {
        // What cannot be called is answered without a network, so all of it may share one lane.
        Target::parse(url).map_or("none".into(), |target| target.lane())
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

/// What went wrong before the answer, in words that hold no part of the URL or the payload.
fn describe(error: &ExchangeError) -> String {
    match error {
        ExchangeError::Connect(error) => error.to_string(),
        ExchangeError::Send(error) | ExchangeError::Read(error) if error.is_parse_too_large() => {
            format!("the header of the answer is larger than {HEADER_BYTES_MAX} bytes")
        }
        ExchangeError::Send(error) | ExchangeError::Read(error) if error.is_parse() => {
            "the answer is not HTTP".to_owned()
        }
        ExchangeError::Send(_) | ExchangeError::Read(_) => "the connection broke before the answer".to_owned(),
    }
}
