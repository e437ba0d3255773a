//! The one thread that writes: many changes, one commit.
//!
//! Jobs wait in a queue. The writer takes what is there, runs it inside one SQLite transaction, commits (that is the
//! sync), and only then answers all of them. So the cost of a sync is shared whenever there is company, and no answer
//! leaves before what it tells is durable: not that a change was made, and not that one was refused either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use escrow_store::{BatchCounters, Batches, Queue, QueueLimits, Queued, Room, StoreError};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use crate::error::Failure;
use crate::files::Files;
use crate::fullness::Fullness;
use crate::timers::{Effects, Timers};
use crate::tuning::Tuning;
use crate::wal;

/// A checkpoint syncs the write-ahead log and the database.
const CHECKPOINT_SYNCS: u64 = 2;

/// The way to the writer. Dropping it lets the writer finish, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer(Queue<BoxedJob>);

impl Writer {
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let limits = QueueLimits { kib: parts.tuning.queue_kib, batch_bytes: usize::MAX };
        let (failed, told) = watch::channel(false);
        let run = move |batches| Run { parts, failed, log_pages: 0 }.run(batches);
        Ok(Self(Queue::start("escrow-store", limits, told, run)?))
    }

    /// Runs `work` inside the writer's next transaction, and returns its result once that is durable.
    ///
    /// `work` may run twice: if a change of the batch fails, the batch is rolled back and each is run again alone. `bytes` is what it holds in memory.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        room: Room,
        bytes: usize,
        work: impl FnMut(&Connection, &mut Effects) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let job = |answer| Box::new(Task { work, result: None, answer }) as BoxedJob;
        let answered = self.0.ask(room, bytes, job).await;
        Ok(answered.map_err(Failure::of_queue)??)
    }

    /// Returns when no write can succeed any more.
    pub(crate) async fn failed(&self) {
        self.0.failed().await;
    }
}

type BoxedJob = Box<dyn Job>;

/// One change, and where its answer goes.
trait Job: Send {
    /// Makes the change.
    fn run(&mut self, connection: &Connection, effects: &mut Effects) -> rusqlite::Result<()>;
    /// Answers, with the result of the last run unless there was a failure.
    fn answer(self: Box<Self>, failure: Option<Failure>);
}

struct Task<F, T> {
    work: F,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, Failure>>,
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&Connection, &mut Effects) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection, effects: &mut Effects) -> rusqlite::Result<()> {
        self.result = Some((self.work)(connection, effects)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<Failure>) {
        let outcome = match (failure, self.result) {
            (Some(failure), _) => Err(failure),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(Failure::WriterGone),
        };
        // Whoever asked may have gone; what is durable stays durable.
        let _ = self.answer.send(outcome);
    }
}

/// What the writer works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) connection: Connection,
    pub(crate) timers: Arc<Mutex<Timers>>,
    pub(crate) counters: Arc<BatchCounters>,
    pub(crate) fullness: Arc<Fullness>,
    pub(crate) tuning: Tuning,
    /// Last, so that the lock outlives the connection.
    pub(crate) _files: Files,
}

struct Run {
    parts: Parts,
    failed: watch::Sender<bool>,
    /// Pages that the write-ahead log had after the batch before.
    log_pages: i64,
}

/// Why a batch is not durable.
struct Failed {
    failure: Failure,
    /// No later write can be trusted either.
    fatal: bool,
}

/// The store has failed for good.
struct Fatal;

impl Run {
    /// Until the queue is closed, or the store fails.
    fn run(mut self, mut batches: Batches<BoxedJob>) {
        while let Some(batch) = batches.take() {
            if let Err(Fatal) = self.write(batch) {
                self.failed.send_replace(true);
                answer(batches.rest(), Some(&Failure::Failed));
                return;
            }
        }
    }

    /// Makes a batch durable and answers it.
    fn write(&mut self, mut batch: Vec<Queued<BoxedJob>>) -> Result<(), Fatal> {
        let begun = Instant::now();
        match self.commit(&mut batch) {
            Ok(()) => {
                let took = begun.elapsed();
                let log = log_state(&self.parts.connection, "PRAGMA wal_checkpoint(NOOP)");
                let bytes = self.written(&log);
                self.parts.counters.batch(batch.len(), bytes, took);
                self.parts.fullness.written();
                answer(batch, None);
                self.checkpoint(log)
            }
            Err(Failed { failure, fatal: true }) => {
                answer(batch, Some(&failure));
                Err(Fatal)
            }
            // Which of them is to blame shows when each is alone. A full disk is to blame for all.
            Err(Failed { failure: Failure::Sqlite(_), .. }) if batch.len() > 1 => {
                batch.into_iter().try_for_each(|queued| self.write(vec![queued]))
            }
            Err(Failed { failure, .. }) => {
                if matches!(failure, Failure::DiskFull(_)) {
                    self.parts.fullness.refused();
                }
                answer(batch, Some(&failure));
                Ok(())
            }
        }
    }

    /// Bytes by which the last batch has made the write-ahead log grow.
    fn written(&mut self, log: &rusqlite::Result<LogState>) -> u64 {
        let Ok(log) = log else { return 0 };
        // A log that has been carried over starts over.
        let new = if log.pages < self.log_pages { log.pages } else { log.pages - self.log_pages };
        self.log_pages = log.pages;
        new.unsigned_abs() * wal::FRAME_BYTES
    }

    fn commit(&self, batch: &mut [Queued<BoxedJob>]) -> Result<(), Failed> {
        let connection = &self.parts.connection;
        let mut effects = Effects::default();
        let mut make_changes = || -> rusqlite::Result<()> {
            execute(connection, "BEGIN IMMEDIATE")?;
            batch.iter_mut().try_for_each(|queued| queued.job.run(connection, &mut effects))
        };
        let before_commit = || self.parts.tuning.before_commit.as_ref().map_or(Ok(()), |hook| hook());
        make_changes().map_err(|error| self.roll_back(Failure::of(error)))?;
        before_commit().and_then(|()| execute(connection, "COMMIT")).map_err(|error| {
            match error.sqlite_error_code() {
                // Out of space is found while writing, before the sync: the commit is incomplete in the log and does not
                // count.
                Some(ErrorCode::DiskFull) => self.roll_back(Failure::of(error)),
                // A failed sync is never tried again: the system may have dropped what it could not write, and say so once.
                _ => Failed { failure: Failure::CommitFailed(Arc::new(error)), fatal: true },
            }
        })?;
        self.timers().apply(effects);
        Ok(())
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.parts.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a transaction that failed, if SQLite has not done so itself.
    fn roll_back(&self, failure: Failure) -> Failed {
        self.timers().rolled_back();
        let connection = &self.parts.connection;
        let ended = connection.is_autocommit() || execute(connection, "ROLLBACK").is_ok();
        Failed { failure, fatal: !ended }
    }

    /// Carries the write-ahead log over into the database when it has grown long. A failed sync is as fatal here.
    fn checkpoint(&self, log: rusqlite::Result<LogState>) -> Result<(), Fatal> {
        let carry_over = |log: LogState| -> rusqlite::Result<()> {
            if log.pages - log.carried_over >= self.parts.tuning.checkpoint_pages {
                log_state(&self.parts.connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
                self.parts.counters.other_syncs(CHECKPOINT_SYNCS);
            }
            Ok(())
        };
        match log.and_then(carry_over).map_err(|error| error.sqlite_error_code()) {
            // The log goes on growing; the next batch tries again.
            Ok(()) | Err(Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => Ok(()),
            Err(_) => Err(Fatal),
        }
    }
}

/// The write-ahead log after a commit or a checkpoint.
#[derive(Clone, Copy, Debug)]
struct LogState {
    /// Pages in it.
    pages: i64,
    /// Pages of them that are in the database too.
    carried_over: i64,
}

fn log_state(connection: &Connection, checkpoint: &str) -> rusqlite::Result<LogState> {
    // Columns: busy, pages in the log, pages of them that have been carried over.
    let read = |row: &rusqlite::Row<'_>| Ok(LogState { pages: row.get(1)?, carried_over: row.get(2)? });
    connection.prepare_cached(checkpoint)?.query_row((), read)
}

fn answer(batch: Vec<Queued<BoxedJob>>, failure: Option<&Failure>) {
    batch.into_iter().for_each(|queued| queued.done().answer(failure.cloned()));
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(drop)
}
