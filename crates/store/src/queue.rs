//! Group commit: the way to a thread that makes many changes durable at once, so that the cost of a sync is shared whenever
//! there is company.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Jobs of one batch.
const BATCH_MAX: usize = 1_024;
/// While the batch before had more jobs than this, the writer waits a little for company.
const ALONE_MAX: usize = 3;
/// How long it waits at most. A write and its sync cost about the same CPU time whatever their size.
const GATHER: Duration = Duration::from_millis(1);

/// Whether a job may wait until there is room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// New work is turned away instead.
    OrBusy,
    /// Work in progress waits.
    OrWait,
}

/// What a queue may hold, and what one batch.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// What the queue may hold, in KiB; every job counts as one at least.
    pub kib: u32,
    /// Bytes of the jobs of one batch, unless a single one is larger.
    pub batch_bytes: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// There is no room. The job was not taken.
    Busy,
    /// The store has failed. The job was not taken.
    Failed,
    /// The writer has ended: it is not known whether it did the job.
    WriterGone,
}

/// The queue before a writer's thread. Dropping it lets the writer finish, and waits for it.
pub struct Queue<J> {
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Queued<J>>>,
    /// What the queue may still take, in KiB.
    room: Arc<Semaphore>,
    limits: QueueLimits,
    failed: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

/// A job that waits, or that the writer has.
#[derive(Debug)]
pub struct Queued<J> {
    /// The job.
    pub job: J,
    bytes: usize,
    /// Given back when the job is done.
    _room: OwnedSemaphorePermit,
}

impl<J> Queued<J> {
    /// The job, whose room is free from now on: whoever is answered finds the room that it took.
    pub fn done(self) -> J {
        self.job
    }
}

impl<J: Send + 'static> Queue<J> {
    /// Starts a writer's thread. `failed` says whether the store has failed, and then no job is taken any more.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        thread: &str,
        limits: QueueLimits,
        failed: watch::Receiver<bool>,
        writer: impl FnOnce(Batches<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        let batches = Batches { jobs, bytes_max: limits.batch_bytes, last: 0, left_over: None };
        let thread = thread::Builder::new().name(thread.to_owned()).spawn(move || writer(batches))?;
        let room = Arc::new(Semaphore::new(limits.kib as usize));
        Ok(Self { jobs: Some(sender), room, limits, failed, thread: Some(thread) })
    }

    /// The writer's answer to a job, which holds about so many bytes.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask<T>(
        &self,
        room: Room,
        bytes: usize,
        job: impl FnOnce(oneshot::Sender<T>) -> J,
    ) -> Result<T, Unanswered> {
        let kib = u32::try_from(1 + bytes / 1024).unwrap_or(u32::MAX).min(self.limits.kib);
        let semaphore = Arc::clone(&self.room);
        let room = match room {
            Room::OrBusy => semaphore.try_acquire_many_owned(kib).map_err(|_| Unanswered::Busy)?,
            // The semaphore is never closed.
            Room::OrWait => semaphore.acquire_many_owned(kib).await.map_err(|_| Unanswered::Busy)?,
        };
        if *self.failed.borrow() {
            return Err(Unanswered::Failed);
        }
        let (answer, answered) = oneshot::channel();
        let queued = Queued { job: job(answer), bytes, _room: room };
        let Some(Ok(())) = self.jobs.as_ref().map(|jobs| jobs.send(queued)) else {
            return Err(Unanswered::Failed);
        };
        answered.await.map_err(|_| Unanswered::WriterGone)
    }
}

impl<J> Queue<J> {
    /// Returns when no write can succeed any more.
    pub async fn failed(&self) {
        // An error means that the threads are gone.
        let _ = self.failed.clone().wait_for(|failed| *failed).await;
    }
}

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<J> Drop for Queue<J> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the writer has failed the calls it concerned.
            let _ = thread.join();
        }
    }
}

/// The writer's end of a queue.
#[derive(Debug)]
pub struct Batches<J> {
    jobs: mpsc::Receiver<Queued<J>>,
    bytes_max: usize,
    /// How many jobs the batch before had.
    last: usize,
    /// Did not fit into the batch any more.
    left_over: Option<Queued<J>>,
}

impl<J> Batches<J> {
    /// Waits for a job, and takes with it what waits in the queue; under load also what comes within the next moment, up to as
    /// much as last time. `None`: the queue was dropped, and everything in it has been taken.
    pub fn take(&mut self) -> Option<Vec<Queued<J>>> {
        let first = self.left_over.take().or_else(|| self.jobs.recv().ok())?;
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX {
            let next = match self.jobs.try_recv() {
                Err(TryRecvError::Empty) if self.last > ALONE_MAX && batch.len() < self.last => {
                    self.jobs.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
                }
                next => next.ok(),
            };
            let Some(next) = next else { break };
            bytes = bytes.saturating_add(next.bytes);
            if bytes > self.bytes_max {
                self.left_over = Some(next);
                break;
            }
            batch.push(next);
        }
        self.last = batch.len();
        Some(batch)
    }

    /// What waits at this moment, for a writer that has failed.
    pub fn rest(&mut self) -> Vec<Queued<J>> {
        self.left_over.take().into_iter().chain(self.jobs.try_iter()).collect()
    }
}
