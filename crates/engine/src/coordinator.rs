use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use escrow_store::{Clock, ListQuery, Page, Store, StoreError, TxnSummary, Versioned};
use escrow_txn::{Abort, Begin, Defaults, Gid, Operator, Registration, Status, Txn};
use futures_util::FutureExt;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ACTIVE_BYTES_MIN;
use crate::driver::Driver;
use crate::due::{self, DueHint};
use crate::lanes::{Caps, Lanes};
use crate::registry::{Answer, Ask, Mail, Registry, ReplyTo, Undelivered};
use crate::shared::Shared;
use crate::{BranchCaller, EngineConfig, Jitter, Observer, RequestError, Topics, purge};

/// When to try again after a refusal for too much work.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How soon a transaction is taken up again whose driver panicked.
const RETAKE_AFTER_PANIC: Duration = Duration::from_secs(60);

/// The coordinator: takes requests, drives transactions, wakes them in time.
///
/// Cheap to clone; all clones are one coordinator.
#[derive(Clone)]
pub struct Coordinator {
    pub(crate) shared: Arc<Shared>,
}

/// What a request for a result came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is durable and is carried out; nobody asked to wait.
    Accepted,
    /// It ended so, durably.
    Ended {
        /// The final status.
        status: Status,
        /// Why it turned back or was stopped.
        reason: Option<String>,
    },
    /// It waits, durably, or it has taken too long to wait for.
    Waiting {
        /// Where it stands.
        status: Status,
        /// Why it turns back.
        reason: Option<String>,
    },
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").field("active", &self.active()).finish_non_exhaustive()
    }
}

impl Coordinator {
    /// Starts a coordinator: takes up what was in flight, and waits for what becomes due. Needs a tokio runtime around it.
    pub fn start(
        config: EngineConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        caller: Arc<dyn BranchCaller>,
        topics: Arc<dyn Topics>,
        observer: Arc<dyn Observer>,
        jitter: Jitter,
    ) -> Self {
        let caps = Caps { total: config.calls_max, per_lane: config.lane_calls_max, queue: config.lane_queue_max };
        let claims = Arc::new(Semaphore::new(config.claimed_max));
        let memory_kib = config.active_bytes_max.max(ACTIVE_BYTES_MIN) / 1024;
        let memory = Arc::new(Semaphore::new(memory_kib.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            config,
            store,
            clock,
            caller,
            topics,
            observer,
            jitter,
            lanes: Lanes::new(caps),
            registry: Registry::new(),
            due: DueHint::default(),
            claims,
            memory,
            retrying: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
            writes: AtomicU64::new(0),
            failed_writes: AtomicU64::new(0),
        });
        shared.tasks.spawn(due::run(Arc::clone(&shared)));
        shared.tasks.spawn(purge::run(Arc::clone(&shared)));
        Self { shared }
    }

    /// Begins a transaction. Repeating the same request is fine while it is prepared.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn prepare(&self, begin: Begin) -> Result<(), RequestError> {
        let gid = begin.gid.clone();
        self.ask(gid, Ask::Prepare(begin)).await.map(drop)
    }

    /// Decides a transaction forward; begins it if it is a saga or a message and new. Waits for the result if
    /// `begin.options.wait_result` says so.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn submit(&self, begin: Begin) -> Result<Receipt, RequestError> {
        let gid = begin.gid.clone();
        self.ask(gid, Ask::Submit(begin)).await
    }

    /// Turns a prepared transaction back. Waits for the result if it was prepared with `wait_result`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn abort(&self, abort: Abort) -> Result<Receipt, RequestError> {
        self.ask(abort.gid.clone(), Ask::Abort(abort)).await
    }

    /// Adds a branch to a prepared TCC or XA. Repeating the identical registration is fine while it is prepared.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn register(&self, registration: Registration) -> Result<(), RequestError> {
        self.ask(registration.gid.clone(), Ask::Register(registration)).await.map(drop)
    }

    /// The transaction as it is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn query(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        self.shared.store.load(gid).await
    }

    /// One page of transactions, newest first, as they are durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        self.shared.store.list(query).await
    }

    /// An operator asks a transaction to go on at once.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn retry_now(&self, gid: Gid) -> Result<(), RequestError> {
        self.ask(gid, Ask::RetryNow).await.map(drop)
    }

    /// An operator turns back a submitted saga; recorded with the transaction.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn order_abort(&self, gid: Gid, operator: Operator) -> Result<(), RequestError> {
        self.ask(gid, Ask::OrderAbort(operator)).await.map(drop)
    }

    /// An operator ends a transaction, whatever has been done; recorded with the transaction.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn force_stop(&self, gid: Gid, operator: Operator) -> Result<(), RequestError> {
        self.ask(gid, Ask::ForceStop(operator)).await.map(drop)
    }

    /// What transactions get where they say nothing.
    pub fn defaults(&self) -> Defaults {
        self.shared.config.defaults
    }

    /// Transactions in memory now.
    pub fn active(&self) -> usize {
        self.shared.registry.active()
    }

    /// Whether [`Coordinator::shutdown`] has been called.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Takes no more requests, lets what is on its way finish for at most `grace`, and stores it. Returns whether
    /// everything ended in time; what did not is taken up again by the next start.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        let in_time = tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_ok();
        self.shared.killed.cancel();
        self.shared.tasks.wait().await;
        in_time
    }

    /// Puts a request into the transaction's mailbox and waits for the answer.
    async fn ask(&self, gid: Gid, ask: Ask) -> Result<Receipt, RequestError> {
        let direction = match &ask {
            Ask::Abort(_) => Status::Aborting,
            _ => Status::Submitted,
        };
        let answer = self.send(&gid, ask)?;
        self.answer(gid, answer, direction).await
    }

    /// Puts a request into the transaction's mailbox.
    fn send(&self, gid: &Gid, ask: Ask) -> Result<Answer, RequestError> {
        if self.is_stopping() {
            return Err(RequestError::ShuttingDown);
        }
        let (reply, answer) = ReplyTo::new();
        let mail = Mail { ask, reply: Some(reply) };
        start_driver(&self.shared, gid, mail).map_err(|Undelivered::Full| overloaded())?;
        Ok(answer)
    }

    async fn answer(&self, gid: Gid, mut answer: Answer, direction: Status) -> Result<Receipt, RequestError> {
        let until = Instant::now() + self.shared.config.wait_result_max;
        // No answer: it takes too long, or the driver was killed, or it panicked.
        let interrupted = || RequestError::Interrupted { gid: gid.clone() };
        match timeout_at(until, answer.received()).await {
            Ok(received) => received.unwrap_or_else(|| Err(interrupted())),
            // Driving goes on without the caller.
            Err(_) if answer.is_durable() => Ok(Receipt::Waiting { status: direction, reason: None }),
            Err(_) => Err(interrupted()),
        }
    }
}

/// Too much work at the moment.
pub(crate) fn overloaded() -> RequestError {
    RequestError::Overloaded { retry_after: RETRY_AFTER }
}

/// Gives mail to the driver of its transaction, and starts one if there is none.
pub(crate) fn start_driver(shared: &Arc<Shared>, gid: &Gid, mail: Mail) -> Result<(), Undelivered> {
    shared.registry.deliver(gid, mail, shared.config.active_max, |mailbox| {
        // Boxed where it is made: it is some kilobytes, and would be moved several times on its way into a task.
        let driving = Box::pin(Driver::new(Arc::clone(shared), gid.clone(), mailbox).run());
        let (shared, gid) = (Arc::clone(shared), gid.clone());
        shared.tasks.clone().spawn(async move {
            if AssertUnwindSafe(driving).catch_unwind().await.is_err() {
                tracing::error!(%gid, "the driver of a transaction panicked");
                let due_at = shared.clock.now().plus(RETAKE_AFTER_PANIC);
                shared.store.release(&gid, due_at).await;
                shared.due.at(due_at);
            }
        });
    })
}
