//! Asks the platform for payments and refunds, as long as it takes to get an answer: every request is idempotent.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::merchants::{
    self, AttemptRequest, AttemptView, Channel, PaymentRequest, PaymentView, RefundRequest, RefundView,
};
use crate::foundation::api::ErrorBody;
use crate::foundation::http::{HttpClient, Reply};
use crate::ids::{MerchantNo, PayNo};
use crate::signing::{Secret, SignedCallError, SignedClient};
use crate::time::Clock;

/// How long one answer is waited for: longer than the gateway waits for the service behind it.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a request is repeated that got no final answer, and the pauses between: doubling up to the longest.
const TRIES: u32 = 20;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// One merchant's way to the gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    signed: SignedClient,
    gateway: String,
    merchant_no: MerchantNo,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The platform says no, for good.
    #[error("refused with {status}, {code}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The platform's code.
        code: String,
    },
    /// No final answer, however often it was asked for. Nobody knows whether the request was done.
    #[error("no answer after {tries} tries")]
    NoAnswer {
        /// How often it was asked.
        tries: u32,
        /// What happened last.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that is none.
    #[error("an answer in another shape than was agreed")]
    Shape(#[from] serde_json::Error),
    /// The idempotency key cannot stand in a header.
    #[error("not an idempotency key")]
    Key(#[from] http::header::InvalidHeaderValue),
}

impl Client {
    /// The client of `merchant_no`, which shares `secret` with the platform whose gateway is at `gateway` (`http://host:port`).
    pub fn new(client: HttpClient, clock: Clock, gateway: &str, merchant_no: MerchantNo, secret: Secret) -> Self {
        let signed = SignedClient::new(client, clock, merchant_no.as_str(), secret);
        Self { signed, gateway: gateway.trim_end_matches('/').to_owned(), merchant_no }
    }

    /// Creates a payment order, or finds the one with this merchant's number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_payment(&self, request: &PaymentRequest) -> Result<PaymentView, ClientError> {
        let key = format!("{}-{}", self.merchant_no, request.merchant_order_no);
        self.post(merchants::PAYMENTS, &key, request).await
    }

    /// Begins an attempt to pay at a bank; the same key gives the same attempt.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attempt(&self, pay_no: &PayNo, key: &str, bank_code: &str) -> Result<AttemptView, ClientError> {
        let request = AttemptRequest { channel: Channel::Bank, bank_code: bank_code.to_owned() };
        self.post(&merchants::ATTEMPTS.replace("{pay_no}", pay_no.as_str()), key, &request).await
    }

    /// Asks what became of a payment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn payment(&self, pay_no: &PayNo) -> Result<PaymentView, ClientError> {
        self.get(&merchants::PAYMENT.replace("{pay_no}", pay_no.as_str())).await
    }

    /// Asks for a refund, or finds the one with this merchant's number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn refund(&self, request: &RefundRequest) -> Result<RefundView, ClientError> {
        let key = format!("{}-{}", self.merchant_no, request.merchant_refund_no);
        self.post(merchants::REFUNDS, &key, request).await
    }

    /// Asks what became of a refund.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn refund_status(&self, merchant_refund_no: &str) -> Result<RefundView, ClientError> {
        self.get(&merchants::REFUND.replace("{merchant_refund_no}", merchant_refund_no)).await
    }

    async fn post<T: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        payload: &T,
    ) -> Result<A, ClientError> {
        let url = format!("{}{path}", self.gateway);
        let mut headers = HeaderMap::new();
        headers.insert(merchants::IDEMPOTENCY_KEY, HeaderValue::from_str(key)?);
        ask(|| self.signed.post_with(&url, headers.clone(), payload, CALL_TIMEOUT)).await
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        let url = format!("{}{path}", self.gateway);
        ask(|| self.signed.get(&url, CALL_TIMEOUT)).await
    }
}

/// An answer that says: later, perhaps.
#[derive(Debug, thiserror::Error)]
#[error("answered {status}, {code}")]
struct Retryable {
    status: StatusCode,
    code: String,
}

/// Repeats the call, signed anew each time, until its answer is final.
async fn ask<A, F>(mut call: impl FnMut() -> F) -> Result<A, ClientError>
where
    A: DeserializeOwned,
    F: Future<Output = Result<Reply, SignedCallError>>,
{
    let (mut tries, mut pause) = (0, PAUSE_FIRST);
    loop {
        tries += 1;
        let last: Box<dyn std::error::Error + Send + Sync> = match call().await {
            Ok(reply) if reply.status.is_success() => return Ok(reply.json()?),
            Ok(reply) => {
                let error: ErrorBody = reply.json()?;
                match error.retryable {
                    true => Box::new(Retryable { status: reply.status, code: error.code }),
                    false => return Err(ClientError::Refused { status: reply.status, code: error.code }),
                }
            }
            Err(error) => Box::new(error),
        };
        if tries == TRIES {
            return Err(ClientError::NoAnswer { tries, source: last });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}
