//! Lists, as SQL: one page of one database.
//!
//! There is no index in the order of lists, which would cost every write as much as all others together. The index by state
//! and pattern has the order within each pair, of which there are few: a list merges these ranges, reads no row that it does
//! not show, and sorts nothing.

use escrow_store::codec::tags;
use escrow_store::{ListQuery, StoreError, TxnSummary};
use escrow_txn::{Gid, Pattern, Status, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::columns::{self, micros};
use crate::database::Failure;

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
        let item = columns::summary(row)?;
        if !skip(&item.gid)? {
            items.push(item);
        }
    }
    Ok(items)
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
        let patterns = PATTERNS.iter().filter(|&&known| query.pattern.is_none_or(|asked| asked == known));
        let patterns: Vec<u8> = patterns.map(|pattern| tags::of_pattern(*pattern)).collect();
        let mut all = Conditions::default();
        all.add_common(query, finished_from);
        let kinds = || format!("status IN ({}) AND pattern IN ({})", join(&states), join(&patterns));
        let ranges = if let Some(past) = query.waiting_past {
            // Those that wait so long are few, and are sorted.
            let past = all.value(micros(past));
            vec![("txn_due", format!("held IN (0, 1) AND owner IS NULL AND next_run_at > {past} AND {}", kinds()))]
        } else if query.business_key.is_some() {
            vec![("txn_business_key", kinds())]
        } else if query.attention == Some(true) {
            vec![("txn_attention", kinds())]
        } else {
            let pairs = states.iter().flat_map(|state| patterns.iter().map(move |pattern| (state, pattern)));
            pairs.map(|(state, pattern)| ("txn_kind", format!("status = {state} AND pattern = {pattern}"))).collect()
        };
        let select = |(index, condition): (&str, String)| {
            format!("SELECT {} FROM txn INDEXED BY {index} WHERE {condition}{}", columns::SUMMARY, all.sql)
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

    fn add(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    fn add_common(&mut self, query: &ListQuery, finished_from: Option<Timestamp>) {
        // Both ends that a query can set are one place in the order. The empty text comes before every gid.
        let after = query.after.as_ref().map(|after| (after.created_at, after.gid.as_str()));
        let before = query.created_before.map(|before| (before, ""));
        if let Some((at, gid)) = after.into_iter().chain(before).min() {
            let (at, gid) = (self.value(micros(at)), self.value(gid.to_owned()));
            self.add(&format!("(created_at, gid) < ({at}, {gid})"));
        }
        if let Some(from) = query.created_from {
            let from = self.value(micros(from));
            self.add(&format!("created_at >= {from}"));
        }
        if let Some(from) = finished_from {
            let from = self.value(micros(from));
            self.add(&format!("finished_at >= {from}"));
        }
        if let Some(key) = &query.business_key {
            let key = self.value(key.as_str().to_owned());
            self.add(&format!("business_key = {key}"));
        }
        // Literals, so that the index of those that ask for attention can be used.
        match query.attention {
            Some(true) => self.add("attention = 1"),
            Some(false) => self.add("attention = 0"),
            None => {}
        }
    }
}

fn join(numbers: &[u8]) -> String {
    numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
