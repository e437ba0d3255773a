use escrow_store::StoredTxn;
use escrow_txn::Timestamp;

use crate::columns::micros;
use crate::database::Meta;
use crate::ledger::Ledger;

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

    fn with(self, at: Timestamp) -> Self {
        let at = micros(at);
        Self { first: self.first.min(at), last: self.last.max(at) }
    }

    /// A span that was saved under these keys.
    fn of(meta: &Meta, [first, last]: [&'static str; 2]) -> rusqlite::Result<Self> {
        Ok(Self { first: meta.number(first)?, last: meta.number(last)? })
    }

    fn save(self, meta: &mut Meta, [first, last]: [&'static str; 2]) {
        meta.set(first, self.first);
        meta.set(last, self.last);
    }
}

/// Keys of the table `meta`.
const CREATED: [&str; 2] = ["created_first", "created_last"];
const FINISHED: [&str; 2] = ["finished_first", "finished_last"];

impl Bounds {
    /// The bounds that were saved.
    ///
    /// # Errors
    /// [`crate::database::Damage`].
    pub(super) fn of(meta: &Meta) -> rusqlite::Result<Self> {
        let rows = Ledger::of(meta)?.rows;
        if rows == 0 {
            return Ok(Self { rows, created: Span::EMPTY, finished: Span::EMPTY });
        }
        Ok(Self { rows, created: Span::of(meta, CREATED)?, finished: Span::of(meta, FINISHED)? })
    }

    /// The bounds with this row too.
    pub(super) fn with(self, txn: &StoredTxn) -> Self {
        let finished = txn.head.finished_at.map_or(self.finished, |at| self.finished.with(at));
        Self { created: self.created.with(txn.created_at), finished, ..self }
    }

    /// Notes what is to be saved; the number of rows is the ledger's.
    pub(super) fn save(self, meta: &mut Meta) {
        self.created.save(meta, CREATED);
        self.finished.save(meta, FINISHED);
    }
}
