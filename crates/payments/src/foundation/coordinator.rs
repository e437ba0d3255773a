//! Client of the coordinator, over its DTM REST API.
//!
//! The coordinator's address holds for the life of the platform: it may be killed, and comes back on the same port. While it
//! is away every call ends [`CoordinatorError::Unknown`], and the caller decides how long to go on asking.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::http::{CallError, HttpClient, Reply};
use crate::contract::CALL_TIMEOUT;
use crate::ids::Gid;

/// How the coordinator is to drive a transaction. `None` leaves the coordinator's own setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TxnOptions {
    /// Base interval between retries, in seconds.
    #[serde(rename = "retry_interval", skip_serializing_if = "Option::is_none")]
    pub retry_interval_s: Option<u32>,
    /// When an undecided TCC is cancelled, a prepared message checked back, in seconds. A saga given one turns back after it.
    #[serde(rename = "timeout_to_fail", skip_serializing_if = "Option::is_none")]
    pub timeout_to_fail_s: Option<u32>,
    /// How long the coordinator waits for a branch's answer, in seconds.
    #[serde(rename = "request_timeout", skip_serializing_if = "Option::is_none")]
    pub request_timeout_s: Option<u32>,
}

impl TxnOptions {
    /// The same without a time-out: for sagas, which are to go on until their steps say otherwise.
    pub fn without_timeout(self) -> Self {
        Self { timeout_to_fail_s: None, ..self }
    }
}

/// A TCC whose branches are all known beforehand. Phase two calls them all at once.
#[derive(Debug, Clone)]
pub struct Tcc {
    /// Its id.
    pub gid: Gid,
    /// What people know it by: the payment's number.
    pub business_key: String,
    /// Its branches, the initiator's own first.
    pub branches: Vec<TccBranch>,
}

/// One participant's part of a TCC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TccBranch {
    /// Unique within the transaction: `01`, `02`, ...
    pub branch_id: String,
    /// Where it is confirmed.
    pub confirm: String,
    /// Where it is cancelled.
    pub cancel: String,
    /// The payload of both, as JSON text.
    pub data: String,
}

/// A sequential saga.
#[derive(Debug, Clone)]
pub struct Saga {
    /// Its id.
    pub gid: Gid,
    /// What people know it by: the refund's number.
    pub business_key: String,
    /// Its steps, in order.
    pub steps: Vec<SagaStep>,
}

/// One step of a saga.
#[derive(Debug, Clone)]
pub struct SagaStep {
    /// Where it is done.
    pub action: String,
    /// Where it is undone; empty: nothing to undo.
    pub compensate: String,
    /// The payload of both, as JSON text.
    pub payload: String,
}

/// A reliable message to one or more destinations, all called with the same payload.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub gid: Gid,
    /// What people know it by.
    pub business_key: String,
    /// Where it is delivered.
    pub destinations: Vec<String>,
    /// One destination after the other, each once the one before has accepted; otherwise all at once.
    pub in_order: bool,
    /// Its payload, as JSON text.
    pub payload: String,
    /// Who can say whether the local transaction committed. Needed by `prepare`, unused by a bare submit.
    pub query_prepared: Option<String>,
}

/// Where a global transaction stands, in DTM's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TxnStatus {
    /// Begun, not decided.
    Prepared,
    /// Decided forward.
    Submitted,
    /// Decided backward, or turned back.
    Aborting,
    /// Ended forward.
    Succeed,
    /// Ended backward.
    Failed,
}

/// Why the coordinator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// It says no, for good: the transaction is decided otherwise, or unknown where it must be known.
    #[error("coordinator refuses {gid}: {message}")]
    Refused {
        /// The transaction.
        gid: Gid,
        /// The coordinator's words.
        message: String,
    },
    /// It is at it.
    #[error("coordinator is still working on {gid}")]
    InProgress {
        /// The transaction.
        gid: Gid,
    },
    /// No answer, or one that says nothing: it may have been done or not. Ask again; all calls are idempotent by gid.
    #[error("coordinator gave no answer about {gid}")]
    Unknown {
        /// The transaction.
        gid: Gid,
        /// What happened.
        #[source]
        source: CallError,
    },
    /// An answer that is not the protocol's.
    #[error("coordinator's answer about {gid} is unreadable")]
    BadAnswer {
        /// The transaction.
        gid: Gid,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Speaks to the coordinator at one address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordinator {
    api: String,
    client: HttpClient,
    options: TxnOptions,
}

/// The body of prepare, submit and abort.
#[derive(Serialize)]
struct Body<'a> {
    gid: &'a Gid,
    trans_type: &'static str,
    #[serde(flatten)]
    options: TxnOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    concurrent: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    branches: &'a [TccBranch],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    payloads: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_prepared: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Step<'a> {
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compensate: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn new(gid: &'a Gid, trans_type: &'static str) -> Self {
        Self {
            gid,
            trans_type,
            options: TxnOptions::default(),
            business_key: None,
            concurrent: false,
            branches: &[],
            steps: Vec::new(),
            payloads: Vec::new(),
            query_prepared: None,
            rollback_reason: None,
        }
    }

    fn message(message: &'a Message, options: TxnOptions) -> Self {
        let step = |url: &'a String| Step { action: url, compensate: None };
        Self {
            options,
            business_key: Some(&message.business_key),
            concurrent: !message.in_order,
            steps: message.destinations.iter().map(step).collect(),
            payloads: vec![&message.payload; message.destinations.len()],
            query_prepared: message.query_prepared.as_deref(),
            ..Self::new(&message.gid, "msg")
        }
    }
}

impl Coordinator {
    /// The coordinator at `base` (`http://host:port`), asked to drive transactions by `options`.
    pub fn new(base: &str, client: HttpClient, options: TxnOptions) -> Self {
        Self { api: format!("{}/api/dtmsvr", base.trim_end_matches('/')), client, options }
    }

    /// Begins a TCC with all its branches. Repeating it is harmless.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when the transaction is decided already.
    pub async fn prepare_tcc(&self, tcc: &Tcc) -> Result<(), CoordinatorError> {
        let body = Body {
            options: self.options,
            business_key: Some(&tcc.business_key),
            concurrent: true,
            branches: &tcc.branches,
            ..Body::new(&tcc.gid, "tcc")
        };
        self.post("prepare", &body).await
    }

    /// Decides a TCC forward: every branch will be confirmed. Decided so before, it stays so, whether or not it has ended.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when it was decided backward.
    pub async fn submit_tcc(&self, gid: &Gid) -> Result<(), CoordinatorError> {
        let answer = self.post("submit", &Body { concurrent: true, ..Body::new(gid, "tcc") }).await;
        self.unless_already(gid, answer, |status| matches!(status, TxnStatus::Submitted | TxnStatus::Succeed)).await
    }

    /// Decides a TCC backward: every branch will be cancelled. Decided so before, it stays so, whether or not it has ended.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when it was decided forward.
    pub async fn abort_tcc(&self, gid: &Gid, reason: &str) -> Result<(), CoordinatorError> {
        let answer = self.post("abort", &Body { rollback_reason: Some(reason), ..Body::new(gid, "tcc") }).await;
        self.unless_already(gid, answer, |status| matches!(status, TxnStatus::Aborting | TxnStatus::Failed)).await
    }

    /// Makes sure that a TCC which may never have begun never will: begins it (or finds it decided) and aborts it. Then
    /// [`Coordinator::query`] tells what became of it.
    ///
    /// It is begun with all its branches: a begin of its initiator may still be on its way, be taken for a repeat of this one,
    /// and be followed by Tries, which only a cancel of their branches gives up.
    ///
    /// # Errors
    /// [`CoordinatorError`], but never *refused*: that only says that it is decided, which is what was wanted.
    pub async fn fence_tcc(&self, tcc: &Tcc) -> Result<(), CoordinatorError> {
        unless_refused(self.prepare_tcc(tcc).await)?;
        unless_refused(self.abort_tcc(&tcc.gid, "fenced by its initiator").await)
    }

    /// Starts a saga. Repeating it is harmless, whatever has become of the saga since.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when the coordinator does not hold it all the same.
    pub async fn submit_saga(&self, saga: &Saga) -> Result<(), CoordinatorError> {
        fn step(step: &SagaStep) -> Step<'_> {
            Step { action: &step.action, compensate: Some(&step.compensate) }
        }
        let body = Body {
            // A saga's time-out turns it back; a refund goes on until its steps say otherwise.
            options: self.options.without_timeout(),
            business_key: Some(&saga.business_key),
            steps: saga.steps.iter().map(step).collect(),
            payloads: saga.steps.iter().map(|step| step.payload.as_str()).collect(),
            ..Body::new(&saga.gid, "saga")
        };
        let answer = self.post("submit", &body).await;
        self.unless_already(&saga.gid, answer, |status| status != TxnStatus::Prepared).await
    }

    /// Stores a message that waits for its local transaction. Repeating it is harmless.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when it is decided already.
    pub async fn prepare_message(&self, message: &Message) -> Result<(), CoordinatorError> {
        self.post("prepare", &Body::message(message, self.options)).await
    }

    /// Releases a message for delivery, storing it first if it was not prepared. Released before, it stays so.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when it was discarded.
    pub async fn submit_message(&self, message: &Message) -> Result<(), CoordinatorError> {
        let answer = self.post("submit", &Body::message(message, self.options)).await;
        let released = |status| matches!(status, TxnStatus::Submitted | TxnStatus::Succeed);
        self.unless_already(&message.gid, answer, released).await
    }

    /// Discards a prepared message. Discarded before, it stays so.
    ///
    /// # Errors
    /// [`CoordinatorError`]; *refused* when it was released.
    pub async fn abort_message(&self, gid: &Gid) -> Result<(), CoordinatorError> {
        let answer = self.post("abort", &Body::new(gid, "msg")).await;
        self.unless_already(gid, answer, |status| status == TxnStatus::Failed).await
    }

    /// Where the transaction stands; `None`: the coordinator does not know it.
    ///
    /// # Errors
    /// [`CoordinatorError::Unknown`] or [`CoordinatorError::BadAnswer`].
    pub async fn query(&self, gid: &Gid) -> Result<Option<TxnStatus>, CoordinatorError> {
        #[derive(Deserialize)]
        struct Answer {
            transaction: Option<Transaction>,
        }
        #[derive(Deserialize)]
        struct Transaction {
            status: TxnStatus,
        }
        let gid_text: String = url::form_urlencoded::byte_serialize(gid.as_str().as_bytes()).collect();
        let url = format!("{}/query?gid={gid_text}", self.api);
        let unknown = |source| CoordinatorError::Unknown { gid: gid.clone(), source };
        let reply = self.client.get(&url, CALL_TIMEOUT).await.map_err(unknown)?;
        if reply.status != StatusCode::OK {
            return Err(unknown(CallError::Status { status: reply.status }));
        }
        let answer: Answer = reply.json().map_err(|source| CoordinatorError::BadAnswer { gid: gid.clone(), source })?;
        Ok(answer.transaction.map(|transaction| transaction.status))
    }

    /// A decision whose reply was lost is refused when it is repeated late: the transaction may have ended by then. What the
    /// coordinator shows tells that apart from being decided otherwise.
    async fn unless_already(
        &self,
        gid: &Gid,
        answer: Result<(), CoordinatorError>,
        is_what_was_asked: impl Fn(TxnStatus) -> bool,
    ) -> Result<(), CoordinatorError> {
        let Err(refused @ CoordinatorError::Refused { .. }) = answer else { return answer };
        match self.query(gid).await? {
            Some(status) if is_what_was_asked(status) => Ok(()),
            _ => Err(refused),
        }
    }

    async fn post(&self, route: &str, body: &Body<'_>) -> Result<(), CoordinatorError> {
        let (url, gid) = (format!("{}/{route}", self.api), body.gid);
        let unknown = |source| CoordinatorError::Unknown { gid: gid.clone(), source };
        let reply = self.client.post_json(&url, body, CALL_TIMEOUT).await.map_err(unknown)?;
        match reply.status {
            StatusCode::OK => Ok(()),
            StatusCode::CONFLICT => Err(CoordinatorError::Refused { gid: gid.clone(), message: message_of(&reply) }),
            StatusCode::TOO_EARLY => Err(CoordinatorError::InProgress { gid: gid.clone() }),
            status => Err(unknown(CallError::Status { status })),
        }
    }
}

/// Repeats `call` while it ends unknown, at most `tries` times with `pause` between: long enough for a coordinator's restart.
///
/// # Errors
/// The last answer, if none of them was better.
pub async fn ask_again<T, F>(tries: u32, pause: Duration, mut call: impl FnMut() -> F) -> Result<T, CoordinatorError>
where
    F: Future<Output = Result<T, CoordinatorError>>,
{
    for _ in 1..tries {
        match call().await {
            Err(CoordinatorError::Unknown { .. }) => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
    call().await
}

fn unless_refused(answer: Result<(), CoordinatorError>) -> Result<(), CoordinatorError> {
    match answer {
        Err(CoordinatorError::Refused { .. }) => Ok(()),
        other => other,
    }
}

fn message_of(reply: &Reply) -> String {
    #[derive(Deserialize)]
    struct Failure {
        message: String,
    }
    let failure: Option<Failure> = reply.json().ok();
    failure.map(|failure| failure.message).unwrap_or_else(|| "no reason given".to_owned())
}
