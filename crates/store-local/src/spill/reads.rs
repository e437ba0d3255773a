//! What is read from the database.

use escrow_store::codec::tags;
use escrow_store::{ListQuery, StoreError, TxnSummary};
use escrow_txn::{Gid, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{SETTINGS, SavedSetting, Spill, check_of_setting};
use crate::columns::{self, Stored, micros};
use crate::database::{Damage, Failure, Meta, Turn};
use crate::filter::Fingerprint;
use crate::finding::{self, Finding};
use crate::ledger::{self, Index};
use crate::listing;

impl Spill {
    /// Whether a gid may be in the database, from memory; until the filter is built, always.
    pub(crate) fn may_hold(&self, gid: &Gid) -> bool {
        self.filter.may_hold(Fingerprint::of(gid))
    }

    /// Compares an index with what is kept about it, unless that has been done: before an answer depends on what is not in it.
    ///
    /// # Errors
    /// [`StoreError`]; it can be tried again.
    pub(crate) fn prove(&self, index: Index) -> Result<(), StoreError> {
        self.proven.ensure(index, || match index {
            Index::Gid => self.build_filter(),
            index => self
                .database
                .read_state(|connection| ledger::prove(connection, index).map_err(|error| Failure::of(error).into())),
        })
    }

    fn build_filter(&self) -> Result<(), StoreError> {
        let fingerprints = self.database.read_state(|connection| {
            let mut fingerprints = Vec::new();
            let read = ledger::gids(connection, |gid| fingerprints.push(Fingerprint::of(&gid)));
            read.map(|()| fingerprints).map_err(|error| Failure::of(error).into())
        })?;
        self.filter.build(fingerprints);
        Ok(())
    }

    /// The transaction under a gid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn find(&self, gid: &Gid) -> Result<Option<Stored>, StoreError> {
        if !self.may_hold(gid) {
            return Ok(None);
        }
        let found = self.database.read(Turn::LookUp, |connection| columns::find(connection, gid))?;
        if found.is_none() {
            self.prove(Index::Gid)?;
        }
        Ok(found)
    }

    /// Up to `limit` transactions of a query, newest first, without those that `skip` names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        skip: &mut dyn FnMut(&Gid) -> bool,
    ) -> Result<Vec<TxnSummary>, StoreError> {
        self.prove(listing::index_of(query))?;
        self.database.read(Turn::List, |connection| {
            listing::page(connection, query, &listing::ALL, None, limit, &mut |gid| Ok(skip(gid)))
        })
    }

    /// Up to `limit` transactions that wait, by the time at which they are due, behind a place in that order. Those on hold
    /// are not among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn due(
        &self,
        after: Option<&(Timestamp, Gid)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Gid)>, StoreError> {
        self.prove(Index::Due)?;
        // No gid is empty.
        let (at, gid) = after.map_or((0, ""), |(at, gid)| (micros(*at), gid.as_str()));
        self.rows(
            "SELECT next_run_at, gid FROM txn INDEXED BY txn_due
             WHERE owner IS NULL AND held = 0 AND next_run_at IS NOT NULL AND (next_run_at, gid) > (?1, ?2)
             ORDER BY next_run_at, gid LIMIT ?3",
            params![at, gid, to_limit(limit)],
            |row| Ok((columns::timestamp(row, 0)?, columns::gid(row, 1)?)),
        )
    }

    /// The transactions that were in flight when they were saved, without those on hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn in_flight(&self) -> Result<Vec<Gid>, StoreError> {
        self.prove(Index::InFlight)?;
        let sql = "SELECT gid FROM txn INDEXED BY txn_in_flight WHERE held = 0 AND owner IS NOT NULL";
        let mut gids = self.rows(sql, (), |row| columns::gid(row, 0))?;
        gids.sort_unstable();
        Ok(gids)
    }

    /// All settings, by category and key; none of them is deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn settings(&self) -> Result<Vec<SavedSetting>, StoreError> {
        self.database.read_state(|connection| settings(connection).map_err(|error| Failure::of(error).into()))
    }

    /// Up to `limit` transactions behind `after`, in gid order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn export(&self, after: Option<&Gid>, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.prove(Index::Gid)?;
        let after = after.map_or("", Gid::as_str);
        let sql = "SELECT gid FROM txn INDEXED BY txn_gid WHERE gid > ?1 ORDER BY gid LIMIT ?2";
        let gids = self.rows(sql, params![after, to_limit(limit)], |row| columns::gid(row, 0))?;
        // What is gone meanwhile has been finished or deleted since.
        let rows = gids.iter().map(|gid| self.find(gid));
        rows.filter_map(Result::transpose).collect()
    }

    /// Reads everything, and returns what is wrong with it.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let checked = self.database.read(Turn::List, |connection| {
            Ok(finding::check(connection, self.database.path(), &|gid| self.may_hold(gid)))
        });
        checked.unwrap_or_else(|error| vec![Finding::of_file(self.database.path(), error)])
    }

    fn rows<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.database.read(Turn::List, |connection| {
            let rows =
                || connection.prepare_cached(sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<T>>>();
            rows().map_err(|error| Failure::of(error).into())
        })
    }
}

fn settings(connection: &Connection) -> rusqlite::Result<Vec<SavedSetting>> {
    let kept = Meta::read(connection)?.number(SETTINGS)?;
    let mut statement =
        connection.prepare("SELECT category, key, version, value FROM setting ORDER BY category, key")?;
    let mut rows = statement.query(())?;
    let (mut settings, mut sum) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        sum += check_of_setting(row)?;
        let value: Vec<u8> = row.get(3)?;
        let value = Some((columns::version(row, 2)?, value.into()));
        settings.push(SavedSetting { category: row.get(0)?, key: row.get(1)?, value });
    }
    if sum == kept { Ok(settings) } else { Err(Damage::Settings.into()) }
}

/// When the oldest transaction was created: the first one of each state and pattern, by their index.
pub(super) fn oldest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut statement = connection
        .prepare_cached("SELECT min(created_at) FROM txn INDEXED BY txn_kind WHERE status = ?1 AND pattern = ?2")?;
    let mut oldest: Option<i64> = None;
    for status in listing::ALL {
        for pattern in listing::PATTERNS {
            let kind = [tags::of_status(status), tags::of_pattern(pattern)];
            let found: Option<i64> = statement.query_row(kind, |row| row.get(0))?;
            oldest = oldest.into_iter().chain(found).min();
        }
    }
    Ok(oldest.map(columns::from_micros))
}

fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
