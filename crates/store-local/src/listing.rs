//! Lists, as SQL: one page of one database.
//!
//! There is no index in the order of lists, which would cost every write as much as all others together. The index by state
//! and pattern has the order within each pair, of which there are few: a list merges these ranges, and sorts nothing.
//!
//! SQL only says what is in the index. Everything else that a query asks for is compared with the row once it has been read
//! and its check is right: a row that was altered must not be left out because of that.

use escrow_store::codec::tags;
use escrow_store::{ListQuery, StoreError, TxnSummary};
use escrow_txn::{Gid, Pattern, Status, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::columns::{self, micros};
use crate::database::Failure;
use crate::ledger::Index;

/// The states of finished transactions.
pub(crate) const FINISHED: [Status; 3] = [Status::Committed, Status::Aborted, Status::Stopped];

/// All states. That no finished transaction is among the unfinished ones is not for a list to decide.
pub(crate) const ALL: [Status; 6] =
    [Status::Prepared, Status::Submitted, Status::Aborting, Status::Committed, Status::Aborted, Status::Stopped];

pub(crate) const PATTERNS: [Pattern; 4] = [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message];

/// The first `limit` transactions of a query, newest first, among those in these states that finished at `finished_from` or
/// later, without those that `skip` names. The limit of the query itself is not used.
pub(crate) fn page(
    connection: &Connection,
    query: &ListQuery,
    states: &[Status],
    finished_from: Option<Timestamp>,
    limit: usize,
    skip: &mut dyn FnMut(&Gid) -> Result<bool, StoreError>,
) -> Result<Vec<TxnSummary>, StoreError> {
    let mut items = Vec::new();
    let Some(select) = Select::of(query, states, finished_from) else { return Ok(items) };
    let mut statement = connection.prepare_cached(&select.sql).map_err(Failure::of)?;
    let mut rows = statement.query(params_from_iter(select.values)).map_err(Failure::of)?;
    while items.len() < limit
        && let Some(row) = rows.next().map_err(Failure::of)?
    {
        let gid = columns::gid(row, 0).map_err(Failure::of)?;
        let txn = columns::head(&gid, row)?.txn;
        let is_asked_for = txn.matches(query)
            && states.contains(&txn.head.status)
            && finished_from.is_none_or(|from| txn.head.finished_at >= Some(from));
        if is_asked_for && !skip(&gid)? {
            items.push(txn.summary());
        }
    }
    Ok(items)
}

/// The index that a query goes through.
pub(crate) fn index_of(query: &ListQuery) -> Index {
    if query.waiting_past.is_some() {
        // Those that wait so long are few, and are sorted.
        Index::Due
    } else if query.business_key.is_some() {
        Index::BusinessKey
    } else if query.attention == Some(true) {
        Index::Attention
    } else {
        Index::Kind
    }
}

/// A statement and its values. Text from outside is only ever a value.
struct Select {
    sql: String,
    values: Vec<Value>,
}

impl Select {
    /// `None`: nothing can match.
    fn of(query: &ListQuery, states: &[Status], finished_from: Option<Timestamp>) -> Option<Self> {
        let asked = |state: &&Status| query.statuses.is_empty() || query.statuses.contains(state);
        let states: Vec<u8> = states.iter().filter(asked).map(|state| tags::of_status(*state)).collect();
        if states.is_empty() {
            return None;
        }
        let index = index_of(query);
        let mut all = Conditions::default();
        let ranges = match index {
            Index::Kind => {
                all.add_times(query);
                if let Some(from) = finished_from {
                    all.add("finished_at >=", micros(from));
                }
                let patterns = PATTERNS.iter().filter(|&&known| query.pattern.is_none_or(|asked| asked == known));
                let patterns: Vec<u8> = patterns.map(|pattern| tags::of_pattern(*pattern)).collect();
                let pairs = states.iter().flat_map(|state| patterns.iter().map(move |pattern| (state, pattern)));
                pairs.map(|(state, pattern)| format!("status = {state} AND pattern = {pattern}")).collect()
            }
            Index::BusinessKey => {
                all.add_times(query);
                let key = query.business_key.as_ref().map_or("", |key| key.as_str());
                all.add("business_key =", key.to_owned());
                vec!["true".to_owned()]
            }
            Index::Attention => {
                all.add_times(query);
                // A literal, as in the index.
                vec!["attention = 1".to_owned()]
            }
            _ => {
                all.add("next_run_at >", query.waiting_past.map_or(0, micros));
                vec!["owner IS NULL AND held IN (0, 1)".to_owned()]
            }
        };
        let select = |range: String| {
            let (head, index) = (columns::HEAD, index.name());
            format!("SELECT {head} FROM txn INDEXED BY {index} WHERE {range}{}", all.sql)
        };
        let selects: Vec<_> = ranges.into_iter().map(select).collect();
        let sql = format!("{} ORDER BY created_at DESC, gid DESC", selects.join(" UNION ALL "));
        Some(Self { sql, values: all.values })
    }
}

/// Conditions that hold in every range.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a value, and returns how a condition names it.
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    fn add(&mut self, compared: &str, value: impl Into<Value>) {
        let value = self.value(value);
        self.sql.push_str(&format!(" AND {compared} {value}"));
    }

    /// Both ends of the order.
    fn add_times(&mut self, query: &ListQuery) {
        // Those that a query can set are one place in the order. The empty text comes before every gid.
        let after = query.after.as_ref().map(|after| (after.created_at, after.gid.as_str()));
        let before = query.created_before.map(|before| (before, ""));
        if let Some((at, gid)) = after.into_iter().chain(before).min() {
            let (at, gid) = (self.value(micros(at)), self.value(gid.to_owned()));
            self.sql.push_str(&format!(" AND (created_at, gid) < ({at}, {gid})"));
        }
        if let Some(from) = query.created_from {
            self.add("created_at >=", micros(from));
        }
    }
}

#[cfg(test)]
mod tests;
