//! Drives one transaction: takes its mail, obeys [`next`], and tells whoever waits once the answer is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use escrow_store::{Version, error_chain};
use escrow_txn::{Answer, BranchOutcome, Drive, Event, Gid, OpStatus, Status, Step, apply, next};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::lanes::Rank;
use crate::registry::{Mail, Reply, ReplyTo};
use crate::shared::Shared;
use crate::{Failure, RequestError};

mod calls;
mod fan_out;
mod requests;
mod storage;

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// The one driver of one gid, for as long as there is something to do.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    gid: Gid,
    mailbox: mpsc::Receiver<Box<Mail>>,
    held: Option<Held>,
    calls: Calls,
    /// Answers that leave with the next durable state.
    replies: Vec<(Reply, Asked)>,
    /// Callers that wait for the result.
    waiters: Vec<ReplyTo>,
    /// The transaction was claimed because it was due, and nothing has been stored since.
    claim: Option<OwnedSemaphorePermit>,
    /// The memory that the held definition takes.
    room: Option<OwnedSemaphorePermit>,
}

/// The transaction as this driver holds it.
struct Held {
    drive: Box<Drive>,
    version: Version,
}

/// What a reply will say once the state is durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Receipt,
    Result,
}

/// The store failed: what this driver holds may not be what stands.
struct Lost(RequestError);

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, gid: Gid, mailbox: mpsc::Receiver<Box<Mail>>) -> Self {
        Self {
            shared,
            gid,
            mailbox,
            held: None,
            calls: FuturesUnordered::new(),
            replies: Vec::new(),
            waiters: Vec::new(),
            claim: None,
            room: None,
        }
    }

    /// Runs until there is nothing to do, or the coordinator stops.
    pub(crate) async fn run(mut self) {
        let killed = self.shared.killed.clone();
        let outcome = tokio::select! {
            biased;
            () = killed.cancelled() => Ok(()),
            outcome = self.work() => outcome,
        };
        let error = match outcome {
            Ok(()) => RequestError::ShuttingDown,
            Err(Lost(error)) => {
                self.lost(error.clone()).await;
                error
            }
        };
        for mail in self.shared.registry.close(&self.gid, &mut self.mailbox) {
            requests::respond(mail.reply, Err(error.clone()));
        }
    }

    async fn work(&mut self) -> Result<(), Lost> {
        let mut mail = self.mailbox.recv().await;
        while let Some(next) = mail {
            self.accept(next).await?;
            self.advance().await?;
            mail = self.rest().await;
        }
        Ok(())
    }

    /// Stores and calls what the rules ask for and takes in what happens, until the transaction is final or waits, or the
    /// coordinator stops and nothing is on its way.
    async fn advance(&mut self) -> Result<(), Lost> {
        while let Some(step) = self.step().await? {
            let stopping = self.shared.stopping.is_cancelled();
            if let Some(wait) = self.crowded_out(&step) {
                return self.put_off(wait).await;
            }
            if !stopping {
                self.start_calls(&step);
            }
            let wake = step.wake_at.map(|at| at.since(self.shared.clock.now()));
            if self.calls.is_empty() {
                if stopping && !step.settled {
                    return self.save().await;
                }
                if step.settled || wake != Some(Duration::ZERO) {
                    self.tell_waiters();
                    self.give_back(&step).await;
                    return Ok(());
                }
            }
            let stop = self.shared.stopping.clone();
            tokio::select! {
                biased;
                Some(answer) = self.calls.next() => self.answered(answer),
                Some(mail) = self.mailbox.recv() => self.accept(mail).await?,
                () = sleep_for(wake) => self.fold(Event::Wake),
                () = stop.cancelled(), if !stopping => {}
            }
        }
        Ok(())
    }

    /// How long to put off due work whose target has a long queue already.
    fn crowded_out(&self, step: &Step) -> Option<Duration> {
        let held = self.held.as_ref().filter(|_| self.claim.is_some() && self.calls.is_empty())?;
        step.calls.iter().find_map(|&call| {
            let lane = self.shared.caller.lane(calls::call_url(held.drive.txn(), call));
            self.shared.lanes.put_off(&lane, self.shared.config.lane_queue_claimed_max)
        })
    }

    async fn put_off(&mut self, by: Duration) -> Result<(), Lost> {
        self.claim = None;
        self.tell_waiters();
        let due_at = self.shared.clock.now().plus(by);
        self.shared.store.release(&self.gid, due_at).await;
        self.shared.due.at(due_at);
        Ok(())
    }

    /// A claim that led to no write would last for ever: gives it back.
    async fn give_back(&mut self, step: &Step) {
        if let (Some(_claim), Some(due_at)) = (self.claim.take(), step.wake_at) {
            self.shared.store.release(&self.gid, due_at).await;
            self.shared.due.at(due_at);
        }
    }

    /// Asks the rules, and makes durable what they want durable first. `None` if there is no transaction.
    async fn step(&mut self) -> Result<Option<Step>, Lost> {
        let Some(held) = &self.held else {
            return Ok(None);
        };
        let mut step = next(&held.drive, self.shared.clock.now());
        if let Some(progress) = step.commit_first.take() {
            let driving = storage::stays_in_flight(&held.drive, &step, &progress);
            self.commit(progress, driving).await?;
        }
        self.send_replies();
        Ok(Some(step))
    }

    fn fold(&mut self, event: Event) {
        let moment = self.shared.moment();
        let Some(held) = &mut self.held else { return };
        if let Err(error) = apply(&mut held.drive, event, moment) {
            tracing::error!(gid = %self.gid, error = error_chain(&error), "an event of the engine's own was illegal");
        }
    }

    fn answered(&mut self, answer: Answer) {
        let failed = matches!(answer.outcome, BranchOutcome::Unknown | BranchOutcome::Refused);
        let (call, code) = (answer.call, answer.code);
        let text = if failed { answer.text.clone() } else { String::new() };
        self.fold(Event::Answer(answer));
        let Some(Held { drive, .. }) = self.held.as_ref().filter(|_| failed) else { return };
        let Some(op) = drive.op(call).filter(|op| op.status == OpStatus::Open && op.failures > 0) else { return };
        let (txn, in_a_row) = (drive.txn(), op.failures);
        let (status, url) = (txn.progress.status, calls::call_url(txn, call));
        self.shared.observer.failed(&Failure { gid: &self.gid, status, url, code, answer: &text, in_a_row });
    }

    fn start_calls(&mut self, step: &Step) {
        let Some(held) = &mut self.held else { return };
        let rank = if held.drive.attempts().is_empty() { Rank::New } else { Rank::Begun };
        for &call in &step.calls {
            held.drive.calling(call);
            let (shared, timeout) = (Arc::clone(&self.shared), held.drive.request_timeout());
            let future = calls::make_call(shared, held.drive.txn(), call, timeout, rank);
            self.calls.push(future);
        }
    }

    /// Waits a moment for more mail, then closes the mailbox. `None`: closed, nothing came.
    async fn rest(&mut self) -> Option<Box<Mail>> {
        let prepared = self.held.as_ref().is_some_and(|h| h.drive.txn().progress.status == Status::Prepared);
        let crowded = self.shared.registry.active() > self.shared.config.active_max / 2;
        if prepared && !crowded && !self.shared.stopping.is_cancelled() {
            let wait = tokio::time::timeout(self.shared.config.linger, self.mailbox.recv());
            tokio::select! {
                biased;
                mail = wait => if let Ok(Some(mail)) = mail { return Some(mail) },
                () = self.shared.stopping.cancelled() => {}
            }
        }
        self.shared.registry.close_if_empty(&self.gid, &mut self.mailbox).err()
    }
}

/// Sleeps that long; for ever without a time.
async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
