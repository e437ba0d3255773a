//! Replies of the DTM REST API, as far as `tx` shows them. What is not set is left out of them.

use serde::Deserialize;

/// The reply to `all`.
#[derive(Debug, Deserialize)]
pub(super) struct AllReply {
    /// Where the next page begins; empty: this was the last one.
    pub(super) next_position: String,
    /// Newest first.
    pub(super) transactions: Vec<Transaction>,
}

/// The reply to `query`.
#[derive(Debug, Deserialize)]
pub(super) struct QueryReply {
    /// One row per operation of each branch.
    pub(super) branches: Vec<BranchRow>,
    /// `None`: nobody has begun it, or it is forgotten.
    pub(super) transaction: Option<Transaction>,
}

/// A transaction. Times are RFC 3339.
#[derive(Debug, Deserialize)]
pub(super) struct Transaction {
    pub(super) gid: String,
    pub(super) trans_type: String,
    pub(super) status: String,
    pub(super) create_time: String,
    pub(super) update_time: String,
    pub(super) finish_time: Option<String>,
    pub(super) rollback_time: Option<String>,
    pub(super) rollback_reason: Option<String>,
    pub(super) next_cron_time: Option<String>,
    pub(super) query_prepared: Option<String>,
    pub(super) options: Option<String>,
    pub(super) custom_data: Option<String>,
    pub(super) business_key: Option<String>,
    #[serde(default)]
    pub(super) attention: bool,
    pub(super) attention_reason: Option<String>,
    pub(super) attention_since: Option<String>,
}

/// One operation of a branch.
#[derive(Debug, Deserialize)]
pub(super) struct BranchRow {
    pub(super) branch_id: String,
    pub(super) op: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) url: String,
    pub(super) finish_time: Option<String>,
}

/// The reply to `releaseHeld` and `releaseAllHeld`.
#[derive(Debug, Deserialize)]
pub(super) struct ReleaseReply {
    /// How many were on hold.
    pub(super) released_count: u64,
}

/// Any reply but a 200.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorReply {
    pub(super) message: String,
}
