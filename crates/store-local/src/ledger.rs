//! What a database keeps about its own rows, so that a part of it that is lost or altered is noticed.
//!
//! A look-up that finds nothing reads an index and no row, and so does a list that leaves something out. SQLite's pages have
//! no checksums; so for each index there is the sum of the checksums of its entries, which every write brings up to date. An
//! index is compared with its sum, by reading all of it, before an answer depends on what is not in it: once after the
//! database was opened.
//!
//! What is missing never leaves a sum as it is: no part of a sum is negative.

use std::sync::{Mutex, PoisonError};

use escrow_store::StoredTxn;
use escrow_store::codec::tags;
use escrow_txn::{BusinessKey, Gid};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::checksum::Checksum;
use crate::columns::{self, Stored, micros};
use crate::database::{Damage, Meta};

/// The key of the number of rows.
const ROWS: &str = "rows";

/// An index of the table `txn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Gid,
    Kind,
    BusinessKey,
    Attention,
    Due,
    InFlight,
    Held,
}

impl Index {
    pub(crate) const ALL: [Self; 7] =
        [Self::Gid, Self::Kind, Self::BusinessKey, Self::Attention, Self::Due, Self::InFlight, Self::Held];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gid => "txn_gid",
            Self::Kind => "txn_kind",
            Self::BusinessKey => "txn_business_key",
            Self::Attention => "txn_attention",
            Self::Due => "txn_due",
            Self::InFlight => "txn_in_flight",
            Self::Held => "txn_held",
        }
    }

    /// Where its sum stands in the table `meta`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Gid => "sum_gid",
            Self::Kind => "sum_kind",
            Self::BusinessKey => "sum_business_key",
            Self::Attention => "sum_attention",
            Self::Due => "sum_due",
            Self::InFlight => "sum_in_flight",
            Self::Held => "sum_held",
        }
    }

    /// All its entries, from itself alone.
    fn scan(self) -> &'static str {
        match self {
            Self::Gid => "SELECT gid FROM txn INDEXED BY txn_gid ORDER BY gid",
            Self::Kind => "SELECT status, pattern, created_at, gid, finished_at FROM txn INDEXED BY txn_kind",
            Self::BusinessKey => {
                "SELECT business_key, created_at, gid FROM txn INDEXED BY txn_business_key WHERE business_key IS NOT NULL"
            }
            Self::Attention => "SELECT created_at, gid FROM txn INDEXED BY txn_attention WHERE attention = 1",
            Self::Due => {
                "SELECT held, next_run_at, gid FROM txn INDEXED BY txn_due \
                 WHERE owner IS NULL AND next_run_at IS NOT NULL"
            }
            Self::InFlight => "SELECT gid FROM txn INDEXED BY txn_in_flight WHERE held = 0 AND owner IS NOT NULL",
            Self::Held => "SELECT gid FROM txn INDEXED BY txn_held WHERE held = 1",
        }
    }

    /// The checksum of the entry that a row has in it; 0 if it has none.
    fn entry(self, txn: &StoredTxn, held: bool) -> i64 {
        let head = &txn.head;
        let time = |at| ValueRef::Integer(micros(at));
        let gid = ValueRef::Text(txn.gid.as_str().as_bytes());
        let check = match (self, head.next_run_at, head.owner) {
            (Self::Gid, ..) => Checksum::of([gid]),
            (Self::Kind, ..) => {
                let tag = |tag: u8| ValueRef::Integer(tag.into());
                let (status, pattern) = (tag(tags::of_status(head.status)), tag(tags::of_pattern(txn.pattern)));
                Checksum::of([
                    status,
                    pattern,
                    time(txn.created_at),
                    gid,
                    head.finished_at.map_or(ValueRef::Null, time),
                ])
            }
            (Self::BusinessKey, ..) => {
                let Some(key) = txn.business_key.as_ref().map(BusinessKey::as_str) else { return 0 };
                Checksum::of([ValueRef::Text(key.as_bytes()), time(txn.created_at), gid])
            }
            (Self::Attention, ..) if head.attention => Checksum::of([time(txn.created_at), gid]),
            (Self::Due, Some(at), None) => Checksum::of([ValueRef::Integer(held.into()), time(at), gid]),
            (Self::InFlight, _, Some(_)) if !held => Checksum::of([gid]),
            (Self::Held, ..) if held => Checksum::of([gid]),
            (Self::Attention | Self::Due | Self::InFlight | Self::Held, ..) => return 0,
        };
        check.to_column()
    }
}

/// The number of rows, and the sums of the indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) rows: u64,
    /// `None`: the database has no such index.
    sums: [Option<i64>; Index::ALL.len()],
}

impl Ledger {
    /// What is kept.
    ///
    /// # Errors
    /// [`Damage`].
    pub(crate) fn of(meta: &Meta) -> rusqlite::Result<Self> {
        let sums = Index::ALL.map(|index| meta.find_number(index.key()));
        Ok(Self { rows: meta.number(ROWS)?.unsigned_abs(), sums })
    }

    /// The same of no rows.
    pub(crate) fn empty(&self) -> Self {
        Self { rows: 0, sums: self.sums.map(|sum| sum.map(|_| 0)) }
    }

    /// A row is there now.
    pub(crate) fn add(&mut self, txn: &StoredTxn, held: bool) {
        self.rows += 1;
        self.change(txn, held, 1);
    }

    /// A row is not there any more.
    pub(crate) fn remove(&mut self, Stored { txn, held }: &Stored) {
        self.rows = self.rows.saturating_sub(1);
        self.change(txn, *held, -1);
    }

    fn change(&mut self, txn: &StoredTxn, held: bool, sign: i64) {
        for (index, sum) in Index::ALL.into_iter().zip(&mut self.sums) {
            if let Some(sum) = sum {
                // Two billion entries of 32 bits fit.
                *sum = sum.wrapping_add(sign * index.entry(txn, held));
            }
        }
    }

    /// Notes what is to be kept.
    pub(crate) fn save(&self, meta: &mut Meta) {
        meta.set(ROWS, self.rows.cast_signed());
        for (index, sum) in Index::ALL.into_iter().zip(self.sums) {
            if let Some(sum) = sum {
                meta.set(index.key(), sum);
            }
        }
    }

    /// The indexes that a database has.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = Index> {
        let sums = self.sums;
        Index::ALL.into_iter().zip(sums).filter_map(|(index, sum)| sum.map(|_| index))
    }
}

/// Reads all of an index and compares it with its sum, in one state of the database.
///
/// # Errors
/// [`Damage`].
pub(crate) fn prove(connection: &Connection, index: Index) -> rusqlite::Result<()> {
    scan(connection, index, |_| Ok(()))
}

/// The same, with each gid on the way, in their order.
///
/// # Errors
/// [`Damage`].
pub(crate) fn gids(connection: &Connection, mut each: impl FnMut(Gid)) -> rusqlite::Result<()> {
    scan(connection, Index::Gid, |row| {
        each(columns::gid(row, 0)?);
        Ok(())
    })
}

fn scan(
    connection: &Connection,
    index: Index,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let kept = Meta::read(connection)?.number(index.key())?;
    let mut statement = connection.prepare(index.scan())?;
    let columns = statement.column_count();
    let mut rows = statement.query(())?;
    let mut sum: i64 = 0;
    while let Some(row) = rows.next()? {
        sum = sum.wrapping_add(Checksum::default().with_columns(row, 0..columns)?.to_column());
        each(row)?;
    }
    if sum == kept { Ok(()) } else { Err(Damage::Index { name: index.name() }.into()) }
}

/// Which indexes have been compared with their sums since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Proven([Mutex<bool>; Index::ALL.len()]);

impl Proven {
    /// Compares an index, unless that has been done. Whoever comes meanwhile waits for the result.
    pub(crate) fn ensure<E>(&self, index: Index, prove: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut proven = self.0[index as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if !*proven {
            prove()?;
            *proven = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_without_the_rows() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema/unfinished_1.sql")).unwrap();
        for index in Index::ALL {
            let sql = format!("EXPLAIN QUERY PLAN {}", index.scan());
            let plan: String = connection.query_row(&sql, (), |row| row.get(3)).unwrap();
            assert!(plan.contains(&format!("COVERING INDEX {}", index.name())), "{plan}");
        }
    }
}
