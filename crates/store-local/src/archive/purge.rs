//! How old transactions go: they are counted, the time up to which they are purged is stored elsewhere, and then partitions of
//! which nothing is left are removed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use escrow_store::StoreError;
use escrow_txn::Timestamp;
use rusqlite::Connection;

use super::bounds::Bounds;
use super::partition::Partition;
use super::{Archive, Purgeable};
use crate::columns::{self, from_micros, micros};
use crate::database::{Failure, Turn};
use crate::ledger::Index;

/// Partitions whose times are kept: those that a purge goes through side by side.
const KEPT: usize = 3;

/// When the rows of a partition became final, in order. A purge goes in small steps, and would read them for each.
#[derive(Debug, Default)]
pub(super) struct FinishTimes(Mutex<Vec<Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    number: u32,
    /// With other numbers of rows, there and in the newer ones that may have the same, the times are others.
    rows: u64,
    times: Arc<[i64]>,
}

impl FinishTimes {
    /// The times of the partition at `index`, without the rows that newer ones have too.
    fn of(&self, archive: &Archive, partitions: &[Arc<Partition>], index: usize) -> Result<Arc<[i64]>, StoreError> {
        let partition = &partitions[index];
        // The same row has the same time there.
        let last = partition.bounds().finished.last;
        let newer = || partitions[index + 1..].iter().filter(|newer| newer.bounds().finished.first <= last);
        let number = partition.name.number;
        let rows = partition.bounds().rows + newer().map(|newer| newer.bounds().rows).sum::<u64>();
        let find = |kept: &&Kept| kept.number == number && kept.rows == rows;
        let found = self.kept().iter().find(find).cloned();
        if let Some(kept) = found {
            return Ok(kept.times);
        }
        partition.prove(&archive.context, Index::Kind)?;
        let newer: Vec<_> = newer().map(Arc::clone).collect();
        let read = |connection: &Connection| finish_times(archive, connection, &newer);
        let times: Arc<[i64]> = partition.read(&archive.context, Turn::List, Vec::new(), read)?.into();
        let mut kept = self.kept();
        kept.retain(|kept| kept.number != number);
        kept.push(Kept { number, rows, times: Arc::clone(&times) });
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok(times)
    }

    pub(super) fn forget(&self, number: u32) {
        self.kept().retain(|kept| kept.number != number);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finish_times(archive: &Archive, connection: &Connection, newer: &[Arc<Partition>]) -> Result<Vec<i64>, StoreError> {
    let first = newer.iter().map(|newer| newer.bounds().finished.first).min();
    let mut statement =
        connection.prepare("SELECT finished_at, gid FROM txn INDEXED BY txn_kind").map_err(Failure::of)?;
    let mut rows = statement.query(()).map_err(Failure::of)?;
    let mut times = Vec::new();
    while let Some(row) = rows.next().map_err(Failure::of)? {
        let at: i64 = row.get(0).map_err(Failure::of)?;
        let may_be_replaced = first.is_some_and(|first| at >= first);
        if !(may_be_replaced && archive.is_in(newer, &columns::gid(row, 1).map_err(Failure::of)?)?) {
            times.push(at);
        }
    }
    times.sort_unstable();
    Ok(times)
}

impl Archive {
    /// How many transactions became final at `purged_before` or later and before `final_before`: all of them, or the first
    /// `limit` and those of the same moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn purgeable(
        &self,
        purged_before: Option<Timestamp>,
        final_before: Timestamp,
        limit: usize,
    ) -> Result<Purgeable, StoreError> {
        let (from, until) = (purged_before.map_or(i64::MIN, micros), micros(final_before));
        let partitions = self.partitions();
        let finished: Vec<_> = partitions.iter().map(|partition| partition.bounds().finished).collect();
        let mut order: Vec<usize> = (0..partitions.len()).collect();
        order.retain(|&index| finished[index].first < until && finished[index].last >= from);
        order.sort_by_key(|&index| finished[index].first);
        let mut first: Vec<i64> = Vec::new();
        for index in order {
            let last = limit.checked_sub(1).and_then(|last| first.get(last));
            if last.is_some_and(|&last| finished[index].first > last) {
                break;
            }
            let times = self.times.of(self, &partitions, index)?;
            let begin = times.partition_point(|&at| at < from);
            let end = times.partition_point(|&at| at < until).max(begin);
            first.extend(up_to_limit(&times[begin..end], limit));
            first.sort_unstable();
            let kept = up_to_limit(&first, limit).len();
            first.truncate(kept);
        }
        let cut = match first.last() {
            Some(&last) if first.len() >= limit => from_micros(last.saturating_add(1)).min(final_before),
            _ => final_before,
        };
        Ok(Purgeable { rows: first.len() as u64, cut })
    }

    /// Removes the partitions of which every transaction became final before `purged_before`. Returns how many.
    ///
    /// # Errors
    /// [`Failure`]; those that were removed are gone.
    pub(crate) fn drop_purged(&self, purged_before: Timestamp) -> Result<u32, Failure> {
        let before = micros(purged_before);
        let is_over = |bounds: Bounds| bounds.rows > 0 && bounds.finished.last < before;
        self.write(|writing| {
            if writing.current.as_ref().is_some_and(|current| is_over(current.bounds())) {
                self.close_current(writing)?;
            }
            let mut over = self.partitions();
            over.retain(|partition| is_over(partition.bounds()));
            if over.is_empty() {
                return Ok(0);
            }
            self.change(|partitions| partitions.retain(|partition| !is_over(partition.bounds())));
            for partition in &over {
                self.times.forget(partition.name.number);
                self.front.remove(partition);
                partition.remove(&self.context)?;
            }
            self.context.disk.sync_dir(&self.context.dir).map_err(Failure::of_io_sync)?;
            Ok(u32::try_from(over.len()).unwrap_or(u32::MAX))
        })
    }
}

/// The first `limit` of these, and those that are equal to the last of them.
fn up_to_limit(sorted: &[i64], limit: usize) -> &[i64] {
    let Some(&last) = limit.checked_sub(1).and_then(|last| sorted.get(last)) else {
        return if limit == 0 { &[] } else { sorted };
    };
    &sorted[..sorted.partition_point(|&at| at <= last)]
}
