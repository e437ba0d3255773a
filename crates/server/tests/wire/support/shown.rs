use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// A transaction as `query` shows it.
#[derive(Debug)]
pub(crate) struct Shown(pub(crate) Value);

impl Shown {
    pub(crate) fn transaction(&self) -> &Value {
        &self.0["transaction"]
    }

    pub(crate) fn branches(&self) -> &[Value] {
        self.0["branches"].as_array().unwrap()
    }

    /// Empty if there is no such transaction.
    pub(crate) fn status(&self) -> &str {
        self.transaction()["status"].as_str().unwrap_or_default()
    }

    /// Empty if there is none.
    pub(crate) fn reason(&self) -> &str {
        self.transaction()["rollback_reason"].as_str().unwrap_or_default()
    }

    /// The statuses of all operations, in the order of the rows.
    pub(crate) fn ops(&self) -> Vec<&str> {
        self.branches().iter().map(|row| row["status"].as_str().unwrap()).collect()
    }

    /// Branch id and operation of every row, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.branches().iter().map(|row| text(&row["branch_id"]) + " " + &text(&row["op"])).collect()
    }

    /// A time of the transaction.
    pub(crate) fn time(&self, key: &str) -> Timestamp {
        let text = self.transaction()[key].as_str().unwrap_or_else(|| panic!("no {key} in {self:?}"));
        text.parse().unwrap()
    }

    /// From one time of the transaction to another.
    pub(crate) fn between(&self, from: &str, to: &str) -> Duration {
        self.time(to)
            .duration_since(self.time(from))
            .try_into()
            .unwrap_or_else(|_| panic!("{from} after {to}: {self:?}"))
    }
}
