use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::progress::OpStatus;
use crate::{
    Amendment, Answer, Attempt, Attention, Branch, BranchId, BranchOp, BranchOutcome, BranchProgress, CallId, Defaults,
    Definition, Event, InvalidDefinition, Moment, OpProgress, Operator, OperatorOrder, Pattern, Progress, Reach,
    Status, Timestamp, Txn, limits, message, phase_two, retry, saga,
};

/// A transaction that somebody works on: what is stored of it, and what is not (yet).
///
/// Made by [`Drive::begin`] for a new transaction and by [`Drive::load`] for a stored one; ends when its owner has stored
/// a final or a waiting state.
#[derive(Clone, Debug)]
pub struct Drive {
    pub(crate) txn: Txn,
    pub(crate) defaults: Defaults,
    /// What the store holds; `None`: nothing yet.
    pub(crate) durable: Option<Box<Progress>>,
    /// Branches that the store does not hold yet.
    added: Vec<Branch>,
    /// Attempts that the store does not hold yet.
    attempts: Vec<Attempt>,
    pub(crate) in_flight: BTreeSet<CallId>,
    /// Saga: what this drive called, plus, if it loaded the record, everything the record's reach covers.
    pub(crate) started: Reach,
    /// Since when `txn.progress` differs from `durable`.
    pub(crate) unsaved_since: Option<Timestamp>,
}

/// Why an event is not allowed where the transaction stands. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalEvent {
    /// The transaction's status does not allow it.
    #[error("cannot {event} a {pattern:?} that is {status:?}")]
    Status {
        /// What was asked.
        event: &'static str,
        /// The transaction's rules.
        pattern: Pattern,
        /// Where it stands.
        status: Status,
    },
    /// The branch is registered already, with other URLs or another payload.
    #[error("branch {branch} is already registered with a different URL or payload")]
    BranchDiffers {
        /// The branch.
        branch: BranchId,
    },
    /// The branches would pass a limit.
    #[error(transparent)]
    Limit(#[from] InvalidDefinition),
}

impl Drive {
    /// A new transaction, not stored yet, as prepared or as submitted.
    pub fn begin(def: impl Into<Arc<Definition>>, submitted: bool, defaults: Defaults) -> Self {
        let def = def.into();
        let now = def.created_at;
        let progress = Progress {
            status: if submitted { Status::Submitted } else { Status::Prepared },
            branches: vec![BranchProgress::default(); def.branches.len()],
            check_back: OpProgress::default(),
            reach: Reach::none(),
            retries: 0,
            reason: None,
            attention: None,
            next_run_at: None,
            amended: None,
            order: None,
            updated_at: now,
            finished_at: None,
        };
        let txn = Txn { def, progress, history: Vec::new() };
        let mut drive = Self { durable: None, ..Self::load(txn, defaults) };
        if drive.txn.def.pattern == Pattern::Message {
            drive.txn.progress.check_back.next_at = Some(drive.undecided_from());
        }
        drive.settle(now);
        drive
    }

    /// A stored transaction. Everything in its stored reach counts as started: an earlier drive may have called it.
    pub fn load(txn: Txn, defaults: Defaults) -> Self {
        Self {
            durable: Some(Box::new(txn.progress.clone())),
            started: txn.progress.reach.clone(),
            txn,
            defaults,
            added: Vec::new(),
            attempts: Vec::new(),
            in_flight: BTreeSet::new(),
            unsaved_since: None,
        }
    }

    /// The transaction as it stands, stored or not.
    pub fn txn(&self) -> &Txn {
        &self.txn
    }

    /// The progress that the store holds; `None` for a new transaction.
    pub fn durable(&self) -> Option<&Progress> {
        self.durable.as_deref()
    }

    /// Branches registered since the last [`Drive::stored`].
    pub fn added(&self) -> &[Branch] {
        &self.added
    }

    /// Attempts made since the last [`Drive::stored`].
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Whether no call is on its way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// How long one call of this transaction may take.
    pub fn request_timeout(&self) -> Duration {
        self.txn.options().request_timeout.unwrap_or(self.defaults.request_timeout)
    }

    /// Notes that a call leaves now.
    pub fn calling(&mut self, call: CallId) {
        self.in_flight.insert(call);
        if let (BranchOp::Action, Some(index)) = (call.op, call.branch) {
            self.started.add(index);
        }
    }

    /// Notes that `progress`, with all added branches and attempts, is durable.
    pub fn stored(&mut self, progress: Box<Progress>) {
        self.txn.history.append(&mut self.attempts);
        let surplus = self.txn.history.len().saturating_sub(limits::ATTEMPTS_MAX);
        self.txn.history.drain(..surplus);
        self.added.clear();
        self.txn.progress.clone_from(&progress);
        self.durable = Some(progress);
        self.unsaved_since = None;
    }

    pub(crate) fn op_mut(&mut self, call: CallId) -> Option<&mut OpProgress> {
        let Some(index) = call.branch else {
            return Some(&mut self.txn.progress.check_back);
        };
        let branch = self.txn.progress.branches.get_mut(index)?;
        Some(if call.op == self.txn.def.pattern.forward_op() { &mut branch.forward } else { &mut branch.backward })
    }

    /// How far an operation has come; `None` if there is no such branch.
    pub fn op(&self, call: CallId) -> Option<&OpProgress> {
        let Some(index) = call.branch else {
            return Some(&self.txn.progress.check_back);
        };
        let branch = self.txn.progress.branches.get(index)?;
        Some(if call.op == self.txn.def.pattern.forward_op() { &branch.forward } else { &branch.backward })
    }

    /// Turns back, and fixes what has to be undone: everything that may have been called. Trouble with an operation that
    /// will not be called again is over.
    pub(crate) fn turn_back(&mut self, reason: Option<String>) {
        self.txn.progress.status = Status::Aborting;
        self.txn.progress.reason = reason;
        self.txn.progress.attention = None;
        self.txn.progress.reach = self.started.clone();
    }

    /// Becomes final where nothing is left to do.
    fn settle(&mut self, now: Timestamp) {
        let finished = match self.txn.def.pattern {
            Pattern::Saga => saga::finished(self),
            Pattern::Tcc | Pattern::Xa => phase_two::finished(self),
            Pattern::Message => message::finished(self),
        };
        if let Some(status) = finished {
            self.finish(status, now);
        }
    }

    pub(crate) fn finish(&mut self, status: Status, now: Timestamp) {
        self.txn.progress.status = status;
        self.txn.progress.finished_at = Some(now);
        self.txn.progress.attention = None;
        self.in_flight.clear();
    }

    fn illegal(&self, event: &'static str) -> IllegalEvent {
        IllegalEvent::Status { event, pattern: self.txn.def.pattern, status: self.txn.progress.status }
    }
}

/// Folds one event into a transaction.
///
/// # Errors
/// [`IllegalEvent`] where the event is not allowed; the drive is then as it was. An answer to a call that is no longer in
/// flight is legal and changes nothing.
pub fn apply(drive: &mut Drive, event: Event, moment: Moment) -> Result<(), IllegalEvent> {
    let before = drive.txn.progress.clone();
    match event {
        Event::Submit { amendment, branches } => submit(drive, amendment, branches, moment.now)?,
        Event::Abort { reason } => abort(drive, reason, moment.now)?,
        Event::Register(branch) => register(drive, branch)?,
        Event::Answer(answer) => answered(drive, answer, moment),
        Event::Wake => wake(drive, moment.now),
        Event::RetryNow => retry_now(drive, moment.now),
        Event::OrderAbort(operator) => order_abort(drive, operator, moment.now)?,
        Event::ForceStop(operator) => force_stop(drive, operator, moment.now)?,
    }
    drive.settle(moment.now);
    if drive.txn.progress != before {
        drive.txn.progress.updated_at = moment.now;
        drive.unsaved_since.get_or_insert(moment.now);
    }
    Ok(())
}

fn submit(drive: &mut Drive, amendment: Amendment, branches: Vec<Branch>, now: Timestamp) -> Result<(), IllegalEvent> {
    match drive.txn.progress.status {
        // Said again: it joins the running drive, and what waits for its next attempt goes on at once.
        Status::Submitted => {
            retry_now(drive, now);
            return Ok(());
        }
        Status::Prepared => {}
        Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped => {
            return Err(drive.illegal("submit"));
        }
    }
    // Of two requests the first one that carries steps fixes them.
    let brings_steps = drive.txn.def.branches.is_empty() && !drive.txn.def.pattern.registers_branches();
    if brings_steps {
        let def = Definition { branches, ..Definition::clone(&drive.txn.def) };
        def.check()?;
        drive.txn.progress.branches = vec![BranchProgress::default(); def.branches.len()];
        drive.added.clone_from(&def.branches);
        drive.txn.def = Arc::new(def);
    }
    let current = Amendment {
        options: drive.txn.options().clone(),
        custom_data: drive.txn.custom_data().to_owned(),
        digest: None,
    };
    let amended = Amendment {
        digest: amendment.digest.filter(|_| brings_steps),
        options: current.options.amended_by(&amendment.options),
        custom_data: if amendment.custom_data.is_empty() { current.custom_data.clone() } else { amendment.custom_data },
    };
    if amended != current {
        drive.txn.progress.amended = Some(amended);
    }
    decide_forward(drive);
    Ok(())
}

/// `Prepared → Submitted`.
pub(crate) fn decide_forward(drive: &mut Drive) {
    drive.txn.progress.status = Status::Submitted;
    drive.txn.progress.attention = None;
    // Somebody decided while the question was on its way: its answer no longer counts.
    drive.in_flight.remove(&CallId::CHECK_BACK);
}

fn abort(drive: &mut Drive, reason: Option<String>, now: Timestamp) -> Result<(), IllegalEvent> {
    let registers = drive.txn.def.pattern.registers_branches();
    match drive.txn.progress.status {
        Status::Prepared if registers => drive.turn_back(reason),
        Status::Prepared if drive.txn.def.pattern == Pattern::Message => {
            drive.txn.progress.reason = reason;
            drive.finish(Status::Aborted, now);
        }
        Status::Aborting if registers => retry_now(drive, now),
        Status::Prepared
        | Status::Submitted
        | Status::Aborting
        | Status::Committed
        | Status::Aborted
        | Status::Stopped => return Err(drive.illegal("abort")),
    }
    Ok(())
}

fn register(drive: &mut Drive, branch: Branch) -> Result<(), IllegalEvent> {
    if drive.txn.progress.status != Status::Prepared || !drive.txn.def.pattern.registers_branches() {
        return Err(drive.illegal("register a branch of"));
    }
    match drive.txn.def.branches.iter().find(|known| known.id == branch.id) {
        Some(known) if *known == branch => Ok(()),
        Some(_) => Err(IllegalEvent::BranchDiffers { branch: branch.id }),
        None => add_branch(drive, branch),
    }
}

fn add_branch(drive: &mut Drive, branch: Branch) -> Result<(), IllegalEvent> {
    branch.check()?;
    let known = &drive.txn.def.branches;
    if known.len() == limits::BRANCHES_MAX {
        return Err(InvalidDefinition::TooManyBranches { count: known.len() + 1 }.into());
    }
    if known.iter().map(|b| b.payload.len()).sum::<usize>() + branch.payload.len() > limits::PAYLOADS_BYTES_MAX {
        return Err(InvalidDefinition::PayloadsTooLarge.into());
    }
    Arc::make_mut(&mut drive.txn.def).branches.push(branch.clone());
    drive.txn.progress.branches.push(BranchProgress::default());
    drive.added.push(branch);
    Ok(())
}

fn wake(drive: &mut Drive, now: Timestamp) {
    let Some((deadline, after)) = drive.deadline() else {
        return;
    };
    if now >= deadline {
        drive.turn_back(Some(format!("Timeout after {} seconds", after.as_secs())));
    }
}

impl Drive {
    /// From when on a transaction that nobody has decided is undecided for too long.
    fn undecided_from(&self) -> Timestamp {
        let after = self.txn.options().timeout_to_fail.unwrap_or(self.defaults.timeout_to_fail);
        self.txn.def.created_at.plus(after)
    }

    /// When the transaction is turned back because it took too long, and how long that is after its creation.
    pub(crate) fn deadline(&self) -> Option<(Timestamp, Duration)> {
        let timeout = self.txn.options().timeout_to_fail;
        let after = match (self.txn.def.pattern, self.txn.progress.status) {
            (Pattern::Saga, Status::Submitted) => timeout?,
            (Pattern::Tcc | Pattern::Xa, Status::Prepared) => timeout.unwrap_or(self.defaults.timeout_to_fail),
            (Pattern::Saga | Pattern::Tcc | Pattern::Xa | Pattern::Message, _) => return None,
        };
        Some((self.txn.def.created_at.plus(after), after))
    }
}

/// What waits for its next attempt goes on at once. The first check-back is no attempt to be repeated: asked early, it
/// would find a local transaction that is still running, and end it.
fn retry_now(drive: &mut Drive, now: Timestamp) {
    if drive.txn.progress.status.is_final() {
        return;
    }
    let has_asked_back = now >= drive.undecided_from();
    let progress = &mut drive.txn.progress;
    for branch in &mut progress.branches {
        branch.forward.next_at = None;
        branch.backward.next_at = None;
    }
    if has_asked_back {
        progress.check_back.next_at = None;
    }
}

fn order_abort(drive: &mut Drive, operator: Operator, now: Timestamp) -> Result<(), IllegalEvent> {
    if (drive.txn.def.pattern, drive.txn.progress.status) != (Pattern::Saga, Status::Submitted) {
        return Err(drive.illegal("order back"));
    }
    drive.turn_back(Some(format!("turned back by {}: {}", operator.by, operator.reason)));
    drive.txn.progress.order = Some(OperatorOrder { by: operator.by, reason: operator.reason, at: now });
    Ok(())
}

fn force_stop(drive: &mut Drive, operator: Operator, now: Timestamp) -> Result<(), IllegalEvent> {
    if drive.txn.progress.status.is_final() {
        return Err(drive.illegal("force stop"));
    }
    drive.txn.progress.reason = Some(format!("stopped by {}: {}", operator.by, operator.reason));
    drive.txn.progress.order = Some(OperatorOrder { by: operator.by, reason: operator.reason, at: now });
    drive.finish(Status::Stopped, now);
    Ok(())
}

fn answered(drive: &mut Drive, answer: Answer, moment: Moment) {
    if !drive.in_flight.remove(&answer.call) {
        return;
    }
    drive.attempts.push(attempt(drive, &answer, moment.now));
    match drive.txn.def.pattern {
        Pattern::Saga => saga::answered(drive, &answer, moment),
        Pattern::Tcc | Pattern::Xa => record(drive, &answer, moment),
        Pattern::Message => message::answered(drive, &answer, moment),
    }
}

fn attempt(drive: &Drive, answer: &Answer, now: Timestamp) -> Attempt {
    Attempt {
        at: now,
        branch: answer.call.branch.and_then(|i| drive.txn.def.branches.get(i)).map(|b| b.id.clone()),
        op: answer.call.op,
        outcome: answer.outcome,
        code: answer.code,
        latency: answer.latency,
        answer: cut(&answer.text, limits::ATTEMPT_ANSWER_BYTES_MAX).to_owned(),
    }
}

/// Records what an answer means for its operation alone. A refusal of an operation that cannot be refused is an unknown
/// answer: confirm is retried without end, since others already see the transaction as confirmed.
pub(crate) fn record(drive: &mut Drive, answer: &Answer, moment: Moment) {
    let base = retry::base_interval(drive.txn.options(), &drive.defaults);
    let cap = drive.defaults.retry_cap;
    let Some(op) = drive.op_mut(answer.call) else {
        return;
    };
    match answer.outcome {
        BranchOutcome::Done => {
            *op = OpProgress { status: OpStatus::Done, finished_at: Some(moment.now), ..OpProgress::default() };
        }
        BranchOutcome::InProgress => {
            op.failures = 0;
            op.next_at = Some(retry::after_in_progress(base, moment));
        }
        BranchOutcome::Refused | BranchOutcome::Unknown => {
            op.failures = op.failures.saturating_add(1);
            op.next_at = Some(retry::after_failure(base, op.failures, cap, moment));
        }
    }
    let failures = op.failures;
    update_attention(drive, answer, failures, moment.now);
}

fn update_attention(drive: &mut Drive, answer: &Answer, failures: u32, now: Timestamp) {
    let troubled = drive.txn.progress.attention.as_ref().is_some_and(|a| a.call == answer.call);
    if failures >= limits::ATTENTION_AFTER_FAILURES {
        if drive.txn.progress.attention.is_none() || troubled {
            let reason =
                format!("{failures} answers in a row were unknown or refused; the last: {}", in_own_words(answer));
            raise_attention(drive, answer, reason, now);
        }
    } else if troubled && answer.outcome == BranchOutcome::Done {
        drive.txn.progress.attention = None;
    }
}

/// What came back, without a word of the participant: people see the reason, and so do programs that look for words in it.
fn in_own_words(answer: &Answer) -> String {
    match (answer.code, answer.outcome) {
        (None, _) => cut(&answer.text, limits::ATTEMPT_ANSWER_BYTES_MAX).to_owned(),
        (Some(code), BranchOutcome::Refused) => format!("refused, with status {code}"),
        (Some(code @ 300..=399), _) => format!("status {code}, a redirect, which is not followed"),
        (Some(code), _) => format!("status {code}"),
    }
}

/// Sets the flag, or renews it with the latest answer; `since` stays.
pub(crate) fn raise_attention(drive: &mut Drive, answer: &Answer, reason: String, now: Timestamp) {
    let since = drive.txn.progress.attention.as_ref().map_or(now, |a| a.since);
    let last_answer = cut(&answer.text, limits::ATTEMPT_ANSWER_BYTES_MAX).to_owned();
    drive.txn.progress.attention = Some(Attention { call: answer.call, reason, last_answer, since });
}

/// The first `max` bytes of a text, not splitting a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests;
