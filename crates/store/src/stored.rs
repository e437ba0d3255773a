use bytes::Bytes;
use escrow_txn::{BusinessKey, Gid, Pattern, Timestamp, Txn};

use crate::codec::{self, Records};
use crate::{Change, Cursor, Head, ListQuery, NewTxn, StoreError, TxnSummary, Version, Versioned, WriteId};

/// A history longer than this is cut down to the attempts that count.
pub const HISTORY_BYTES_MAX: usize = 16 * 1024;

/// One transaction as stores keep it: what they look at, and the four blobs of its records.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTxn {
    /// Its id.
    pub gid: Gid,
    /// How often it has been written.
    pub version: Version,
    /// The last write.
    pub write: WriteId,
    /// Its rules.
    pub pattern: Pattern,
    /// When it was created.
    pub created_at: Timestamp,
    /// What people know it by.
    pub business_key: Option<BusinessKey>,
    /// What stores look at.
    pub head: Head,
    /// See [`Records::definition`].
    pub definition: Bytes,
    /// See [`Records::added`].
    pub added: Bytes,
    /// See [`Records::progress`].
    pub progress: Bytes,
    /// See [`Records::history`].
    pub history: Bytes,
}

/// A [`Change`] whose records are encoded, which its driver's task does: a store's writer has no time for it.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedChange {
    /// Which transaction.
    pub gid: Gid,
    /// The version that was read.
    pub expected: Version,
    /// The write.
    pub write: WriteId,
    /// What stores look at.
    pub head: Head,
    /// The progress as a record.
    pub progress: Bytes,
    /// Branch records, to be appended.
    pub added: Bytes,
    /// Attempt records, to be appended.
    pub history: Bytes,
}

impl From<Change> for EncodedChange {
    fn from(change: Change) -> Self {
        Self {
            gid: change.gid,
            expected: change.expected,
            write: change.write,
            head: change.head,
            progress: change.progress,
            added: codec::encode_branches(&change.add),
            history: codec::encode_attempts(&change.history),
        }
    }
}

impl EncodedChange {
    /// How much memory it holds, about.
    pub fn bytes(&self) -> usize {
        self.progress.len() + self.added.len() + self.history.len()
    }
}

impl From<NewTxn> for StoredTxn {
    fn from(new: NewTxn) -> Self {
        Self {
            gid: new.gid,
            version: Version::FIRST,
            write: new.write,
            pattern: new.pattern,
            created_at: new.created_at,
            business_key: new.business_key,
            head: new.head,
            definition: new.definition,
            added: Bytes::new(),
            progress: new.progress,
            history: Bytes::new(),
        }
    }
}

impl StoredTxn {
    /// Takes a change over that starts from this version.
    pub fn apply(&mut self, change: &EncodedChange) {
        self.version = change.expected.next();
        self.write = change.write;
        self.head = change.head.clone();
        self.progress = change.progress.clone();
        self.added = concat(&self.added, &change.added);
        self.history = concat(&self.history, &change.history);
        if self.history.len() > HISTORY_BYTES_MAX
            // Damage is kept as it is: whoever loads the transaction is told.
            && let Ok(last) = codec::last_attempts(&self.history)
        {
            self.history = Bytes::copy_from_slice(last);
        }
    }

    /// The transaction itself.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub fn decode(&self) -> Result<Versioned<Txn>, StoreError> {
        let records = Records {
            definition: &self.definition,
            added: &self.added,
            progress: &self.progress,
            history: &self.history,
        };
        Ok(Versioned { version: self.version, value: codec::assemble(&self.gid, &records)? })
    }

    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { created_at: self.created_at, gid: self.gid.clone() }
    }

    /// Whether a list with this query shows it.
    pub fn matches(&self, query: &ListQuery) -> bool {
        let before = |after: &Cursor| (self.created_at, &self.gid) < (after.created_at, &after.gid);
        query.after.as_ref().is_none_or(before)
            && (query.statuses.is_empty() || query.statuses.contains(&self.head.status))
            && query.pattern.is_none_or(|pattern| pattern == self.pattern)
            && (query.business_key.is_none() || query.business_key == self.business_key)
            && query.created_from.is_none_or(|from| self.created_at >= from)
            && query.created_before.is_none_or(|before| self.created_at < before)
            && query.attention.is_none_or(|attention| attention == self.head.attention)
            && query.waiting_past.is_none_or(|past| self.head.next_run_at.is_some_and(|at| at > past))
    }

    /// The transaction as lists show it.
    pub fn summary(&self) -> TxnSummary {
        TxnSummary {
            gid: self.gid.clone(),
            pattern: self.pattern,
            status: self.head.status,
            created_at: self.created_at,
            updated_at: self.head.updated_at,
            finished_at: self.head.finished_at,
            next_run_at: self.head.next_run_at,
            business_key: self.business_key.clone(),
            attention: self.head.attention,
        }
    }

    /// How much memory it holds, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.definition.len() + self.added.len() + self.progress.len() + self.history.len()
    }
}

fn concat(stored: &Bytes, more: &Bytes) -> Bytes {
    if more.is_empty() { stored.clone() } else { [&**stored, &**more].concat().into() }
}
