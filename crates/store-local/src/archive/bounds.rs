use escrow_store::StoredTxn;
use escrow_txn::Timestamp;
use rusqlite::Connection;

use crate::columns::micros;
use crate::database;

/// What is known of a partition's rows without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) rows: u64,
    /// When they were created, in microseconds.
    pub(super) created: Span,
    /// When they became final, in microseconds.
    pub(super) finished: Span,
}

/// A first and a last moment, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    const EMPTY: Self = Self { first: i64::MAX, last: i64::MIN };
    const UNKNOWN: Self = Self { first: i64::MIN, last: i64::MAX };

    fn with(self, at: Timestamp) -> Self {
        let at = micros(at);
        Self { first: self.first.min(at), last: self.last.max(at) }
    }

    /// Reads a span that was saved under these keys.
    fn read(connection: &Connection, first: &str, last: &str) -> rusqlite::Result<Option<Self>> {
        let (first, last) = (database::meta(connection, first)?, database::meta(connection, last)?);
        Ok(first.zip(last).map(|(first, last)| Self { first, last }))
    }

    fn save(self, connection: &Connection, first: &str, last: &str) -> rusqlite::Result<()> {
        database::set_meta(connection, first, self.first)?;
        database::set_meta(connection, last, self.last)
    }
}

/// Keys of the table `meta`.
const CREATED: [&str; 2] = ["created_first", "created_last"];
const FINISHED: [&str; 2] = ["finished_first", "finished_last"];

impl Bounds {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let rows = rows(connection)?;
        // Rows without bounds can be anywhere: nothing is left out because of them, and nothing removed.
        let missing = if rows == 0 { Span::EMPTY } else { Span::UNKNOWN };
        let created = Span::read(connection, CREATED[0], CREATED[1])?.unwrap_or(missing);
        let finished = Span::read(connection, FINISHED[0], FINISHED[1])?.unwrap_or(missing);
        Ok(Self { rows, created, finished })
    }

    /// The bounds with these rows too; their number is not counted.
    pub(super) fn with(mut self, txns: &[&StoredTxn]) -> Self {
        for txn in txns {
            self.created = self.created.with(txn.created_at);
            if let Some(at) = txn.head.finished_at {
                self.finished = self.finished.with(at);
            }
        }
        self
    }

    /// Saves them with the number of rows that there are.
    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<Self> {
        self.created.save(connection, CREATED[0], CREATED[1])?;
        self.finished.save(connection, FINISHED[0], FINISHED[1])?;
        Ok(Self { rows: rows(connection)?, ..self })
    }
}

/// Rows are never deleted, so the last number is how many there are.
fn rows(connection: &Connection) -> rusqlite::Result<u64> {
    let last: Option<i64> = connection.prepare_cached("SELECT max(seq) FROM txn")?.query_row((), |row| row.get(0))?;
    Ok(last.unwrap_or(0).unsigned_abs())
}
