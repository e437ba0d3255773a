//! Signed requests out, signed answers in.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;

use super::request::{sign_request, verify_answer};
use super::{Secret, SignatureError};
use crate::foundation::http::{CallError, HttpClient, Reply};
use crate::time::Clock;

/// Calls another company and believes only its signed answers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SignedClient {
    client: HttpClient,
    clock: Clock,
    sender_no: String,
    secret: Secret,
}

/// No answer that can be believed. The other side may have done what it was asked, or not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedCallError {
    /// No answer at all.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer's signature.
    #[error("answer from {url} is not to be believed")]
    Answer {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// The address has no path to sign.
    #[error("not an address: {url}")]
    Address {
        /// As given.
        url: String,
    },
}

impl SignedClient {
    /// A client that signs as `sender_no` with the secret that both sides share.
    pub fn new(client: HttpClient, clock: Clock, sender_no: &str, secret: Secret) -> Self {
        Self { client, clock, sender_no: sender_no.to_owned(), secret }
    }

    /// Gets `url`.
    ///
    /// # Errors
    /// [`SignedCallError`] when there is no answer to be believed. Any status is an answer; 401 is one without a signature,
    /// since whoever sends it does not believe that we share a secret.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<Reply, SignedCallError> {
        let nonce = new_nonce();
        let headers = self.sign(&Method::GET, url, &nonce, HeaderMap::new(), b"")?;
        let reply = self.client.get_with(url, headers, timeout).await?;
        self.believe(url, &nonce, reply)
    }

    /// Posts `payload` as JSON.
    ///
    /// # Errors
    /// As [`SignedClient::get`].
    pub async fn post<T: Serialize>(
        &self,
        url: &str,
        payload: &T,
        timeout: Duration,
    ) -> Result<Reply, SignedCallError> {
        self.post_with(url, HeaderMap::new(), payload, timeout).await
    }

    /// Posts `payload` as JSON with further headers, which are not signed.
    ///
    /// # Errors
    /// As [`SignedClient::get`].
    pub async fn post_with<T: Serialize>(
        &self,
        url: &str,
        headers: HeaderMap,
        payload: &T,
        timeout: Duration,
    ) -> Result<Reply, SignedCallError> {
        let bad_payload = |source| CallError::BadPayload { url: url.to_owned(), source };
        let body = Bytes::from(serde_json::to_vec(payload).map_err(bad_payload)?);
        let nonce = new_nonce();
        let headers = self.sign(&Method::POST, url, &nonce, headers, &body)?;
        let reply = self.client.post(url, headers, body, timeout).await?;
        self.believe(url, &nonce, reply)
    }

    fn sign(
        &self,
        method: &Method,
        url: &str,
        nonce: &str,
        mut headers: HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, SignedCallError> {
        let address: Option<Uri> = url.parse().ok();
        let path = address.as_ref().and_then(Uri::path_and_query);
        let path = path.ok_or_else(|| SignedCallError::Address { url: url.to_owned() })?.as_str();
        let timestamp = self.clock.now().as_seconds();
        headers.extend(sign_request(&self.secret, &self.sender_no, method.as_str(), path, timestamp, nonce, body));
        Ok(headers)
    }

    fn believe(&self, url: &str, nonce: &str, reply: Reply) -> Result<Reply, SignedCallError> {
        if reply.status == StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let now = self.clock.now().as_seconds();
        match verify_answer(&self.secret, nonce, &reply.headers, &reply.body, now) {
            Ok(()) => Ok(reply),
            Err(source) => Err(SignedCallError::Answer { url: url.to_owned(), source }),
        }
    }
}

fn new_nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}
