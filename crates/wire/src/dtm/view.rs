//! Transactions as `query` and `all` show them.

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use escrow_txn::{
    Attention, Branch, BranchOp, BusinessKey, Gid, OpProgress, OpStatus, Options, Pattern, Status, Timestamp, Txn,
};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Reply, op_word, status_word, trans_type};

/// One transaction of a list: what a store knows of it without reading the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTxn {
    /// Its id.
    pub gid: Gid,
    /// Its rules.
    pub pattern: Pattern,
    /// Where it stands.
    pub status: Status,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// When it goes on by itself.
    pub next_run_at: Option<Timestamp>,
    /// What people know it by.
    pub business_key: Option<BusinessKey>,
    /// Whether a human should look.
    pub attention: bool,
}

/// Writes the reply to `query`: the transaction with one row per operation of each branch, or `null` and no rows.
///
/// Values of branch headers and passwords in URLs are masked.
///
/// ```
/// let reply = escrow_wire::dtm::encode_query(None);
/// assert_eq!(reply.body, r#"{"branches":[],"transaction":null}"#);
/// ```
pub fn encode_query(txn: Option<&Txn>) -> Reply {
    #[derive(Serialize)]
    struct Query<'a> {
        branches: Vec<BranchRow<'a>>,
        transaction: Option<TransactionRow<'a>>,
    }
    let query =
        Query { branches: txn.map(branch_rows).unwrap_or_default(), transaction: txn.map(TransactionRow::of_txn) };
    Reply::json(200, &query)
}

/// Writes the reply to `all`: one page, in the order given, and where the next one begins (`None`: this was the last).
///
/// ```
/// let reply = escrow_wire::dtm::encode_all(&[], None);
/// assert_eq!(reply.body, r#"{"next_position":"","transactions":[]}"#);
/// ```
pub fn encode_all(page: &[ListedTxn], next_position: Option<&str>) -> Reply {
    let transactions = page.iter().map(TransactionRow::of_listed).collect();
    Reply::json(200, &All { next_position: next_position.unwrap_or_default(), transactions: Some(transactions) })
}

/// Writes the reply to `all` with a gid: a list of the one, or `null`. `position` is what the request said.
///
/// ```
/// let reply = escrow_wire::dtm::encode_all_of_gid(None, "");
/// assert_eq!(reply.body, r#"{"next_position":"","transactions":null}"#);
/// ```
pub fn encode_all_of_gid(txn: Option<&Txn>, position: &str) -> Reply {
    let transactions = txn.map(|txn| vec![TransactionRow::of_txn(txn)]);
    Reply::json(200, &All { next_position: position, transactions })
}

#[derive(Serialize)]
struct All<'a> {
    next_position: &'a str,
    transactions: Option<Vec<TransactionRow<'a>>>,
}

/// Unset fields are left out, never `null`: C# reads the times into types that cannot hold it, and ids into 32 bits.
#[derive(Serialize)]
struct TransactionRow<'a> {
    id: i32,
    create_time: Time,
    update_time: Time,
    gid: &'a str,
    trans_type: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Masked::is_empty")]
    query_prepared: Masked<'a>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback_time: Option<Time>,
    #[serde(skip_serializing_if = "Masked::is_empty")]
    rollback_reason: Masked<'a>,
    #[serde(skip_serializing_if = "String::is_empty")]
    options: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    custom_data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cron_interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cron_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    attention: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention_since: Option<Time>,
    #[serde(flatten)]
    inline: OptionsRow<'a>,
}

impl<'a> TransactionRow<'a> {
    fn of_txn(txn: &'a Txn) -> Self {
        let (def, progress) = (&*txn.def, &txn.progress);
        let inline = OptionsRow::of(txn.options(), progress.retries);
        let attention = progress.attention.as_ref();
        Self {
            query_prepared: Masked(&def.check_back_url),
            rollback_reason: Masked(progress.reason.as_deref().unwrap_or_default()),
            options: serde_json::to_string(&inline).expect("options can be written as JSON"),
            custom_data: txn.custom_data(),
            attention: attention.is_some(),
            attention_reason: attention.map(|a| attention_reason(txn, a)),
            attention_since: attention.map(|a| Time(a.since)),
            inline,
            ..Self::new(Common {
                gid: &def.gid,
                pattern: def.pattern,
                status: progress.status,
                created_at: def.created_at,
                updated_at: progress.updated_at,
                finished_at: progress.finished_at,
                next_run_at: progress.next_run_at,
                business_key: def.business_key.as_ref(),
            })
        }
    }

    fn of_listed(listed: &'a ListedTxn) -> Self {
        Self {
            attention: listed.attention,
            ..Self::new(Common {
                gid: &listed.gid,
                pattern: listed.pattern,
                status: listed.status,
                created_at: listed.created_at,
                updated_at: listed.updated_at,
                finished_at: listed.finished_at,
                next_run_at: listed.next_run_at,
                business_key: listed.business_key.as_ref(),
            })
        }
    }

    fn new(common: Common<'a>) -> Self {
        let finished = common.finished_at.map(Time);
        let (finish_time, rollback_time) = match common.status {
            Status::Committed => (finished, None),
            Status::Aborted | Status::Stopped => (None, finished),
            Status::Prepared | Status::Submitted | Status::Aborting => (None, None),
        };
        let wait = common.next_run_at.map(|at| at.since(common.updated_at));
        Self {
            id: 0,
            create_time: Time(common.created_at),
            update_time: Time(common.updated_at),
            gid: common.gid.as_str(),
            trans_type: trans_type(common.pattern),
            status: status_word(common.status),
            query_prepared: Masked(""),
            protocol: "http",
            finish_time,
            rollback_time,
            rollback_reason: Masked(""),
            options: String::new(),
            custom_data: "",
            // How long this wait is as a whole. DTM shows the interval that its next pass would start from.
            next_cron_interval: wait.map(|wait| wait.as_secs().max(1)),
            next_cron_time: common.next_run_at.map(Time),
            business_key: common.business_key.map(BusinessKey::as_str),
            attention: false,
            attention_reason: None,
            attention_since: None,
            inline: OptionsRow::default(),
        }
    }
}

/// What a whole transaction and one of a list have in common.
struct Common<'a> {
    gid: &'a Gid,
    pattern: Pattern,
    status: Status,
    created_at: Timestamp,
    updated_at: Timestamp,
    finished_at: Option<Timestamp>,
    next_run_at: Option<Timestamp>,
    business_key: Option<&'a BusinessKey>,
}

/// In our words only: the participant's answer may contain the word that makes C# take the whole reply for an error.
fn attention_reason(txn: &Txn, attention: &Attention) -> String {
    let branch = attention.call.branch.and_then(|index| txn.def.branches.get(index));
    let branch = branch.map_or("00", |branch| branch.id.as_str());
    format!("{branch} {}: {}", op_word(attention.call.op), attention.reason)
}

/// The options that were set, in DTM's keys and order; `concurrent` always.
#[derive(Default, Serialize)]
struct OptionsRow<'a> {
    #[serde(skip_serializing_if = "is_false")]
    wait_result: bool,
    #[serde(skip_serializing_if = "is_zero")]
    timeout_to_fail: u64,
    #[serde(skip_serializing_if = "is_zero")]
    request_timeout: u64,
    #[serde(skip_serializing_if = "is_zero")]
    retry_interval: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "header_names")]
    branch_headers: &'a [(String, String)],
    concurrent: bool,
    #[serde(skip_serializing_if = "is_zero")]
    retry_limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    retry_count: u64,
}

impl<'a> OptionsRow<'a> {
    fn of(options: &'a Options, retries: u32) -> Self {
        Self {
            wait_result: options.wait_result,
            timeout_to_fail: options.timeout_to_fail.map_or(0, |d| d.as_secs()),
            request_timeout: options.request_timeout.map_or(0, |d| d.as_secs()),
            retry_interval: options.retry_interval.map_or(0, |d| d.as_secs()),
            branch_headers: &options.branch_headers,
            concurrent: options.concurrent,
            retry_limit: options.retry_limit.into(),
            retry_count: retries.into(),
        }
    }
}

/// Their values are often secrets.
fn header_names<S: Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(headers.len()))?;
    for (name, _) in headers {
        map.serialize_entry(name, MASK)?;
    }
    map.end()
}

/// One operation of a branch.
#[derive(Serialize)]
struct BranchRow<'a> {
    id: i32,
    create_time: Time,
    update_time: Time,
    gid: &'a str,
    #[serde(skip_serializing_if = "Masked::is_empty")]
    url: Masked<'a>,
    #[serde(skip_serializing_if = "Payload::is_empty")]
    bin_data: Payload<'a>,
    branch_id: &'a str,
    op: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<Time>,
}

/// Per branch the operation that turns it back, where there is one, then the one that completes it.
fn branch_rows(txn: &Txn) -> Vec<BranchRow<'_>> {
    let forward_op = txn.def.pattern.forward_op();
    let backward_op = txn.def.pattern.backward_op();
    let mut rows = Vec::new();
    for (branch, progress) in txn.def.branches.iter().zip(&txn.progress.branches) {
        if let Some(op) = backward_op {
            rows.push(branch_row(txn, branch, op, &branch.backward_url, &progress.backward));
        }
        rows.push(branch_row(txn, branch, forward_op, &branch.forward_url, &progress.forward));
    }
    for (id, row) in (1..).zip(&mut rows) {
        row.id = id;
    }
    rows
}

fn branch_row<'a>(
    txn: &'a Txn,
    branch: &'a Branch,
    op: BranchOp,
    url: &'a str,
    progress: &OpProgress,
) -> BranchRow<'a> {
    BranchRow {
        id: 0,
        create_time: Time(txn.def.created_at),
        update_time: Time(progress.finished_at.unwrap_or(txn.def.created_at)),
        gid: txn.def.gid.as_str(),
        url: Masked(url),
        bin_data: Payload(&branch.payload),
        branch_id: branch.id.as_str(),
        op: op_word(op),
        status: match progress.status {
            OpStatus::Open => "prepared",
            OpStatus::Done => "succeed",
            OpStatus::Refused => "failed",
        },
        finish_time: progress.finished_at.map(Time),
    }
}

/// RFC 3339, in UTC.
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX);
        serializer.collect_str(&jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX))
    }
}

/// Standard base64.
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

const MASK: &str = "***";

/// A text with names and passwords in its URLs (`http://name:password@host`) masked.
pub(super) struct Masked<'a>(pub(super) &'a str);

impl Masked<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, after)) = rest.split_once("://") {
            write!(f, "{before}://")?;
            let ends_authority = |c: char| matches!(c, '/' | '?' | '#' | '"') || c.is_whitespace();
            let authority = &after[..after.find(ends_authority).unwrap_or(after.len())];
            rest = match authority.rfind('@') {
                Some(at) => {
                    f.write_str(MASK)?;
                    &after[at..]
                }
                None => after,
            };
        }
        f.write_str(rest)
    }
}

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
