//! Group commit: the way to a thread that makes many changes durable at once, so that the cost of a sync is shared whenever
//! there is company.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Jobs of one batch.
const BATCH_MAX: usize = 1_024;
/// While the batch before had more jobs than this, the writer waits a little for company.
const ALONE_MAX: usize = 3;
/// How long it waits at most. A write and its sync cost about the same CPU time whatever their size.
const GATHER: Duration = Duration::from_millis(1);
/// Once as many are there as last time, it waits a little longer if they are fewer than this: otherwise batches that have become
/// small stay small.
const COMPANY: usize = 32;
/// How much longer.
const LONGER: Duration = Duration::from_micros(200);
/// If nobody came meanwhile, it does not do so for a while: twice as long each time, up to so many batches.
const REST_MAX: u32 = 64;

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
    waiting: Arc<Waiting<J>>,
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
        let waiting = Arc::new(Waiting::new(limits.batch_bytes));
        let batches = Batches { waiting: Arc::clone(&waiting), last: 0, longer: Longer::default() };
        let thread = thread::Builder::new().name(thread.to_owned()).spawn(move || writer(batches))?;
        let room = Arc::new(Semaphore::new(limits.kib as usize));
        Ok(Self { waiting, room, limits, failed, thread: Some(thread) })
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
        if !self.waiting.push(Queued { job: job(answer), bytes, _room: room }) {
            return Err(Unanswered::Failed);
        }
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
        self.waiting.close();
        if let Some(thread) = self.thread.take() {
            // A panic in the writer has failed the calls it concerned.
            let _ = thread.join();
        }
    }
}

/// The jobs between those who ask and the writer.
struct Waiting<J> {
    state: Mutex<State<J>>,
    enough: Condvar,
    batch_bytes: usize,
}

struct State<J> {
    jobs: VecDeque<Queued<J>>,
    bytes: usize,
    /// How many jobs the writer sleeps for; `None` while it is awake. Nobody wakes it for fewer: a thread that is woken for
    /// each job costs more than the job.
    wanted: Option<usize>,
    /// One of the two ends is gone.
    closed: bool,
}

impl<J> Waiting<J> {
    fn new(batch_bytes: usize) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, wanted: None, closed: false };
        Self { state: Mutex::new(state), enough: Condvar::new(), batch_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a job; `false`: there is no writer any more.
    fn push(&self, job: Queued<J>) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.bytes = state.bytes.saturating_add(job.bytes);
        state.jobs.push_back(job);
        if state.wanted.is_some_and(|wanted| state.jobs.len() >= wanted || state.bytes >= self.batch_bytes) {
            state.wanted = None;
            drop(state);
            self.enough.notify_one();
        }
        true
    }

    fn close(&self) {
        self.lock().closed = true;
        self.enough.notify_one();
    }

    /// Sleeps until so many jobs wait, or as many bytes as fit into a batch; not after `until`, and not once the queue is
    /// closed.
    fn wait_for<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<J>>,
        jobs: usize,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State<J>> {
        while state.jobs.len() < jobs && state.bytes < self.batch_bytes && !state.closed {
            state.wanted = Some(jobs);
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.enough.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.enough.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.wanted = None;
        state
    }
}

impl<J> State<J> {
    /// The jobs of one batch; at least one, if any waits.
    fn take(&mut self, batch_bytes: usize) -> Vec<Queued<J>> {
        let mut batch = Vec::with_capacity(self.jobs.len().min(BATCH_MAX));
        let mut bytes = 0_usize;
        while let Some(next) = self.jobs.front().filter(|_| batch.len() < BATCH_MAX) {
            bytes = bytes.saturating_add(next.bytes);
            if bytes > batch_bytes && !batch.is_empty() {
                break;
            }
            self.bytes = self.bytes.saturating_sub(next.bytes);
            batch.extend(self.jobs.pop_front());
        }
        batch
    }
}

/// The writer's end of a queue.
pub struct Batches<J> {
    waiting: Arc<Waiting<J>>,
    /// How many jobs the batch before had.
    last: usize,
    longer: Longer,
}

/// Whether it is worth waiting longer, as learned from when it was tried.
#[derive(Debug, Default)]
struct Longer {
    /// Batches for which it is not tried.
    rest: u32,
    next_rest: u32,
}

impl Longer {
    fn is_worth_a_try(&mut self) -> bool {
        let tries = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        tries
    }

    fn tried(&mut self, somebody_came: bool) {
        self.next_rest = if somebody_came { 0 } else { (self.next_rest * 2).clamp(1, REST_MAX) };
        self.rest = self.next_rest;
    }
}

impl<J> Batches<J> {
    /// Waits for a job, and takes with it what waits in the queue; under load also what comes within the next moment, up to as
    /// much as last time. `None`: the queue was dropped, and everything in it has been taken.
    pub fn take(&mut self) -> Option<Vec<Queued<J>>> {
        let waiting = &*self.waiting;
        let mut state = waiting.wait_for(waiting.lock(), 1, None);
        if self.last > ALONE_MAX {
            let end = Instant::now() + GATHER;
            state = waiting.wait_for(state, self.last, Some(end));
            let there = state.jobs.len();
            if there < COMPANY && self.longer.is_worth_a_try() {
                state = waiting.wait_for(state, COMPANY, Some(end.min(Instant::now() + LONGER)));
                self.longer.tried(state.jobs.len() > there);
            }
        }
        let batch = state.take(waiting.batch_bytes);
        self.last = batch.len();
        (!batch.is_empty()).then_some(batch)
    }

    /// What waits at this moment, for a writer that has failed.
    pub fn rest(&mut self) -> Vec<Queued<J>> {
        let mut state = self.waiting.lock();
        state.bytes = 0;
        state.jobs.drain(..).collect()
    }
}

impl<J> fmt::Debug for Batches<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("last", &self.last).finish_non_exhaustive()
    }
}

impl<J> Drop for Batches<J> {
    fn drop(&mut self) {
        // Whoever still waits is told by the end of its answer's channel; outside the lock, for a job may do anything then.
        self.waiting.close();
        drop(self.rest());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    type Job = (u32, oneshot::Sender<u32>);

    const LIMITS: QueueLimits = QueueLimits { kib: 10_000, batch_bytes: 1_000_000 };

    /// A queue whose writer answers each job with its number, one batch per order; how many jobs each batch had comes back.
    fn ordered(limits: QueueLimits) -> (Queue<Job>, mpsc::Sender<()>, mpsc::Receiver<usize>) {
        let (order, orders) = mpsc::channel::<()>();
        let (size, sizes) = mpsc::channel();
        let writer = move |mut batches: Batches<Job>| {
            while orders.recv().is_ok() {
                let Some(batch) = batches.take() else { return };
                let _ = size.send(batch.len());
                for queued in batch {
                    let (number, answer) = queued.done();
                    let _ = answer.send(number);
                }
            }
        };
        let queue = Queue::start("writer", limits, watch::channel(false).1, writer).unwrap();
        (queue, order, sizes)
    }

    async fn ask_all(queue: &Queue<Job>, numbers: std::ops::Range<u32>, bytes: usize) -> Vec<Result<u32, Unanswered>> {
        let asked = numbers.map(|number| queue.ask(Room::OrWait, bytes, move |answer| (number, answer)));
        futures_util::future::join_all(asked).await
    }

    #[test]
    fn what_is_not_worth_it_is_tried_ever_more_rarely_and_at_once_again_when_it_was() {
        let mut longer = Longer::default();
        let mut rests = |somebody_came: bool| {
            let rested = (0..1_000).take_while(|_| !longer.is_worth_a_try()).count();
            longer.tried(somebody_came);
            rested
        };
        assert_eq!([false; 9].map(&mut rests), [0, 1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!([true, true, false, false].map(&mut rests), [64, 0, 0, 1]);
    }

    #[tokio::test]
    async fn what_waits_is_one_batch_and_each_job_gets_its_own_answer() {
        let (queue, order, sizes) = ordered(LIMITS);
        // The jobs are in the queue when the writer is told to begin.
        let begin = async { order.send(()).unwrap() };
        let (answers, ()) = tokio::join!(biased; ask_all(&queue, 0..100, 10), begin);
        assert_eq!(answers, (0..100).map(Ok).collect::<Vec<_>>());
        assert_eq!(sizes.recv(), Ok(100));
        // Under load the writer waits for company, and takes what there is when none comes.
        order.send(()).unwrap();
        assert_eq!(ask_all(&queue, 7..8, 10).await, [Ok(7)]);
        assert_eq!(sizes.recv(), Ok(1));
        drop(order);
    }

    #[tokio::test]
    async fn a_batch_has_no_more_bytes_than_it_may_unless_a_single_job_has() {
        let (queue, order, sizes) = ordered(QueueLimits { batch_bytes: 1_000, ..LIMITS });
        let begin = async { (0..3).for_each(|_| order.send(()).unwrap()) };
        let (answers, large, ()) =
            tokio::join!(biased; ask_all(&queue, 0..3, 400), ask_all(&queue, 3..4, 5_000), begin);
        assert!(answers.into_iter().chain(large).all(|answer| answer.is_ok()));
        drop(order);
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[tokio::test]
    async fn a_queue_without_room_turns_new_work_away_and_takes_it_again_once_there_is() {
        let (queue, order, _sizes) = ordered(QueueLimits { kib: 1, ..LIMITS });
        let second = async {
            let refused = queue.ask(Room::OrBusy, 10, |answer| (2, answer)).await;
            order.send(()).unwrap();
            refused
        };
        let (first, second) = tokio::join!(biased; ask_all(&queue, 1..2, 10), second);
        assert_eq!((first, second), (vec![Ok(1)], Err(Unanswered::Busy)));
        order.send(()).unwrap();
        assert_eq!(queue.ask(Room::OrBusy, 10, |answer| (3, answer)).await, Ok(3));
        drop(order);
    }

    #[tokio::test]
    async fn a_writer_that_is_gone_leaves_nobody_waiting() {
        let (order, orders) = mpsc::channel::<()>();
        let writer = move |mut batches: Batches<Job>| {
            let first = batches.take();
            let _ = orders.recv();
            drop(first);
        };
        let queue = Queue::start("writer", LIMITS, watch::channel(false).1, writer).unwrap();
        let gone = async { drop(order) };
        let (answers, ()) = tokio::join!(biased; ask_all(&queue, 0..5, 10), gone);
        assert_eq!(answers, vec![Err(Unanswered::WriterGone); 5]);
        let mut queue = queue;
        queue.thread.take().unwrap().join().unwrap();
        assert_eq!(ask_all(&queue, 5..6, 10).await, [Err(Unanswered::Failed)]);
    }

    #[tokio::test]
    async fn a_queue_that_is_dropped_lets_its_writer_finish() {
        let (size, sizes) = mpsc::channel();
        let writer = move |mut batches: Batches<Job>| {
            while let Some(batch) = batches.take() {
                size.send(batch.len()).unwrap();
            }
        };
        let queue = Queue::start("writer", LIMITS, watch::channel(false).1, writer).unwrap();
        let mut asked = Box::pin(queue.ask(Room::OrBusy, 1, |answer| (1, answer)));
        assert!(futures_util::FutureExt::now_or_never(&mut asked).is_none());
        drop(asked);
        drop(queue);
        assert_eq!(sizes.into_iter().sum::<usize>(), 1);
    }
}
