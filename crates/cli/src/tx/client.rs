//! The coordinator's DTM REST API, as far as `tx` uses it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use super::replies::ErrorReply;

/// How long a coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest reply that is read: the payloads of one transaction, twice and in base64, and room to spare.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Speaks to the coordinator at one address.
pub(super) struct Client {
    /// `http://host:port`, nothing behind it.
    address: String,
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// A reply with status 200.
#[derive(Debug)]
pub(super) struct Reply(Bytes);

impl Client {
    /// A client of the coordinator at `address`.
    pub(super) fn new(address: &str) -> anyhow::Result<Self> {
        let address = address.trim_end_matches('/');
        let uri: Uri = address.parse().with_context(|| format!("{address:?} is no address of a coordinator"))?;
        ensure!(
            uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/",
            "{address:?} is no address of a coordinator: it must be like http://127.0.0.1:36789"
        );
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { address: address.to_owned(), http })
    }

    /// Where the coordinator is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks `route` with these parameters.
    pub(super) async fn get(&self, route: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Reply> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let request = Request::get(format!("{}/api/dtmsvr/{route}?{query}", self.address)).body(Full::default())?;
        self.send(request).await
    }

    /// Sends `body` to `route`.
    pub(super) async fn post(&self, route: &str, body: &serde_json::Value) -> anyhow::Result<Reply> {
        let request = Request::post(format!("{}/api/dtmsvr/{route}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        let answered = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let (status, body) = answered
            .with_context(|| format!("{} has not answered within {} s", self.address, PATIENCE.as_secs()))??;
        match (status, serde_json::from_slice::<ErrorReply>(&body)) {
            (StatusCode::OK, _) => Ok(Reply(body)),
            (_, Ok(error)) => bail!("the coordinator refuses: {} (status {})", error.message, status.as_u16()),
            (_, Err(_)) => {
                bail!("{} answers {status}, which is not what a coordinator says: is the address right?", self.address)
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = self.http.request(request).await.with_context(|| {
            let where_else = "start one with `escrow serve`, or say with --server or ESCROW_SERVER where it is";
            format!("no coordinator answers at {}: {where_else}", self.address)
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed);
        let body = body.with_context(|| format!("the reply of {} broke off or is too long", self.address))?;
        Ok((status, body.to_bytes()))
    }
}

impl Reply {
    /// The reply as it came.
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// What the reply says.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.0).context("the reply is not what a coordinator says: is the address right?")
    }
}
