//! Timers and claims: the near ones in memory, the far ones in the table.
//!
//! Memory holds what is claimed, what has been released, and every waiting transaction up to a *horizon*, a place in the
//! order (time, seq) of the index `txn_due`. Behind the horizon the table is asked, a chunk at a time, when memory has
//! run out. What was in flight when the store was opened stays in the table too, behind a second mark, and is due at once.
//! So opening reads no transaction, and memory does not grow with those that wait for long.
//!
//! [`Timers::refill`] runs on the writer, where no change can come between reading the table and moving the mark. It reads
//! what the changes before it in its batch have made of the table: if they come to nothing, so does what it read.

use std::time::Duration;

use escrow_store::{Head, Schedule};
use escrow_txn::{Gid, Timestamp};
use rusqlite::{Connection, params};

use crate::columns;

/// Timers up to this far ahead are brought into memory.
const WINDOW: Duration = Duration::from_secs(300);

/// A place in the order of `txn_due`.
type Mark = (i64, i64);

const BEGINNING: Mark = (i64::MIN, i64::MIN);

#[derive(Debug)]
pub(crate) struct Timers {
    pub(crate) schedule: Schedule,
    /// Waiting transactions up to here, and this one, are in memory.
    horizon: Mark,
    /// Some may wait behind the horizon.
    far: bool,
    /// The store was opened then; what was in flight is due since.
    opened_at: Timestamp,
    /// What was in flight at opening and has not been brought into memory: its `seq` lies between these, the first excluded.
    in_flight: Option<(i64, i64)>,
    /// The last `seq` at opening.
    last_at_opening: Option<i64>,
    /// What the batch that is under way has brought into memory; `None`: it has not read the table.
    read: Option<Vec<Gid>>,
    /// Rows that one refill brings into memory, of each kind.
    chunk: u32,
}

/// What the changes of one batch mean for the timers, in their order.
#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<(Gid, i64, Head)>);

impl Effects {
    /// Row `seq` has this head now.
    pub(crate) fn stored(&mut self, gid: &Gid, seq: i64, head: &Head) {
        self.0.push((gid.clone(), seq, head.clone()));
    }
}

impl AsMut<Schedule> for Timers {
    fn as_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }
}

impl Timers {
    /// The timers of a table that was just opened.
    pub(crate) fn open(connection: &Connection, opened_at: Timestamp, chunk: u32) -> rusqlite::Result<Self> {
        let last: Option<i64> = connection.query_row("SELECT max(seq) FROM txn", (), |row| row.get(0))?;
        Ok(Self {
            schedule: Schedule::default(),
            horizon: BEGINNING,
            far: true,
            opened_at,
            in_flight: last.map(|last| (i64::MIN, last)),
            last_at_opening: last,
            read: None,
            chunk,
        })
    }

    /// Follows a durable batch.
    pub(crate) fn apply(&mut self, effects: Effects) {
        self.read = None;
        for (gid, seq, head) in effects.0 {
            match (head.owner, head.next_run_at) {
                (None, Some(at)) if (columns::micros(at), seq) > self.horizon => {
                    self.schedule.forget(&gid);
                    self.far = true;
                }
                _ => self.schedule.stored(&gid, &head),
            }
        }
    }

    /// A batch came to nothing. What it read from the table will be read again, from the beginning.
    pub(crate) fn rolled_back(&mut self) {
        let Some(read) = self.read.take() else { return };
        read.iter().for_each(|gid| self.schedule.forget(gid));
        self.horizon = BEGINNING;
        self.far = true;
        self.in_flight = self.last_at_opening.map(|last| (i64::MIN, last));
    }

    /// Whether memory alone cannot say which transaction is due next.
    pub(crate) fn needs_refill(&self, now: Timestamp) -> bool {
        let next = self.schedule.next_due_at();
        (self.in_flight.is_some() && next.is_none_or(|at| at > now))
            || (self.far && next.is_none_or(|at| columns::micros(at) > self.horizon.0))
    }

    /// Brings the next chunk into memory.
    pub(crate) fn refill(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        self.read.get_or_insert_default();
        if let Some((after, last)) = self.in_flight {
            let more = self.resume(connection, after, last)?;
            self.in_flight = more.map(|seq| (seq, last));
        }
        if self.far {
            self.advance(connection, now)?;
        }
        Ok(())
    }

    /// Takes up what was in flight at opening. Returns the last `seq` it read, if there may be more.
    fn resume(&mut self, connection: &Connection, after: i64, last: i64) -> rusqlite::Result<Option<i64>> {
        let mut statement = connection.prepare_cached(
            "SELECT seq, gid FROM txn WHERE owner IS NOT NULL AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = statement.query(params![after, last, self.chunk])?;
        let mut read = 0;
        let mut seq = after;
        while let Some(row) = rows.next()? {
            seq = row.get(0)?;
            // What this life has in flight is known to the schedule, and is left alone.
            let gid = columns::gid(row, 1)?;
            if self.schedule.resume(&gid, self.opened_at) {
                self.read.get_or_insert_default().push(gid);
            }
            read += 1;
        }
        Ok((read == self.chunk).then_some(seq))
    }

    /// Moves the horizon: to the end of the window, or of the chunk, and at least to the next transaction.
    fn advance(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT next_run_at, seq, gid FROM txn
             WHERE owner IS NULL AND next_run_at IS NOT NULL AND (next_run_at, seq) > (?1, ?2)
             ORDER BY next_run_at, seq LIMIT ?3",
        )?;
        let mut rows = statement.query(params![self.horizon.0, self.horizon.1, self.chunk])?;
        let window = (columns::micros(now.plus(WINDOW)), i64::MAX);
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let mark: Mark = (row.get(0)?, row.get(1)?);
            if mark > window && read > 0 {
                self.horizon = self.horizon.max(window);
                return Ok(());
            }
            let gid = columns::gid(row, 2)?;
            if self.schedule.wait(&gid, columns::timestamp(row, 0)?) {
                self.read.get_or_insert_default().push(gid);
            }
            self.horizon = mark;
            read += 1;
        }
        if read < self.chunk {
            self.far = false;
            self.horizon = self.horizon.max(window);
        }
        Ok(())
    }
}
