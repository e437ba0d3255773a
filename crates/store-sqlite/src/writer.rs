//! The one thread that writes: many changes, one commit.
//!
//! Jobs wait in a queue. The writer takes what is there, runs it inside one SQLite transaction, commits (that is the
//! sync), and only then answers all of them. So the cost of a sync is shared whenever there is company, and no answer
//! leaves before what it tells is durable: not that a change was made, and not that one was refused either.

use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use escrow_store::{BatchCounters, StoreError};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::error::Failure;
use crate::files::Files;
use crate::fullness::Fullness;
use crate::timers::{Effects, Timers};
use crate::tuning::Tuning;
use crate::wal;

/// Jobs of one batch.
const BATCH_MAX: usize = 1_024;
/// While the batch before had more changes than this, the writer waits a little for company.
const ALONE_MAX: usize = 3;
/// How long it waits at most. A write and its sync cost about the same CPU time whatever their size.
const GATHER: Duration = Duration::from_millis(1);

/// A checkpoint syncs the write-ahead log and the database.
const CHECKPOINT_SYNCS: u64 = 2;

/// The way to the writer. Dropping it lets the writer finish, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Queued>>,
    /// What the queue may still take, in KiB.
    room: Arc<Semaphore>,
    queue_kib: u32,
    failed: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Whether a job may wait until there is room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// New work is turned away instead.
    OrBusy,
    /// Work in progress waits.
    OrWait,
}

impl Writer {
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (failed_sender, failed) = watch::channel(false);
        let queue_kib = parts.tuning.queue_kib;
        let run = move || {
            Run { parts, queue, failed: failed_sender, last_batch: 0, log_pages: 0 }.run();
        };
        let thread = thread::Builder::new().name("escrow-store".to_owned()).spawn(run)?;
        let room = Arc::new(Semaphore::new(queue_kib as usize));
        Ok(Self { jobs: Some(jobs), room, queue_kib, failed, thread: Some(thread) })
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
        let kib = u32::try_from(1 + bytes / 1024).unwrap_or(u32::MAX).min(self.queue_kib);
        let semaphore = Arc::clone(&self.room);
        let room = match room {
            Room::OrBusy => semaphore.try_acquire_many_owned(kib).map_err(|_| StoreError::Busy)?,
            // The semaphore is never closed.
            Room::OrWait => semaphore.acquire_many_owned(kib).await.map_err(|_| StoreError::Busy)?,
        };
        let (answer, answered) = oneshot::channel();
        if *self.failed.borrow() {
            return Err(Failure::Failed.into());
        }
        let job = Box::new(Task { work, result: None, answer });
        let Some(Ok(())) = self.jobs.as_ref().map(|jobs| jobs.send(Queued { job, room })) else {
            return Err(Failure::Failed.into());
        };
        Ok(answered.await.unwrap_or(Err(Failure::WriterGone))?)
    }

    /// Returns when no write can succeed any more.
    pub(crate) async fn failed(&self) {
        // An error means that the thread is gone.
        let _ = self.failed.clone().wait_for(|failed| *failed).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the writer has failed the calls it concerned.
            let _ = thread.join();
        }
    }
}

struct Queued {
    job: Box<dyn Job>,
    /// Given back when the job is done.
    room: OwnedSemaphorePermit,
}

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
    queue: mpsc::Receiver<Queued>,
    failed: watch::Sender<bool>,
    /// How many changes the batch before had.
    last_batch: usize,
    /// Pages that the write-ahead log had after it.
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
    fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let batch = self.gather(first);
            self.last_batch = batch.len();
            if let Err(Fatal) = self.write(batch) {
                self.failed.send_replace(true);
                answer(self.queue.try_iter().collect(), Some(&Failure::Failed));
                return;
            }
        }
    }

    /// Takes what waits in the queue; under load also what comes within the next moment, up to as much as last time.
    fn gather(&self, first: Queued) -> Vec<Queued> {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX {
            let next = match self.queue.try_recv() {
                Err(TryRecvError::Empty) if self.last_batch > ALONE_MAX && batch.len() < self.last_batch => {
                    self.queue.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
                }
                next => next.ok(),
            };
            let Some(next) = next else { break };
            batch.push(next);
        }
        batch
    }

    /// Makes a batch durable and answers it.
    fn write(&mut self, mut batch: Vec<Queued>) -> Result<(), Fatal> {
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

    fn commit(&self, batch: &mut [Queued]) -> Result<(), Failed> {
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

fn answer(batch: Vec<Queued>, failure: Option<&Failure>) {
    for Queued { job, room } in batch {
        // First, so that whoever is answered finds the room that it took.
        drop(room);
        job.answer(failure.cloned());
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(drop)
}
