//! The one thread that writes the log: many requests, one frame, one sync, then all their answers.

use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use escrow_store::{StoreError, error_chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::core::{Core, Outcome, Request};
use crate::error::WriteFailure;
use crate::log::{AppendError, Log};
use crate::thread::{Alarm, Waker};

/// Requests of one batch.
const BATCH_MAX: usize = 1_024;
/// While the batch before had more requests than this, the writer waits a little for company.
const ALONE_MAX: usize = 3;
/// How long it waits at most. A write and its sync cost about the same CPU time whatever their size.
const GATHER: Duration = Duration::from_millis(1);

/// Whether a request may wait until there is room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// New work is turned away instead.
    OrBusy,
    /// Work in progress waits.
    OrWait,
}

/// The way to the writer. Dropping it lets the writer finish, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Queued>>,
    /// What the queue may still take, in KiB.
    room: Arc<Semaphore>,
    queue_kib: u32,
    failed: Arc<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queued {
    request: Request,
    answer: oneshot::Sender<Result<Outcome, WriteFailure>>,
    /// Given back when it is done.
    room: OwnedSemaphorePermit,
}

impl Writer {
    pub(crate) fn start(
        core: Arc<Core>,
        log: Log,
        keeper: Waker,
        failed: Arc<watch::Sender<bool>>,
    ) -> std::io::Result<Self> {
        let (sender, queue) = mpsc::channel();
        let queue_kib = core.tuning.queue_kib;
        let run = Run { core, log, queue, keeper, failed: Arc::clone(&failed), last_batch: 0, left_over: None };
        let thread = thread::Builder::new().name("escrow-log".to_owned()).spawn(move || run.run())?;
        let room = Arc::new(Semaphore::new(queue_kib as usize));
        Ok(Self { queue: Some(sender), room, queue_kib, failed, thread: Some(thread) })
    }

    /// What the request leads to, once that is durable.
    pub(crate) async fn write(&self, room: Room, request: Request) -> Result<Outcome, StoreError> {
        let kib = u32::try_from(1 + request.bytes() / 1024).unwrap_or(u32::MAX).min(self.queue_kib);
        let semaphore = Arc::clone(&self.room);
        let room = match room {
            Room::OrBusy => semaphore.try_acquire_many_owned(kib).map_err(|_| StoreError::Busy)?,
            // The semaphore is never closed.
            Room::OrWait => semaphore.acquire_many_owned(kib).await.map_err(|_| StoreError::Busy)?,
        };
        if *self.failed.borrow() {
            return Err(WriteFailure::Failed.into());
        }
        let (answer, answered) = oneshot::channel();
        let Some(Ok(())) = self.queue.as_ref().map(|queue| queue.send(Queued { request, answer, room })) else {
            return Err(WriteFailure::Failed.into());
        };
        Ok(answered.await.unwrap_or(Err(WriteFailure::WriterGone))?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the writer has failed the calls it concerned.
            let _ = thread.join();
        }
    }
}

struct Run {
    core: Arc<Core>,
    log: Log,
    queue: mpsc::Receiver<Queued>,
    keeper: Waker,
    failed: Arc<watch::Sender<bool>>,
    /// How many requests the batch before had.
    last_batch: usize,
    /// Did not fit into the batch any more.
    left_over: Option<Queued>,
}

impl Run {
    /// Until the queue is closed, or the store fails. The end of the queue is the clean stop.
    fn run(mut self) {
        let _alarm = Alarm(Arc::clone(&self.failed));
        while let Some(first) = self.left_over.take().or_else(|| self.queue.recv().ok()) {
            let batch = self.gather(first);
            self.last_batch = batch.len();
            if !self.write(batch) {
                self.failed.send_replace(true);
                for queued in self.left_over.take().into_iter().chain(self.queue.try_iter()) {
                    queued.answer(Err(WriteFailure::Failed));
                }
                return;
            }
        }
        if !*self.failed.borrow()
            && let Err(error) = self.log.stop(self.core.first_needed())
        {
            tracing::warn!(
                error = error_chain(&error),
                "the log was not ended cleanly: the next start checks more of it"
            );
        }
    }

    /// Takes what waits in the queue; under load also what comes within the next moment, up to as much as last time.
    fn gather(&mut self, first: Queued) -> Vec<Queued> {
        let mut bytes = first.request.bytes();
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
            bytes += next.request.bytes();
            if bytes > self.core.tuning.batch_bytes {
                self.left_over = Some(next);
                break;
            }
            batch.push(next);
        }
        batch
    }

    /// Makes a batch durable and answers it. Whether the store goes on.
    fn write(&mut self, batch: Vec<Queued>) -> bool {
        // The keeper may have.
        if *self.failed.borrow() {
            batch.into_iter().for_each(|queued| queued.answer(Err(WriteFailure::Failed)));
            return false;
        }
        let requests: Vec<&Request> = batch.iter().map(|queued| &queued.request).collect();
        match self.core.write(&mut self.log, &requests) {
            Ok(outcomes) => {
                batch.into_iter().zip(outcomes).for_each(|(queued, outcome)| queued.answer(Ok(outcome)));
                self.keeper.wake();
                true
            }
            Err(error) => {
                let goes_on = !matches!(error, AppendError::Failed(_));
                let failure = WriteFailure::of_log(error);
                batch.into_iter().for_each(|queued| queued.answer(Err(failure.clone())));
                self.keeper.wake();
                goes_on
            }
        }
    }
}

impl Queued {
    fn answer(self, answer: Result<Outcome, WriteFailure>) {
        // First, so that whoever is answered finds the room that it took.
        drop(self.room);
        // Whoever asked may have gone; what is durable stays durable.
        let _ = self.answer.send(answer);
    }
}
