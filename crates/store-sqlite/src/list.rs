//! Lists, as SQL.

use escrow_store::codec::tags;
use escrow_store::{Cursor, ListQuery, PAGE_MAX, Page, StoreError, TxnSummary};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::columns::{self, micros};
use crate::error::Failure;

/// Conditions that all must hold, and their values. Text from outside is only ever a value.
#[derive(Debug, Default)]
struct Where {
    conditions: Vec<String>,
    values: Vec<Value>,
    /// Which index to use; empty: the best one by the database's judgement.
    index: &'static str,
}

impl Where {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    fn of(query: &ListQuery) -> Self {
        let mut all = Self::default();
        if let Some(past) = query.waiting_past {
            // Those that wait so long are few, and are sorted; the order's own index would lead through all there ever were.
            all.index = "INDEXED BY txn_due";
            all.and("owner IS NULL AND next_run_at > ?", [micros(past).into()]);
        }
        if let Some(after) = &query.after {
            let gid = Value::from(after.gid.as_str().to_owned());
            all.and("(created_at, gid) < (?, ?)", [micros(after.created_at).into(), gid]);
        }
        if !query.statuses.is_empty() {
            let marks = vec!["?"; query.statuses.len()].join(", ");
            let statuses = query.statuses.iter().map(|status| i64::from(tags::of_status(*status)).into());
            all.and(&format!("status IN ({marks})"), statuses);
        }
        if let Some(pattern) = query.pattern {
            all.and("pattern = ?", [i64::from(tags::of_pattern(pattern)).into()]);
        }
        if let Some(key) = &query.business_key {
            all.and("business_key = ?", [key.as_str().to_owned().into()]);
        }
        if let Some(from) = query.created_from {
            all.and("created_at >= ?", [micros(from).into()]);
        }
        if let Some(before) = query.created_before {
            all.and("created_at < ?", [micros(before).into()]);
        }
        // Literals, so that the index of those that ask for attention can be used.
        match query.attention {
            Some(true) => all.and("attention = 1", []),
            Some(false) => all.and("attention = 0", []),
            None => {}
        }
        all
    }

    fn sql(&self) -> String {
        let conditions = if self.conditions.is_empty() { "1".to_owned() } else { self.conditions.join(" AND ") };
        let (columns, index) = (columns::SUMMARY, self.index);
        format!("SELECT {columns} FROM txn {index} WHERE {conditions} ORDER BY created_at DESC, gid DESC LIMIT ?")
    }
}

/// The statement of a query.
#[cfg(test)]
pub(crate) fn sql(query: &ListQuery) -> String {
    Where::of(query).sql()
}

/// One page.
pub(crate) fn list(connection: &Connection, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
    let limit = query.limit.get().min(PAGE_MAX);
    let conditions = Where::of(query);
    let sql = conditions.sql();
    let mut values = conditions.values;
    // One more than asked for: whether there is another page.
    values.push((i64::from(limit) + 1).into());
    let mut statement = connection.prepare_cached(&sql).map_err(Failure::of)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(Failure::of)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(Failure::of)? {
        items.push(columns::summary(row)?);
    }
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| Cursor { created_at: last.created_at, gid: last.gid.clone() });
    Ok(Page { items, next })
}
