//! Drives one transaction: takes its mail, obeys [`next`], and tells whoever waits once the answer is durable.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use escrow_store::{Change, CommitError, Created, Head, NewTxn, StoreError, Version, Versioned};
use escrow_txn::{
    Amendment, Answer, Begin, BranchOp, BranchOutcome, CallId, Definition, Drive, Event, Gid, InvalidDefinition,
    Operator, Pattern, Progress, RepeatRefused, Request, Status, Step, Txn, apply, check_repeat, next,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::due::display_chain;
use crate::registry::{Ask, Claimed, Mail, Reply};
use crate::shared::Shared;
use crate::{BranchCall, BranchReply, Receipt, RequestError};

/// How soon a transaction is taken up again that the store failed.
const RETAKE_AFTER: Duration = Duration::from_secs(1);

/// How long due work is put off whose target has a long queue.
const PUT_OFF: Duration = Duration::from_secs(5);

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// The one driver of one gid, for as long as there is something to do.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    gid: Gid,
    mailbox: mpsc::Receiver<Mail>,
    held: Option<Held>,
    calls: Calls,
    /// Answers that leave with the next durable state.
    replies: Vec<(Reply, Asked)>,
    /// Callers that wait for the result.
    waiters: Vec<Reply>,
    /// The transaction was claimed because it was due, and nothing has been stored since.
    claim: Option<OwnedSemaphorePermit>,
}

/// The transaction as this driver holds it.
struct Held {
    drive: Drive,
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
    pub(crate) fn new(shared: Arc<Shared>, gid: Gid, mailbox: mpsc::Receiver<Mail>) -> Self {
        Self {
            shared,
            gid,
            mailbox,
            held: None,
            calls: FuturesUnordered::new(),
            replies: Vec::new(),
            waiters: Vec::new(),
            claim: None,
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
        if let Err(Lost(error)) = outcome {
            self.lost(error).await;
        }
        for mail in self.shared.registry.close(&self.gid, &mut self.mailbox) {
            respond(mail.reply, Err(RequestError::ShuttingDown));
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
            if self.is_crowded_out(&step) {
                return self.put_off().await;
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
                Some(answer) = self.calls.next() => self.fold(Event::Answer(answer)),
                Some(mail) = self.mailbox.recv() => self.accept(mail).await?,
                () = sleep_for(wake) => self.fold(Event::Wake),
                () = stop.cancelled(), if !stopping => {}
            }
        }
        Ok(())
    }

    /// Whether this is due work whose target has a long queue already.
    fn is_crowded_out(&self, step: &Step) -> bool {
        let Some(held) = self.held.as_ref().filter(|_| self.claim.is_some() && self.calls.is_empty()) else {
            return false;
        };
        step.calls.iter().any(|&call| {
            let url = call_url(held.drive.txn(), call);
            self.shared.lanes.waiting(&self.shared.caller.lane(url)) >= self.shared.config.lane_queue_claimed_max
        })
    }

    async fn put_off(&mut self) -> Result<(), Lost> {
        self.claim = None;
        self.tell_waiters();
        let due_at = self.shared.clock.now().plus(PUT_OFF);
        self.shared.store.release(&self.gid, due_at).await;
        self.shared.due.at(due_at);
        Ok(())
    }

    /// A claim that led to no write would last for ever: gives it back.
    async fn give_back(&mut self, step: &Step) {
        if let (Some(_claim), Some(due_at)) = (self.claim.take(), step.wake_at) {
            self.shared.store.release(&self.gid, due_at).await;
        }
    }

    /// Asks the rules, and makes durable what they want durable first. `None` if there is no transaction.
    async fn step(&mut self) -> Result<Option<Step>, Lost> {
        let Some(held) = &self.held else {
            return Ok(None);
        };
        let step = next(&held.drive, self.shared.clock.now());
        if let Some(progress) = &step.commit_first {
            let driving = !step.calls.is_empty() || !held.drive.is_idle();
            self.commit(progress.clone(), driving).await?;
        }
        self.send_replies();
        Ok(Some(step))
    }

    fn fold(&mut self, event: Event) {
        let moment = self.shared.moment();
        let Some(held) = &mut self.held else { return };
        if let Err(error) = apply(&mut held.drive, event, moment) {
            tracing::error!(gid = %self.gid, error = display_chain(&error), "an event of the engine's own was illegal");
        }
    }

    fn start_calls(&mut self, step: &Step) {
        let Some(held) = &mut self.held else { return };
        for &call in &step.calls {
            held.drive.calling(call);
            let future = make_call(Arc::clone(&self.shared), held.drive.txn(), call, held.drive.request_timeout());
            self.calls.push(future);
        }
    }

    /// Waits a moment for more mail, then closes the mailbox. `None`: closed, nothing came.
    async fn rest(&mut self) -> Option<Mail> {
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

// ---- requests ----

impl Driver {
    /// Takes in one piece of mail. Its answer leaves once what it says is durable.
    async fn accept(&mut self, mail: Mail) -> Result<(), Lost> {
        let Mail { ask, reply } = mail;
        let asked = match &ask {
            Ask::Submit(begin) if begin.options.wait_result => Asked::Result,
            _ => Asked::Receipt,
        };
        let handled = match ask {
            Ask::Due(claimed) => {
                self.take_over(*claimed);
                Ok(asked)
            }
            Ask::Prepare(begin) => self.begin(*begin, Request::Prepare).await.map(|()| asked),
            Ask::Submit(begin) => self.begin(*begin, Request::Submit).await.map(|()| asked),
            Ask::Abort(abort) => self.abort(abort).await,
            Ask::Register(registration) => {
                self.event(Some(registration.pattern), Event::Register(registration.branch)).await.map(|()| asked)
            }
            Ask::RetryNow => self.event(None, Event::RetryNow).await.map(|()| asked),
            Ask::OrderAbort(operator) => self.order(operator, Event::OrderAbort).await.map(|()| asked),
            Ask::ForceStop(operator) => self.order(operator, Event::ForceStop).await.map(|()| asked),
        };
        match handled {
            Ok(asked) => self.replies.push((reply, asked)),
            Err(Failed::Refused(error)) => respond(reply, Err(error)),
            Err(Failed::Lost(lost)) => {
                respond(reply, Err(lost.0.clone()));
                return Err(lost);
            }
        }
        Ok(())
    }

    /// A claimed transaction arrives. What is held already is newer, or the same.
    fn take_over(&mut self, claimed: Claimed) {
        let known = self.held.as_ref().is_some_and(|h| h.version >= claimed.txn.version);
        if !known {
            self.hold(claimed.txn);
        }
        self.claim = Some(claimed.permit);
        self.fold(Event::Wake);
    }

    fn hold(&mut self, txn: Versioned<Txn>) {
        let drive = Drive::load(txn.value, self.shared.config.defaults);
        self.held = Some(Held { drive, version: txn.version });
    }

    /// Begins, or repeats, or decides.
    async fn begin(&mut self, begin: Begin, request: Request) -> Result<(), Failed> {
        let pattern = begin.pattern;
        let submitted = request == Request::Submit;
        let def = begin.into_definition(self.shared.clock.now());
        let check_back_missing = pattern == Pattern::Message && !submitted && def.check_back_url.is_empty();
        def.check()
            .and(if check_back_missing { Err(InvalidDefinition::NoCheckBack) } else { Ok(()) })
            .map_err(|source| Failed::Refused(RequestError::Invalid { gid: self.gid.clone(), source }))?;
        if submitted && pattern.registers_branches() {
            if !self.load().await? {
                return Err(Failed::Refused(RequestError::NotPrepared { gid: self.gid.clone(), pattern }));
            }
        } else if self.held.is_none() && self.create(def.clone(), submitted).await? {
            return Ok(());
        }
        self.repeat(def, request)
    }

    /// A request for a gid that exists.
    fn repeat(&mut self, def: Definition, request: Request) -> Result<(), Failed> {
        let Some(held) = &mut self.held else {
            return Err(Failed::Refused(RequestError::NotFound { gid: self.gid.clone() }));
        };
        check_repeat(held.drive.txn(), request, def.pattern, def.digest)
            .map_err(|source| Failed::Refused(RequestError::Repeat { gid: self.gid.clone(), source }))?;
        if request == Request::Prepare {
            return Ok(());
        }
        let amendment = Amendment { options: def.options, custom_data: def.custom_data };
        let event = Event::Submit { amendment, branches: def.branches };
        apply(&mut held.drive, event, self.shared.moment())
            .map_err(|source| Failed::Refused(RequestError::Illegal { gid: self.gid.clone(), source }))
    }

    async fn abort(&mut self, abort: escrow_txn::Abort) -> Result<Asked, Failed> {
        self.event(Some(abort.pattern), Event::Abort { reason: abort.reason }).await?;
        let waits = self.held.as_ref().is_some_and(|h| h.drive.txn().options().wait_result);
        Ok(if waits { Asked::Result } else { Asked::Receipt })
    }

    async fn order(&mut self, operator: Operator, event: impl FnOnce(Operator) -> Event) -> Result<(), Failed> {
        tracing::info!(gid = %self.gid, by = operator.by, "an operator gave an order");
        self.event(None, event(operator)).await
    }

    /// Applies an event to a transaction that must exist, and must be of this pattern if one is named.
    async fn event(&mut self, pattern: Option<Pattern>, event: Event) -> Result<(), Failed> {
        if !self.load().await? {
            return Err(Failed::Refused(RequestError::NotFound { gid: self.gid.clone() }));
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let stored = held.drive.txn().def.pattern;
        if let Some(sent) = pattern.filter(|&sent| sent != stored) {
            let source = RepeatRefused::Pattern { stored, sent };
            return Err(Failed::Refused(RequestError::Repeat { gid: self.gid.clone(), source }));
        }
        apply(&mut held.drive, event, self.shared.moment())
            .map_err(|source| Failed::Refused(RequestError::Illegal { gid: self.gid.clone(), source }))
    }

    fn send_replies(&mut self) {
        for (reply, asked) in std::mem::take(&mut self.replies) {
            match asked {
                Asked::Receipt => respond(reply, Ok(Receipt::Accepted)),
                Asked::Result => self.waiters.push(reply),
            }
        }
    }

    /// The state is durable, and final or a wait: tells those who waited for it.
    fn tell_waiters(&mut self) {
        let Some(held) = &self.held else { return };
        let Progress { status, reason, .. } = &held.drive.txn().progress;
        for reply in std::mem::take(&mut self.waiters) {
            let (status, reason) = (*status, reason.clone());
            let receipt =
                if status.is_final() { Receipt::Ended { status, reason } } else { Receipt::Waiting { status, reason } };
            respond(reply, Ok(receipt));
        }
    }
}

/// Why a request was not taken in.
enum Failed {
    /// It is refused; the driver goes on.
    Refused(RequestError),
    Lost(Lost),
}

impl From<Lost> for Failed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

fn respond(reply: Reply, answer: Result<Receipt, RequestError>) {
    if let Some(reply) = reply {
        // The caller may have gone; what was done stays done.
        let _ = reply.send(answer);
    }
}

// ---- the store ----

impl Driver {
    /// Holds the stored transaction, if it is not held yet. Whether there is one.
    async fn load(&mut self) -> Result<bool, Lost> {
        if self.held.is_none() {
            match self.shared.store.load(&self.gid).await {
                Ok(Some(txn)) => self.hold(txn),
                Ok(None) => return Ok(false),
                Err(error) => return Err(self.store_failed(error)),
            }
        }
        Ok(true)
    }

    /// Creates the transaction, or holds the one that has its gid. Whether it was created.
    async fn create(&mut self, def: Definition, submitted: bool) -> Result<bool, Failed> {
        let shared = &self.shared;
        let mut drive = Drive::begin(def, submitted, shared.config.defaults);
        let step = next(&drive, drive.txn().def.created_at);
        let progress = step.commit_first.unwrap_or_else(|| drive.txn().progress.clone());
        let head = Head::of(&progress, shared.config.owner, !step.calls.is_empty());
        let new = NewTxn::encode(&drive.txn().def, &progress, head, shared.write_id());
        match shared.store.create(new).await {
            Ok(Created::New(version)) => {
                self.tell_stored(&drive, &progress);
                drive.stored(progress);
                self.held = Some(Held { drive, version });
                Ok(true)
            }
            Ok(Created::Exists(txn)) => {
                self.hold(*txn);
                Ok(false)
            }
            Err(StoreError::Busy) => Err(Failed::Refused(RequestError::Overloaded { retry_after: RETAKE_AFTER })),
            Err(error) => Err(Failed::Lost(self.store_failed(error))),
        }
    }

    async fn commit(&mut self, progress: Progress, driving: bool) -> Result<(), Lost> {
        let Some(Held { drive, version: expected }) = &self.held else { return Ok(()) };
        let change = Change {
            gid: self.gid.clone(),
            expected: *expected,
            write: self.shared.write_id(),
            head: Head::of(&progress, self.shared.config.owner, driving),
            progress: escrow_store::codec::encode_progress(&progress),
            add: drive.added().to_vec(),
            history: drive.attempts().to_vec(),
        };
        let version = match self.shared.store.commit(change).await {
            Ok(version) => version,
            Err(CommitError::Conflict { current }) => {
                tracing::warn!(gid = %self.gid, ?current, "the transaction is at another version: its claim was lost");
                return Err(Lost(RequestError::Interrupted { gid: self.gid.clone() }));
            }
            Err(CommitError::Store(error)) => return Err(self.store_failed(error)),
            Err(error) => {
                tracing::error!(gid = %self.gid, error = display_chain(&error), "the commit failed");
                return Err(Lost(RequestError::Interrupted { gid: self.gid.clone() }));
            }
        };
        self.tell_stored(drive, &progress);
        self.claim = None;
        if let Some(held) = &mut self.held {
            held.drive.stored(progress);
            held.version = version;
        }
        Ok(())
    }

    /// Tells the timers and the counters what has become durable.
    fn tell_stored(&self, drive: &Drive, progress: &Progress) {
        let (def, status) = (&drive.txn().def, progress.status);
        if let Some(at) = progress.next_run_at {
            self.shared.due.at(at);
        }
        if status.is_final() {
            self.shared.observer.finished(def.pattern, status, progress.updated_at.since(def.created_at));
        }
        let asked_before = drive.durable().is_some_and(|before| before.attention.is_some());
        if let Some(attention) = progress.attention.as_ref().filter(|_| !asked_before) {
            tracing::info!(gid = %self.gid, reason = attention.reason, "a transaction asks for attention");
            self.shared.observer.attention(def.pattern);
        }
        tracing::debug!(gid = %self.gid, ?status, "stored");
    }

    /// Stores what would otherwise have ridden along: the coordinator stops.
    async fn save(&mut self) -> Result<(), Lost> {
        let Some(held) = &self.held else { return Ok(()) };
        let progress = &held.drive.txn().progress;
        if held.drive.durable() == Some(progress) {
            return Ok(());
        }
        let progress = Progress { next_run_at: None, ..progress.clone() };
        self.commit(progress, true).await
    }

    fn store_failed(&self, error: StoreError) -> Lost {
        tracing::warn!(gid = %self.gid, error = display_chain(&error), "the store failed");
        Lost(RequestError::Store { gid: self.gid.clone(), source: Arc::new(error) })
    }

    /// Forgets what it holds and hands the transaction back: what stands is in the store, and will be taken up from there.
    async fn lost(&mut self, error: RequestError) {
        self.held = None;
        self.calls.clear();
        let replies = std::mem::take(&mut self.replies).into_iter().map(|(reply, _)| reply);
        for reply in replies.chain(std::mem::take(&mut self.waiters)) {
            respond(reply, Err(error.clone()));
        }
        let due_at = self.shared.clock.now().plus(RETAKE_AFTER);
        self.shared.store.release(&self.gid, due_at).await;
        self.shared.due.at(due_at);
    }
}

// ---- calls ----

/// One call: waits for its lane, calls, and says what came of it. An empty URL is done without a call.
fn make_call(
    shared: Arc<Shared>,
    txn: &Txn,
    id: CallId,
    timeout: Duration,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    let pattern = txn.def.pattern;
    let call = branch_call(txn, id, timeout);
    Box::pin(async move {
        if call.url.is_empty() {
            let text = String::new();
            return Answer { call: id, outcome: BranchOutcome::Done, code: None, latency: Duration::ZERO, text };
        }
        let permit = shared.lanes.acquire(shared.caller.lane(&call.url)).await;
        let started = Instant::now();
        let reply = match permit {
            Ok(_permit) => shared.caller.call(call).await,
            Err(_) => BranchReply {
                outcome: BranchOutcome::Unknown,
                code: None,
                text: "not called: too many calls are waiting for this target".to_owned(),
            },
        };
        let latency = started.elapsed();
        shared.observer.answered(pattern, id.op, reply.outcome, latency);
        Answer { call: id, outcome: reply.outcome, code: reply.code, latency, text: reply.text }
    })
}

fn branch_call(txn: &Txn, id: CallId, timeout: Duration) -> BranchCall {
    let def = &txn.def;
    let branch = id.branch.and_then(|index| def.branches.get(index));
    let payload = match id.op {
        BranchOp::Commit | BranchOp::Rollback | BranchOp::CheckBack => Default::default(),
        _ => branch.map(|b| b.payload.clone()).unwrap_or_default(),
    };
    BranchCall {
        gid: def.gid.clone(),
        pattern: def.pattern,
        branch: branch.map(|b| b.id.clone()),
        op: id.op,
        url: call_url(txn, id).to_owned(),
        payload,
        headers: txn.options().branch_headers.clone(),
        timeout,
    }
}

fn call_url(txn: &Txn, id: CallId) -> &str {
    let def = &txn.def;
    match id.branch.and_then(|index| def.branches.get(index)) {
        None => &def.check_back_url,
        Some(branch) if id.op == def.pattern.forward_op() => &branch.forward_url,
        Some(branch) => &branch.backward_url,
    }
}

/// Sleeps that long; for ever without a time.
async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
