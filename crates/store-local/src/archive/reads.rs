//! How an archive is read: a look-up goes from the newest partition to the oldest, a list merges them.

use std::collections::BTreeMap;
use std::sync::Arc;

use escrow_store::{ListQuery, StoreError, StoredTxn, TxnSummary};
use escrow_txn::{Gid, Timestamp};
use rusqlite::{Connection, params};

use super::Archive;
use super::name::Name;
use super::partition::Partition;
use crate::columns::{self, Stored, micros};
use crate::database::{Failure, Turn};
use crate::filter::Fingerprint;
use crate::finding::{self, Finding};
use crate::ledger::Index;
use crate::listing;

/// Where transactions are, by gid.
type Places = BTreeMap<Gid, Arc<Partition>>;

/// An export reads at least so many gids from a partition at one time.
const GIDS_AT_ONCE: usize = 16;

impl Archive {
    /// The transaction under a gid; one that became final before `purged_before` is absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn find(&self, gid: &Gid, purged_before: Option<Timestamp>) -> Result<Option<StoredTxn>, StoreError> {
        let fingerprint = Fingerprint::of(gid);
        for partition in self.partitions().iter().rev().filter(|partition| partition.may_hold(fingerprint)) {
            let find = |connection: &Connection| columns::find(connection, gid);
            if let Some(Stored { txn, .. }) = partition.read(&self.context, Turn::LookUp, None, find)? {
                return Ok(is_shown(&txn, purged_before).then_some(txn));
            }
            partition.prove(&self.context, Index::Gid)?;
        }
        Ok(None)
    }

    /// Up to `limit` transactions of a query, newest first; those that became final before `purged_before` are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn list(
        &self,
        query: &ListQuery,
        limit: usize,
        purged_before: Option<Timestamp>,
    ) -> Result<Vec<TxnSummary>, StoreError> {
        let mut page: Vec<TxnSummary> = Vec::new();
        // Nothing that is over waits.
        if query.waiting_past.is_some() || limit == 0 {
            return Ok(page);
        }
        let partitions = self.partitions();
        let mut order: Vec<usize> = (0..partitions.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(partitions[index].bounds().created.last));
        let mut query = query.clone();
        for index in order {
            let (partition, newer) = (&partitions[index], &partitions[index + 1..]);
            if !may_have_some(partition, &query, purged_before) {
                continue;
            }
            partition.prove(&self.context, listing::index_of(&query))?;
            let mut is_replaced = |gid: &Gid| self.is_in(newer, gid);
            page.extend(partition.read(&self.context, Turn::List, Vec::new(), |connection| {
                listing::page(connection, &query, &listing::FINISHED, purged_before, limit, &mut is_replaced)
            })?);
            page.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
            page.truncate(limit);
            // What is older than the last of a full page is not on it.
            if let Some(last) = page.get(limit - 1) {
                query.created_from = query.created_from.max(Some(last.created_at));
            }
        }
        Ok(page)
    }

    /// Whether one of these partitions has a gid.
    pub(super) fn is_in(&self, partitions: &[Arc<Partition>], gid: &Gid) -> Result<bool, StoreError> {
        let fingerprint = Fingerprint::of(gid);
        for partition in partitions.iter().filter(|partition| partition.may_hold(fingerprint)) {
            let has = |connection: &Connection| has(connection, gid).map_err(|error| Failure::of(error).into());
            if partition.read(&self.context, Turn::LookUp, false, has)? {
                return Ok(true);
            }
            partition.prove(&self.context, Index::Gid)?;
        }
        Ok(false)
    }

    /// Up to `limit` transactions behind `after`, in gid order; those that became final before `purged_before` are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn export(
        &self,
        after: Option<&Gid>,
        limit: usize,
        purged_before: Option<Timestamp>,
    ) -> Result<Vec<StoredTxn>, StoreError> {
        let mut exported = Vec::new();
        let mut after = after.cloned();
        while exported.len() < limit {
            let (places, is_all) = self.next_places(after.as_ref(), limit - exported.len())?;
            exported.extend(self.read_places(&places, purged_before)?);
            if is_all {
                break;
            }
            after = places.into_keys().last();
        }
        exported.truncate(limit);
        Ok(exported)
    }

    /// The first gids behind `after`, each with the newest partition that has it, and whether there are no more. At least one,
    /// if there is one.
    fn next_places(&self, after: Option<&Gid>, limit: usize) -> Result<(Places, bool), StoreError> {
        let partitions = self.partitions();
        // Gids are spread over the partitions, more or less evenly.
        let at_once = limit.div_ceil(partitions.len().max(1)) * 2 + GIDS_AT_ONCE;
        let mut places = Places::new();
        // Behind it, a partition may have some that were not read.
        let mut end: Option<Gid> = None;
        for partition in partitions {
            partition.prove(&self.context, Index::Gid)?;
            let gids = partition.read(&self.context, Turn::List, Vec::new(), |connection| {
                gids(connection, after, at_once).map_err(|error| Failure::of(error).into())
            })?;
            if gids.len() == at_once {
                end = end.into_iter().chain(gids.last().cloned()).min();
            }
            places.extend(gids.into_iter().map(|gid| (gid, Arc::clone(&partition))));
        }
        if let Some(end) = &end {
            places.retain(|gid, _| gid <= end);
        }
        Ok((places, end.is_none()))
    }

    /// The transactions at these places, partition by partition, as few connections are open at one time.
    fn read_places(&self, places: &Places, purged_before: Option<Timestamp>) -> Result<Vec<StoredTxn>, StoreError> {
        let mut by_partition: BTreeMap<Name, (&Arc<Partition>, Vec<&Gid>)> = BTreeMap::new();
        for (gid, partition) in places {
            by_partition.entry(partition.name).or_insert((partition, Vec::new())).1.push(gid);
        }
        let mut txns = Vec::with_capacity(places.len());
        for (partition, gids) in by_partition.into_values() {
            let read = |connection: &Connection| gids.into_iter().map(|gid| columns::find(connection, gid)).collect();
            let found: Vec<Option<Stored>> = partition.read(&self.context, Turn::List, Vec::new(), read)?;
            txns.extend(found.into_iter().flatten().map(|row| row.txn).filter(|txn| is_shown(txn, purged_before)));
        }
        txns.sort_unstable_by(|a, b| a.gid.cmp(&b.gid));
        Ok(txns)
    }

    /// Reads everything, and returns what is wrong with it.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let check = |partition: &Arc<Partition>| {
            let may_hold = |gid: &Gid| partition.may_hold(Fingerprint::of(gid));
            let checked = partition.read(&self.context, Turn::List, Vec::new(), |connection| {
                Ok(finding::check(connection, partition.path(), &may_hold))
            });
            checked.unwrap_or_else(|error| vec![Finding::of_file(partition.path(), error)])
        };
        self.partitions().iter().flat_map(check).collect()
    }
}

fn is_shown(txn: &StoredTxn, purged_before: Option<Timestamp>) -> bool {
    purged_before.is_none_or(|before| txn.head.finished_at.is_some_and(|at| at >= before))
}

/// Whether a query can find something in a partition, by its bounds.
fn may_have_some(partition: &Partition, query: &ListQuery, purged_before: Option<Timestamp>) -> bool {
    let bounds = partition.bounds();
    let ends = query.after.iter().map(|after| after.created_at).chain(query.created_before);
    bounds.rows > 0
        && query.created_from.is_none_or(|from| bounds.created.last >= micros(from))
        && ends.min().is_none_or(|end| bounds.created.first <= micros(end))
        && purged_before.is_none_or(|before| bounds.finished.last >= micros(before))
}

fn has(connection: &Connection, gid: &Gid) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM txn INDEXED BY txn_gid WHERE gid = ?1")?.exists([gid.as_str()])
}

fn gids(connection: &Connection, after: Option<&Gid>, limit: usize) -> rusqlite::Result<Vec<Gid>> {
    // No gid is empty.
    let (after, limit) = (after.map_or("", Gid::as_str), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut statement =
        connection.prepare_cached("SELECT gid FROM txn INDEXED BY txn_gid WHERE gid > ?1 ORDER BY gid LIMIT ?2")?;
    statement.query_map(params![after, limit], |row| columns::gid(row, 0))?.collect()
}
