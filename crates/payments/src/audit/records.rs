//! The coordinator's records, as its own query interface tells them.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::foundation::http::{CallError, HttpClient};

/// How long one answer is waited for: a coordinator that has just started has other work, too.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const PAGE_ROWS: u32 = 100;
const QUERIES_AT_ONCE: usize = 16;

/// One global transaction as the coordinator remembers it, in the words of its DTM interface.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// The global transaction id.
    pub gid: String,
    /// `saga`, `tcc`, `xa` or `msg`.
    pub trans_type: String,
    /// `prepared`, `submitted`, `aborting`, `succeed` or `failed`.
    pub status: String,
    /// Its branch operations; empty in a listing.
    #[serde(skip)]
    pub operations: Vec<RecordOp>,
}

/// One branch operation of a [`Record`].
#[derive(Debug, Clone, Deserialize)]
pub struct RecordOp {
    /// The branch the operation belongs to.
    pub branch_id: String,
    /// `action`, `compensate`, `confirm`, `cancel`, `commit` or `rollback`.
    pub op: String,
    /// Where it is called; empty where there is nothing to call.
    #[serde(default)]
    pub url: String,
    /// `prepared`, `succeed` or `failed`.
    pub status: String,
}

impl Record {
    /// Nothing will happen to it any more.
    pub fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "succeed" | "failed")
    }
}

/// The coordinator did not tell its records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// No answer.
    #[error("the coordinator does not answer")]
    Call {
        /// What the call said.
        source: CallError,
    },
    /// An answer that is none.
    #[error("the coordinator answered {status} to {url}")]
    Status {
        /// What was asked.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer in another shape.
    #[error("the coordinator's answer to {url} is not understood")]
    Shape {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record that was listed and then unknown.
    #[error("the coordinator lists transaction {gid} and does not know it")]
    Vanished {
        /// Which one.
        gid: String,
    },
}

/// Reads the records of the coordinator at `coordinator` (`http://host:port`), newest first, without their operations.
///
/// # Errors
/// [`RecordsError`]: nothing is known about the records.
pub async fn list(client: &HttpClient, coordinator: &str) -> Result<Vec<Record>, RecordsError> {
    #[derive(Deserialize)]
    struct Page {
        transactions: Option<Vec<Record>>,
        next_position: String,
    }
    let mut records = Vec::new();
    let mut position = String::new();
    loop {
        let page: Page =
            get(client, coordinator, "all", &[("limit", &PAGE_ROWS.to_string()), ("position", &position)]).await?;
        records.extend(page.transactions.unwrap_or_default());
        if page.next_position.is_empty() {
            return Ok(records);
        }
        position = page.next_position;
    }
}

/// Reads all records with their branch operations, one query per record.
///
/// # Errors
/// [`RecordsError`]: nothing is known about the records.
pub async fn fetch(client: &HttpClient, coordinator: &str) -> Result<Vec<Record>, RecordsError> {
    let listed = list(client, coordinator).await?;
    let queries = listed.into_iter().map(|record| query(client, coordinator, record.gid));
    stream::iter(queries).buffered(QUERIES_AT_ONCE).try_collect().await
}

async fn query(client: &HttpClient, coordinator: &str, gid: String) -> Result<Record, RecordsError> {
    #[derive(Deserialize)]
    struct Answer {
        transaction: Option<Record>,
        branches: Vec<RecordOp>,
    }
    let answer: Answer = get(client, coordinator, "query", &[("gid", &gid)]).await?;
    let record = answer.transaction.ok_or(RecordsError::Vanished { gid })?;
    Ok(Record { operations: answer.branches, ..record })
}

async fn get<T: DeserializeOwned>(
    client: &HttpClient,
    coordinator: &str,
    route: &str,
    parameters: &[(&str, &str)],
) -> Result<T, RecordsError> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let url = format!("{coordinator}/api/dtmsvr/{route}?{query}");
    let reply = client.get(&url, CALL_TIMEOUT).await.map_err(|source| RecordsError::Call { source })?;
    if reply.status != StatusCode::OK {
        return Err(RecordsError::Status { url, status: reply.status });
    }
    reply.json().map_err(|source| RecordsError::Shape { url, source })
}
