use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use crate::foundation::faults::{Fault, Faults};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 32;

/// No usable answer. The other side may have done what it was asked, or not: every one of these means *unknown*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The address, method or headers do not make a request. Nothing was sent.
    #[error("not a request: {url}")]
    BadRequest {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: http::Error,
    },
    /// The payload cannot be written as JSON. Nothing was sent.
    #[error("payload for {url} is no JSON")]
    BadPayload {
        /// The address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// No connection, or it broke.
    #[error("no answer from {url}")]
    Transport {
        /// The address.
        url: String,
        /// What the connection said.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The answer did not come in time.
    #[error("no answer from {url} within {timeout:?}")]
    Timeout {
        /// The address.
        url: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The answer broke off, or is larger than [`BODY_BYTES_MAX`].
    #[error("unreadable answer from {url}")]
    BadBody {
        /// The address.
        url: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An injected fault took the request or the reply.
    #[error("injected loss on the way to {url}")]
    Injected {
        /// The address.
        url: String,
    },
    /// An answer whose status says nothing about the outcome.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Calls other services. Keeps connections alive, follows no redirect, waits no longer than told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: Client<HttpConnector, Full<Bytes>>,
    faults: Option<(Faults, &'static str)>,
}

impl HttpClient {
    /// A client with a connection pool of its own.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let inner = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { inner, faults: None }
    }

    /// The same client on an unreliable way, seen from `place`: for servers that inject no faults themselves.
    pub fn with_faults(self, faults: Faults, place: &'static str) -> Self {
        Self { faults: Some((faults, place)), ..self }
    }

    /// Gets `url`.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer. Any status is an answer.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<Reply, CallError> {
        self.send(Method::GET, url, HeaderMap::new(), Bytes::new(), timeout).await
    }

    /// Gets `url` with these headers: for signed requests.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer. Any status is an answer.
    pub async fn get_with(&self, url: &str, headers: HeaderMap, timeout: Duration) -> Result<Reply, CallError> {
        self.send(Method::GET, url, headers, Bytes::new(), timeout).await
    }

    /// Posts `payload` as JSON.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer. Any status is an answer.
    pub async fn post_json<T: Serialize + ?Sized>(
        &self,
        url: &str,
        payload: &T,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let bad_payload = |source| CallError::BadPayload { url: url.to_owned(), source };
        let body = serde_json::to_vec(payload).map_err(bad_payload)?;
        self.post(url, HeaderMap::new(), body.into(), timeout).await
    }

    /// Posts exactly these bytes as `application/json`, with these further headers: for signed bodies.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer. Any status is an answer.
    pub async fn post(
        &self,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        self.send(Method::POST, url, headers, body, timeout).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let bad_request = |source| CallError::BadRequest { url: url.to_owned(), source };
        let fault = self.fault(url, &body);
        let mut request = Request::builder().method(method).uri(url).body(Full::new(body)).map_err(bad_request)?;
        *request.headers_mut() = headers;
        match fault {
            Fault::RequestLost => return Err(CallError::Injected { url: url.to_owned() }),
            Fault::Slow(delay) => tokio::time::sleep(delay).await,
            Fault::None | Fault::ReplyLost | Fault::TryRefused | Fault::TryLate(_) => {}
        }
        let reply = tokio::time::timeout(timeout, self.exchange(url, request))
            .await
            .map_err(|_| CallError::Timeout { url: url.to_owned(), timeout })??;
        if fault == Fault::ReplyLost {
            return Err(CallError::Injected { url: url.to_owned() });
        }
        Ok(reply)
    }

    async fn exchange(&self, url: &str, request: Request<Full<Bytes>>) -> Result<Reply, CallError> {
        let no_answer = |source| CallError::Transport { url: url.to_owned(), source };
        let bad_body = |source| CallError::BadBody { url: url.to_owned(), source };
        let (head, body) = self.inner.request(request).await.map_err(no_answer)?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(bad_body)?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    /// Calls are told apart by address and, for what a coordinator is asked, by the gid in the body; the rest of a body may
    /// carry times, and a seed is to mean the same tomorrow.
    fn fault(&self, url: &str, body: &[u8]) -> Fault {
        #[derive(serde::Deserialize)]
        struct Asked {
            gid: String,
        }
        let Some((faults, place)) = &self.faults else { return Fault::None };
        let gid = serde_json::from_slice(body).map_or_else(|_| String::new(), |asked: Asked| asked.gid);
        faults.next(place, &format!("{url} {gid}"), false)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}
