//! What is done off the path of acknowledgements: finished transactions go to the archive, old unfinished ones to
//! `unfinished.db`, segments that nobody needs are retired, and timers come back into memory before they are due.
//!
//! The log covers every step: whoever is cut off in the middle does it again. See `thread` for when it runs.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use escrow_store::{StoreError, StoredTxn};
use escrow_txn::{Gid, Timestamp};

use crate::archive::Purgeable;
use crate::core::{Core, is_purged};
use crate::database::Failure;
use crate::ledger::Index;
use crate::log;
use crate::spill::Released;

/// Transactions for which the table is kept locked at once.
const PIECE: usize = 500;

/// Whether files may be removed at this moment; as long as the permit lives, they may. A backup that runs says no.
pub(crate) type MayRemove = Box<dyn Fn() -> Option<Box<dyn Send>> + Send>;

/// Does the work of the module's text, one step at a time.
pub(crate) struct Keeper {
    core: Arc<Core>,
    may_remove: MayRemove,
    /// Transactions that are archived at once: few while the disk is full, because a piece needs room before it makes any.
    archive_batch: Cell<usize>,
}

/// Why a step could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error("the files of the log cannot be kept in order")]
    Log(#[from] io::Error),
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error("transaction {gid} is live in this store, and is not replaced")]
    Live { gid: Gid },
}

impl KeeperError {
    /// It is not known what is on the disk: the store has to be opened again.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Database(failure) => matches!(failure, Failure::Failed(_)),
            Self::Log(error) => !log::is_full(error),
            Self::Read(_) | Self::Live { .. } => false,
        }
    }
}

/// What the parts of one round have led to. One that cannot be made, on a full disk say, does not keep the others from making
/// room.
#[derive(Default)]
struct Round {
    more: bool,
    error: Option<KeeperError>,
}

impl Round {
    /// Takes a part's result.
    ///
    /// # Errors
    /// What ends the round at once.
    fn take(&mut self, part: Result<bool, KeeperError>) -> Result<(), KeeperError> {
        match part {
            Ok(more) => self.more |= more,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => _ = self.error.get_or_insert(error),
        }
        Ok(())
    }

    /// Whether there is more to do, or the first error.
    fn end(self) -> Result<bool, KeeperError> {
        self.error.map_or(Ok(self.more), Err)
    }
}

impl Keeper {
    pub(crate) fn new(core: Arc<Core>, may_remove: MayRemove) -> Self {
        let archive_batch = Cell::new(core.tuning.archive_batch);
        Self { core, may_remove, archive_batch }
    }

    /// Makes one round: a piece of every kind of work. Whether there is more to do at once.
    pub(crate) fn step(&self, now: Timestamp) -> Result<bool, KeeperError> {
        let mut round = Round::default();
        // A spare first: it is what a full disk keeps the writer waiting for.
        round.take(self.prepare_spare().map(|()| false))?;
        round.take(self.core.archive.prepare(self.core.tuning.archive_batch).map(|()| false).map_err(Into::into))?;
        round.take(self.archive(now))?;
        round.take(self.save())?;
        round.take(self.settle().map(|()| false))?;
        round.take(self.retire().map(|()| false))?;
        // Creations ask the filter that is made of it.
        round.take(self.core.spill.prove(Index::Gid).map(|()| false).map_err(Into::into))?;
        round.take(self.refill(now))?;
        round.end()
    }

    fn prepare_spare(&self) -> Result<(), KeeperError> {
        self.core.segments.prepare_spare(self.core.log_full.load(Relaxed))?;
        self.core.log_full.store(false, Relaxed);
        Ok(())
    }

    /// Moves finished transactions into the archive. Whether more of them wait.
    pub(crate) fn archive(&self, now: Timestamp) -> Result<bool, KeeperError> {
        self.archive_some(now)?;
        Ok(self.core.table().backlog() > 0)
    }

    /// Moves the first of those that wait into the archive; how many.
    fn archive_some(&self, now: Timestamp) -> Result<usize, KeeperError> {
        let core = &self.core;
        let rows = {
            let table = core.table();
            core.backlog_full.store(table.is_backlog_over(&core.tuning), Relaxed);
            table.finished(self.archive_batch.get())
        };
        if rows.is_empty() {
            return Ok(0);
        }
        let moved = self.move_to_archive(&rows, now);
        self.archive_batch.set(match &moved {
            Err(KeeperError::Database(Failure::Full(_))) => (rows.len() / 4).max(1),
            _ => core.tuning.archive_batch,
        });
        moved?;
        rows.chunks(PIECE).for_each(|piece| core.table().archived(piece.len()));
        Ok(rows.len())
    }

    fn move_to_archive(&self, rows: &[Arc<StoredTxn>], now: Timestamp) -> Result<(), KeeperError> {
        let core = &self.core;
        // After a restart the log tells of some that were archived before, perhaps into another partition.
        let mut new = Vec::with_capacity(rows.len());
        for row in rows {
            if !is_purged(&row.head, core.purged_before()) && !self.is_archived(row)? {
                new.push(Arc::clone(row));
            }
        }
        core.archive.insert(&new, now)?;
        // Only then: whoever looks here first and there second finds it in one of the two.
        let spilled: Vec<Gid> =
            rows.iter().filter(|row| core.spill.may_hold(&row.gid)).map(|row| row.gid.clone()).collect();
        if !spilled.is_empty() {
            core.spill.delete(&spilled)?;
        }
        Ok(())
    }

    fn is_archived(&self, row: &StoredTxn) -> Result<bool, StoreError> {
        let archive = &self.core.archive;
        let is_same = |archived: StoredTxn| (archived.version, archived.write) == (row.version, row.write);
        Ok(archive.may_hold(&row.gid) && archive.find(&row.gid, Some(self.core.purged_before()))?.is_some_and(is_same))
    }

    /// Saves the unfinished transactions and settings that hold the oldest segment, if the log has grown long. Whether there
    /// are more of them.
    pub(crate) fn save(&self) -> Result<bool, KeeperError> {
        let core = &self.core;
        let current = core.segments.current();
        let oldest = core.table().first_needed(current);
        let (count, bytes) = core.segments.size_from(oldest);
        let is_long = bytes > core.tuning.log_bytes_kept || count > core.tuning.segments_kept;
        if !is_long || oldest == current {
            return Ok(false);
        }
        let (rows, settings) = {
            let table = core.table();
            (table.holding(oldest.next(), core.tuning.save_batch), table.settings_holding(oldest.next()))
        };
        if rows.is_empty() && settings.is_empty() {
            // Finished ones hold it, which are to be archived, or a newer version's records, which nobody here can save.
            return Ok(false);
        }
        core.spill.save(&rows, &settings)?;
        // In pieces: nothing can be stored meanwhile.
        rows.chunks(PIECE).for_each(|piece| core.table().saved(piece, current));
        core.table().saved_settings(settings, current);
        Ok(true)
    }

    /// Carries everything over that is only in SQLite's own logs, once segments are no longer needed otherwise: until then they
    /// could make up for damage to these logs.
    pub(crate) fn settle(&self) -> Result<(), KeeperError> {
        let core = &self.core;
        let current = core.segments.current();
        let first = core.table().first_needed(current);
        if first > core.first_needed() {
            core.spill.settle()?;
            core.archive.settle()?;
            core.settled(first);
        }
        Ok(())
    }

    fn retire(&self) -> Result<(), KeeperError> {
        let segments = &self.core.segments;
        if segments.oldest() < segments.durable_first()
            && let Some(_permit) = (self.may_remove)()
        {
            segments.retire()?;
        }
        Ok(())
    }

    /// Brings timers into memory: those of the window, and at least the next one. Whether there are more of them to bring.
    pub(crate) fn refill(&self, now: Timestamp) -> Result<bool, KeeperError> {
        let core = &self.core;
        let window = now.plus(core.tuning.timers_window);
        let after = {
            let table = core.table();
            if !table.far.needs_refill(now, core.tuning.timers_window, table.schedule.next_due_at()) {
                return Ok(false);
            }
            table.far.horizon.clone()
        };
        let due = core.spill.due(after.as_ref(), core.tuning.timers_chunk)?;
        Ok(core.table().refill(&due, window, due.len() < core.tuning.timers_chunk))
    }

    /// Prepares a purge: how many transactions from before this time there are that still count as present, up to about
    /// `limit`, and the time up to which these are all.
    pub(crate) fn purgeable(&self, final_before: Timestamp, limit: u32) -> Result<Purgeable, KeeperError> {
        // What becomes final meanwhile is younger.
        let mut waiting = self.core.table().backlog();
        while waiting > 0 {
            waiting = waiting.saturating_sub(self.archive_some(self.core.clock.now())?);
        }
        Ok(self.core.archive.purgeable(Some(self.core.purged_before()), final_before, limit as usize)?)
    }

    /// Removes the files of which nothing is left.
    pub(crate) fn drop_purged(&self) -> Result<(), KeeperError> {
        if let Some(_permit) = (self.may_remove)() {
            self.core.archive.drop_purged(self.core.purged_before())?;
        }
        Ok(())
    }

    /// Releases one transaction that is on hold, or all; returns how many.
    pub(crate) fn release(&self, gid: Option<&Gid>) -> Result<u64, KeeperError> {
        let mut count = 0;
        loop {
            let released = self.core.spill.release(gid)?;
            let now = self.core.clock.now();
            let mut table = self.core.table();
            for Released { gid, next_run_at, in_flight } in &released {
                table.released(gid, *next_run_at, *in_flight, now);
            }
            drop(table);
            count += released.len() as u64;
            if gid.is_some() || released.is_empty() {
                if count > 0 {
                    // The log does not tell of it.
                    self.core.spill.settle()?;
                }
                return Ok(count);
            }
        }
    }

    /// Takes transactions over from another store, as they are.
    pub(crate) fn import(&self, txns: Vec<StoredTxn>) -> Result<(), KeeperError> {
        let core = &self.core;
        let (finished, unfinished): (Vec<_>, Vec<_>) =
            txns.into_iter().map(Arc::new).partition(|txn| txn.head.status.is_final());
        {
            let mut table = core.table();
            for txn in finished.iter().chain(&unfinished) {
                // Its records in the log would speak for it again after a start.
                if table.get(&txn.gid).is_some() {
                    return Err(KeeperError::Live { gid: txn.gid.clone() });
                }
                table.schedule.forget(&txn.gid);
                table.moves.note(&txn.gid);
            }
        }
        core.spill.replace(&unfinished)?;
        self.move_to_archive(&finished, core.clock.now())?;
        let mut table = core.table();
        table.far.any = true;
        table.far.horizon = None;
        Ok(())
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}
