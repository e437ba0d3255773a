//! The one thread that writes the log: many requests, one frame, one sync, then all their answers.

use std::sync::Arc;

use escrow_store::{Batches, Queue, QueueLimits, Queued, Room, StoreError, error_chain};
use tokio::sync::{oneshot, watch};

use crate::core::{Core, Outcome, Request};
use crate::error::WriteFailure;
use crate::log::{AppendError, Log};
use crate::thread::{Alarm, Waker};

/// The way to the writer. Dropping it lets the writer finish, and waits for it.
#[derive(Debug)]
pub(crate) struct Writer(Queue<Job>);

#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Result<Outcome, WriteFailure>>,
}

impl Writer {
    pub(crate) fn start(
        core: Arc<Core>,
        log: Log,
        keeper: Waker,
        failed: Arc<watch::Sender<bool>>,
    ) -> std::io::Result<Self> {
        let limits = QueueLimits { kib: core.tuning.queue_kib, batch_bytes: core.tuning.batch_bytes };
        let told = failed.subscribe();
        let run = move |batches| Run { core, log, keeper, failed }.run(batches);
        Ok(Self(Queue::start("escrow-log", limits, told, run)?))
    }

    /// What the request leads to, once that is durable.
    pub(crate) async fn write(&self, room: Room, request: Request) -> Result<Outcome, StoreError> {
        let bytes = request.bytes();
        let answered = self.0.ask(room, bytes, |answer| Job { request, answer }).await;
        Ok(answered.map_err(WriteFailure::of_queue)??)
    }

    /// Returns when no write can succeed any more.
    pub(crate) async fn failed(&self) {
        self.0.failed().await;
    }
}

struct Run {
    core: Arc<Core>,
    log: Log,
    keeper: Waker,
    failed: Arc<watch::Sender<bool>>,
}

impl Run {
    /// Until the queue is closed, or the store fails. The end of the queue is the clean stop.
    fn run(mut self, mut batches: Batches<Job>) {
        let _alarm = Alarm(Arc::clone(&self.failed));
        while let Some(batch) = batches.take() {
            if !self.write(batch) {
                self.failed.send_replace(true);
                refuse(batches.rest(), &WriteFailure::Failed);
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

    /// Makes a batch durable and answers it. Whether the store goes on.
    fn write(&mut self, batch: Vec<Queued<Job>>) -> bool {
        // The keeper may have.
        if *self.failed.borrow() {
            refuse(batch, &WriteFailure::Failed);
            return false;
        }
        let requests: Vec<&Request> = batch.iter().map(|queued| &queued.job.request).collect();
        match self.core.write(&mut self.log, &requests) {
            Ok(outcomes) => {
                batch.into_iter().zip(outcomes).for_each(|(queued, outcome)| queued.done().answer(Ok(outcome)));
                self.keeper.wake();
                true
            }
            Err(error) => {
                let goes_on = !matches!(error, AppendError::Failed(_));
                refuse(batch, &WriteFailure::of_log(error));
                self.keeper.wake();
                goes_on
            }
        }
    }
}

fn refuse(batch: Vec<Queued<Job>>, failure: &WriteFailure) {
    batch.into_iter().for_each(|queued| queued.done().answer(Err(failure.clone())));
}

impl Job {
    fn answer(self, answer: Result<Outcome, WriteFailure>) {
        // Whoever asked may have gone; what is durable stays durable.
        let _ = self.answer.send(answer);
    }
}
