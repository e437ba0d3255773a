//! The keeper's thread: when it works, and what it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use escrow_store::{StoreError, StoredTxn, error_chain};
use escrow_txn::{Gid, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::archive::Purgeable;
use crate::core::Core;
use crate::error::WriteFailure;
use crate::keeper::{Keeper, KeeperError};

/// Work waits for company this long: many transactions are archived at once.
const WORK_AFTER: Duration = Duration::from_millis(200);
/// How soon work is tried again that failed, for want of space say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The way to the keeper. Dropping it ends the keeper, and waits for it.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    tasks: Option<mpsc::Sender<Task>>,
    failed: Arc<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the keeper from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    tasks: mpsc::Sender<Task>,
    is_awake: Arc<AtomicBool>,
}

/// What the keeper is asked, with the answer's place.
#[derive(Debug)]
enum Task {
    /// There may be work.
    Wake,
    /// Bring timers into memory.
    Refill(Answer<()>),
    /// See [`Keeper::purgeable`].
    Purgeable { final_before: Timestamp, limit: u32, answer: Answer<Purgeable> },
    /// See [`Keeper::drop_purged`].
    DropPurged(Answer<()>),
    /// See [`Keeper::release`].
    Release(Option<Gid>, Answer<u64>),
    /// See [`Keeper::import`].
    Import(Vec<StoredTxn>, Answer<()>),
    /// The end.
    Stop,
}

type Answer<T> = oneshot::Sender<Result<T, WriteFailure>>;

impl Waker {
    /// There may be work to do.
    pub(crate) fn wake(&self) {
        if !self.is_awake.swap(true, SeqCst) {
            // An error means that the keeper has ended.
            let _ = self.tasks.send(Task::Wake);
        }
    }
}

impl KeeperThread {
    pub(crate) fn start(
        core: Arc<Core>,
        keeper: Keeper,
        failed: Arc<watch::Sender<bool>>,
    ) -> std::io::Result<(Self, Waker)> {
        let (sender, tasks) = mpsc::channel();
        let is_awake = Arc::new(AtomicBool::new(false));
        let waker = Waker { tasks: sender.clone(), is_awake: Arc::clone(&is_awake) };
        let run = Run { core, keeper, tasks, is_awake, failed: Arc::clone(&failed) };
        let thread = std::thread::Builder::new().name("escrow-keeper".to_owned()).spawn(move || run.run())?;
        waker.wake();
        Ok((Self { tasks: Some(sender), failed, thread: Some(thread) }, waker))
    }

    /// Brings timers into memory.
    pub(crate) async fn refill(&self) -> Result<(), StoreError> {
        self.ask(Task::Refill).await
    }

    /// See [`Keeper::purgeable`].
    pub(crate) async fn purgeable(&self, final_before: Timestamp, limit: u32) -> Result<Purgeable, StoreError> {
        self.ask(|answer| Task::Purgeable { final_before, limit, answer }).await
    }

    /// See [`Keeper::drop_purged`].
    pub(crate) async fn drop_purged(&self) -> Result<(), StoreError> {
        self.ask(Task::DropPurged).await
    }

    /// See [`Keeper::release`].
    pub(crate) async fn release(&self, gid: Option<Gid>) -> Result<u64, StoreError> {
        self.ask(|answer| Task::Release(gid, answer)).await
    }

    /// See [`Keeper::import`].
    pub(crate) async fn import(&self, txns: Vec<StoredTxn>) -> Result<(), StoreError> {
        self.ask(|answer| Task::Import(txns, answer)).await
    }

    async fn ask<T>(&self, task: impl FnOnce(Answer<T>) -> Task) -> Result<T, StoreError> {
        if *self.failed.borrow() {
            return Err(WriteFailure::Failed.into());
        }
        let (answer, answered) = oneshot::channel();
        let Some(Ok(())) = self.tasks.as_ref().map(|tasks| tasks.send(task(answer))) else {
            return Err(WriteFailure::Failed.into());
        };
        Ok(answered.await.unwrap_or(Err(WriteFailure::WriterGone))?)
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            let _ = tasks.send(Task::Stop);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says that the store has failed if its thread panics.
pub(crate) struct Alarm(pub(crate) Arc<watch::Sender<bool>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

struct Run {
    core: Arc<Core>,
    keeper: Keeper,
    tasks: mpsc::Receiver<Task>,
    is_awake: Arc<AtomicBool>,
    failed: Arc<watch::Sender<bool>>,
}

/// The store has failed for good.
struct Fatal;

impl Run {
    fn run(self) {
        let _alarm = Alarm(Arc::clone(&self.failed));
        if let Err(Fatal) = self.work() {
            self.failed.send_replace(true);
        }
    }

    /// Until it is told to stop, or the store fails.
    fn work(&self) -> Result<(), Fatal> {
        let mut work_at: Option<Instant> = None;
        loop {
            let task = match work_at {
                Some(at) => self.tasks.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => self.tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match task {
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                Ok(Task::Wake) => {
                    let at = Instant::now() + WORK_AFTER;
                    work_at = Some(work_at.map_or(at, |earlier| earlier.min(at)));
                }
                Ok(task) => self.carry_out(task)?,
                Err(RecvTimeoutError::Timeout) => work_at = self.step()?.map(|pause| Instant::now() + pause),
            }
        }
    }

    /// Leaves little for the next start to do again.
    fn finish(&self) -> Result<(), Fatal> {
        while self.note(self.keeper.archive(self.core.clock.now()))?.unwrap_or(false) {}
        self.note(self.keeper.settle()).map(drop)
    }

    /// One round; how long to pause after it, `None`: until somebody calls.
    fn step(&self) -> Result<Option<Duration>, Fatal> {
        // Before looking: what comes up from now on wakes it again.
        self.is_awake.store(false, SeqCst);
        let more = self.note(self.keeper.step(self.core.clock.now()))?;
        let table = self.core.table();
        Ok(match more {
            None => Some(RETRY_AFTER),
            Some(true) => Some(Duration::ZERO),
            Some(false) if self.core.is_full() => Some(RETRY_AFTER),
            Some(false) if table.backlog() > 0 => Some(WORK_AFTER),
            // Timers come closer without anybody calling.
            Some(false) if table.far.any => Some(self.core.tuning.timers_window / 4),
            Some(false) => None,
        })
    }

    fn carry_out(&self, task: Task) -> Result<(), Fatal> {
        match task {
            Task::Wake | Task::Stop => Ok(()),
            Task::Refill(answer) => self.answer(answer, self.keeper.refill(self.core.clock.now()).map(drop)),
            Task::Purgeable { final_before, limit, answer } => {
                self.answer(answer, self.keeper.purgeable(final_before, limit))
            }
            Task::DropPurged(answer) => self.answer(answer, self.keeper.drop_purged()),
            Task::Import(txns, answer) => self.answer(answer, self.keeper.import(txns)),
            Task::Release(gid, answer) => self.answer(answer, self.keeper.release(gid.as_ref())),
        }
    }

    fn answer<T>(&self, answer: Answer<T>, result: Result<T, KeeperError>) -> Result<(), Fatal> {
        let is_fatal = result.as_ref().is_err_and(KeeperError::is_fatal);
        let _ = answer.send(result.map_err(WriteFailure::of_keeper));
        if is_fatal { Err(Fatal) } else { Ok(()) }
    }

    /// The result of a step; `None`: it failed and will be tried again.
    fn note<T>(&self, result: Result<T, KeeperError>) -> Result<Option<T>, Fatal> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_fatal() => {
                tracing::error!(error = error_chain(&error), "the archive or the log's files have failed");
                Err(Fatal)
            }
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the store's files cannot be kept in order at the moment");
                Ok(None)
            }
        }
    }
}
