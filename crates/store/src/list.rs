use std::num::NonZeroU32;

use escrow_txn::{BusinessKey, Gid, Pattern, Status, Timestamp};

/// The longest page a store returns.
pub const PAGE_MAX: u32 = 1_000;

/// Which transactions to list. All filters that are set must hold.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// At most this many, and never more than [`PAGE_MAX`].
    pub limit: NonZeroU32,
    /// Where the page before ended; `None`: from the newest.
    pub after: Option<Cursor>,
    /// Only these states; empty: all.
    pub statuses: Vec<Status>,
    /// Only this pattern.
    pub pattern: Option<Pattern>,
    /// Only those known by this key.
    pub business_key: Option<BusinessKey>,
    /// Only those created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Only those created before this time.
    pub created_before: Option<Timestamp>,
    /// Only those that ask for a human.
    pub attention: Option<bool>,
    /// Only those that wait until after this time.
    pub waiting_past: Option<Timestamp>,
}

impl ListQuery {
    /// The newest `limit` transactions.
    pub fn newest(limit: NonZeroU32) -> Self {
        Self {
            limit,
            after: None,
            statuses: Vec::new(),
            pattern: None,
            business_key: None,
            created_from: None,
            created_before: None,
            attention: None,
            waiting_past: None,
        }
    }
}

/// One transaction in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct TxnSummary {
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
    /// When it goes on.
    pub next_run_at: Option<Timestamp>,
    /// What people know it by.
    pub business_key: Option<BusinessKey>,
    /// Whether a human should look.
    pub attention: bool,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<Cursor>,
}

/// A place in a list: the (creation time, gid) of the last item seen. Opaque outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The creation time.
    pub created_at: Timestamp,
    /// The gid.
    pub gid: Gid,
}

/// The text is not a cursor that [`Cursor::to_text`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position that a list returned")]
pub struct InvalidCursor;

impl Cursor {
    /// The cursor as text, to give out.
    pub fn to_text(&self) -> String {
        format!("{}-{}", self.created_at.as_micros(), self.gid)
    }

    /// Reads what [`Cursor::to_text`] wrote.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        let (micros, gid) = text.split_once('-').ok_or(InvalidCursor)?;
        let micros = micros.parse().map_err(|_| InvalidCursor)?;
        let gid = Gid::parse(gid).map_err(|_| InvalidCursor)?;
        Ok(Self { created_at: Timestamp::from_micros(micros), gid })
    }
}
