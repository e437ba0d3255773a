use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::{
    BranchOp, BranchOutcome, CallId, Defaults, Definition, Drive, Event, IllegalEvent, Moment, OpProgress, Pattern,
    Progress, Reach, Status, Timestamp, Txn, apply, message, next,
};

/// The law that broke, in words.
pub(super) type Broken = String;

macro_rules! law {
    ($holds:expr, $($says:tt)+) => {
        if !$holds {
            return Err(format!($($says)+));
        }
    };
}

/// One transaction with its store and its participants, as an observer outside the rules sees them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) drive: Drive,
    /// The durable image.
    stored: Option<Txn>,
    pub(super) in_flight: BTreeSet<CallId>,
    facts: Facts,
}

/// What really happened, in all lives of the coordinator together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Facts {
    called_forward: Steps,
    called_backward: Steps,
    done_forward: Steps,
    done_backward: Steps,
    /// Unknown answers of actions, counted up to one more than the retry limit.
    unknown_actions: u32,
}

impl Facts {
    /// What happened to one step; what became of its action only if that still counts.
    fn of(&self, index: usize, action_over: bool) -> [bool; 4] {
        [
            self.called_forward.has(index),
            self.called_backward.has(index),
            self.done_forward.has(index) && !action_over,
            self.done_backward.has(index),
        ]
    }
}

/// A set of steps; the samples have at most 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Steps(u16);

impl Steps {
    fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    fn all(count: usize) -> Self {
        Self(((1_u32 << count) - 1) as u16)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl World {
    /// A transaction that has just begun, its first state stored and its first calls on their way.
    pub(super) fn begin(def: Definition, submitted: bool) -> Result<Self, Broken> {
        let now = def.created_at;
        let drive = Drive::begin(def, submitted, Defaults::default());
        let mut world = Self { now, drive, stored: None, in_flight: BTreeSet::new(), facts: Facts::default() };
        world.settle()?;
        Ok(world)
    }

    pub(super) fn status(&self) -> Status {
        self.drive.txn.progress.status
    }

    fn def(&self) -> &Definition {
        &self.drive.txn.def
    }

    /// Only its initiator can move it.
    pub(super) fn waits_for_initiator(&self) -> bool {
        let asks_nobody = self.def().pattern == Pattern::Message && self.def().check_back_url.is_empty();
        self.status() == Status::Prepared && (self.def().pattern == Pattern::Saga || asks_nobody)
    }

    /// When the rules want to be woken.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        next(&self.drive, self.now).wake_at
    }

    /// The coordinator dies, and another one loads what is durable. Calls on their way may still land: whatever was called
    /// counts as possibly done.
    pub(super) fn crash(&mut self) -> Result<(), Broken> {
        let stored = self.stored.clone().ok_or("nothing was stored before the first calls left")?;
        self.drive = Drive::load(stored, Defaults::default());
        self.in_flight.clear();
        self.settle()?;
        Ok(())
    }

    /// Applies an event and checks what it may change.
    pub(super) fn apply(&mut self, event: Event) -> Result<Result<(), IllegalEvent>, Broken> {
        let before = self.drive.clone();
        let result = apply(&mut self.drive, event.clone(), Moment::at(self.now));
        if let Err(refused) = &result {
            law!(same(&before, &self.drive), "an illegal event ({refused}) changed the drive");
        }
        if before.txn.progress.status.is_final() {
            law!(same(&before, &self.drive), "{event:?} changed a final transaction");
        }
        self.note_answer(&event);
        let (from, to) = (before.txn.progress.status, self.status());
        law!(from == to || self.may_move(from, to, &event), "{event:?} moved {from:?} to {to:?}");
        self.in_flight.retain(|call| self.drive.in_flight.contains(call));
        law!(self.in_flight == self.drive.in_flight, "the drive believes in calls that were never made");
        Ok(result)
    }

    fn note_answer(&mut self, event: &Event) {
        let Event::Answer(answer) = event else { return };
        if !self.in_flight.remove(&answer.call) {
            return;
        }
        let Some(index) = answer.call.branch else { return };
        let forward = answer.call.op == self.def().pattern.forward_op();
        match answer.outcome {
            BranchOutcome::Done if forward => self.facts.done_forward.add(index),
            BranchOutcome::Done => self.facts.done_backward.add(index),
            BranchOutcome::Unknown if answer.call.op == BranchOp::Action => {
                let most = self.drive.txn.options().retry_limit + 1;
                self.facts.unknown_actions = (self.facts.unknown_actions + 1).min(most);
            }
            BranchOutcome::Refused | BranchOutcome::InProgress | BranchOutcome::Unknown => {}
        }
    }

    /// What each event may decide. An unknown answer is not here, but for a saga's retry limit.
    fn may_move(&self, from: Status, to: Status, event: &Event) -> bool {
        let pattern = self.def().pattern;
        let phase_two = matches!(pattern, Pattern::Tcc | Pattern::Xa);
        let turned = matches!(to, Status::Aborting | Status::Aborted);
        let answer = |op: BranchOp, outcome: BranchOutcome| matches!(event, Event::Answer(a) if (a.call.op, a.outcome) == (op, outcome));
        let limit = self.drive.txn.options().retry_limit;
        match (from, to) {
            (_, Status::Stopped) => matches!(event, Event::ForceStop(_)),
            (Status::Prepared, Status::Submitted | Status::Committed) => {
                let nothing_to_do = self.def().branches.is_empty();
                let decided = matches!(event, Event::Submit { .. }) || answer(BranchOp::CheckBack, BranchOutcome::Done);
                decided && (to == Status::Submitted) != nothing_to_do
            }
            (Status::Prepared, _) if phase_two => {
                turned && (matches!(event, Event::Abort { .. }) || self.is_late(event))
            }
            (Status::Prepared, Status::Aborted) => {
                let told = matches!(event, Event::Abort { .. }) || answer(BranchOp::CheckBack, BranchOutcome::Refused);
                pattern == Pattern::Message && told
            }
            (Status::Submitted, Status::Aborting | Status::Aborted) => {
                pattern == Pattern::Saga
                    && (answer(BranchOp::Action, BranchOutcome::Refused)
                        || matches!(event, Event::OrderAbort(_))
                        || self.is_late(event)
                        || (limit > 0
                            && self.facts.unknown_actions > limit
                            && answer(BranchOp::Action, BranchOutcome::Unknown)))
            }
            (Status::Submitted, Status::Committed) => answer(pattern.forward_op(), BranchOutcome::Done),
            (Status::Aborting, Status::Aborted) => {
                pattern.backward_op().is_some_and(|op| answer(op, BranchOutcome::Done))
            }
            _ => false,
        }
    }

    fn is_late(&self, event: &Event) -> bool {
        let timeout = match self.def().pattern {
            Pattern::Saga => self.drive.txn.options().timeout_to_fail,
            Pattern::Tcc | Pattern::Xa => {
                Some(self.drive.txn.options().timeout_to_fail.unwrap_or(Defaults::default().timeout_to_fail))
            }
            Pattern::Message => None,
        };
        matches!(event, Event::Wake) && timeout.is_some_and(|t| self.now.since(self.def().created_at) >= t)
    }

    /// Does what the rules say until they say nothing more; returns how many commits and calls that took.
    ///
    /// A crash between the commit and the calls, or between two calls, needs no state of its own: the next life loads the
    /// same record, and fewer calls were made, which asks less of the laws.
    pub(super) fn settle(&mut self) -> Result<usize, Broken> {
        let step = next(&self.drive, self.now);
        let done = usize::from(step.commit_first.is_some()) + step.calls.len();
        if let Some(progress) = step.commit_first {
            self.store(progress)?;
        }
        for call in &step.calls {
            self.call(*call)?;
        }
        law!(step.settled == self.status().is_final(), "settled is said of {:?}", self.status());
        self.check_rest()?;
        Ok(done)
    }

    fn store(&mut self, progress: Progress) -> Result<(), Broken> {
        let before = self.stored.as_ref().map(|txn| txn.progress.status);
        let count = self.stored.as_ref().map(|txn| txn.def.branches.len() + self.drive.added().len());
        law!(count.is_none_or(|count| count == self.def().branches.len()), "a registered branch is not stored");
        law!(progress.branches.len() == self.def().branches.len(), "branches and their progress differ in number");
        law!(!before.is_some_and(Status::is_final), "a final record is written again");
        self.drive.stored(progress.clone());
        law!(self.drive.txn.progress == progress, "what is stored is not what is driven");
        // The history only grows the states; its bounds have tests of their own.
        self.drive.txn.history.clear();
        self.stored = Some(self.drive.txn.clone());
        self.check_status_move(before, progress.status)?;
        self.check_end(progress.status)
    }

    fn check_status_move(&self, from: Option<Status>, to: Status) -> Result<(), Broken> {
        use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
        let Some(from) = from.filter(|&from| from != to) else { return Ok(()) };
        let saga = self.def().pattern == Pattern::Saga;
        let allowed = match from {
            Prepared => true,
            Submitted => matches!(to, Committed | Stopped) || (saga && matches!(to, Aborting | Aborted)),
            Aborting => matches!(to, Aborted | Stopped),
            Committed | Aborted | Stopped => false,
        };
        law!(allowed, "the record went from {from:?} to {to:?}");
        Ok(())
    }

    /// What a final status promises.
    fn check_end(&self, status: Status) -> Result<(), Broken> {
        let all = Steps::all(self.def().branches.len());
        let facts = &self.facts;
        match (status, self.def().pattern) {
            (Status::Committed, _) => {
                law!(all.without(facts.done_forward) == Steps::default(), "committed, but not every branch is done");
                law!(facts.called_backward == Steps::default(), "committed, but a branch was turned back");
            }
            (Status::Aborted, Pattern::Saga) => {
                let left = facts.called_forward.without(facts.done_backward);
                law!(left == Steps::default(), "aborted, but steps {left:?} may have left effects");
            }
            (Status::Aborted, Pattern::Tcc | Pattern::Xa) => {
                law!(
                    all.without(facts.done_backward) == Steps::default(),
                    "aborted, but not every branch is turned back"
                );
                law!(facts.called_forward == Steps::default(), "aborted, but a branch was completed");
            }
            (Status::Aborted, Pattern::Message) => {
                law!(facts.called_forward == Steps::default(), "aborted, but a message was delivered");
            }
            (Status::Stopped | Status::Prepared | Status::Submitted | Status::Aborting, _) => {}
        }
        Ok(())
    }

    fn call(&mut self, call: CallId) -> Result<(), Broken> {
        self.check_decided(call)?;
        match call.branch {
            Some(index) if call.op == self.def().pattern.forward_op() => {
                self.check_forward_order(index)?;
                self.facts.called_forward.add(index);
            }
            Some(index) => {
                self.check_backward_order(index)?;
                self.facts.called_backward.add(index);
            }
            None => {}
        }
        law!(self.in_flight.insert(call), "{call:?} leaves while it is on its way");
        self.drive.calling(call);
        let both = self.facts.called_forward.0 != 0 && self.facts.called_backward.0 != 0;
        law!(!both || self.def().pattern == Pattern::Saga, "branches were told different outcomes");
        Ok(())
    }

    /// Decide, then act: every call carries out what is durable, and no action leaves outside the durable reach.
    fn check_decided(&self, call: CallId) -> Result<(), Broken> {
        let stored = self.stored.as_ref().ok_or_else(|| format!("{call:?} leaves before anything is stored"))?;
        let (pattern, status) = (self.def().pattern, stored.progress.status);
        let decided = match call.op {
            BranchOp::CheckBack => pattern == Pattern::Message && status == Status::Prepared,
            op if op == pattern.forward_op() => status == Status::Submitted,
            op => pattern.backward_op() == Some(op) && status == Status::Aborting,
        };
        law!(decided, "{call:?} leaves while the record says {status:?}");
        if let (BranchOp::Action, Some(index)) = (call.op, call.branch) {
            law!(stored.progress.reach.covers(index), "{call:?} leaves outside the durable reach");
        }
        Ok(())
    }

    fn check_forward_order(&self, index: usize) -> Result<(), Broken> {
        let count = self.def().branches.len();
        let must_be_done: Vec<usize> = match (self.drive.txn.options().concurrent, self.def().pattern) {
            (false, Pattern::Tcc) => (index + 1..count).collect(),
            (false, Pattern::Saga | Pattern::Xa | Pattern::Message) => (0..index).collect(),
            (true, _) => Vec::new(),
        };
        let waits_for = self.def().orders.get(index).into_iter().flatten().map(|&earlier| usize::from(earlier));
        for earlier in must_be_done.into_iter().chain(waits_for) {
            law!(self.facts.done_forward.has(earlier), "step {index} is called before {earlier} is done");
        }
        self.check_alone(index)
    }

    /// Strictly in reverse: a step is turned back after every step that came after it.
    fn check_backward_order(&self, index: usize) -> Result<(), Broken> {
        let count = self.def().branches.len();
        law!(
            self.in_flight.iter().all(|c| c.op != BranchOp::Action),
            "{index} is undone while an action is on its way"
        );
        let must_be_done: Vec<usize> = match (self.drive.txn.options().concurrent, self.def().pattern) {
            (false, Pattern::Saga) => (index + 1..count).filter(|&i| self.facts.called_forward.has(i)).collect(),
            (true, Pattern::Saga) => {
                let waited =
                    |i: &usize| self.def().orders.get(*i).is_some_and(|o| o.iter().any(|&e| usize::from(e) == index));
                (0..count).filter(|i| waited(i) && self.facts.called_forward.has(*i)).collect()
            }
            (false, Pattern::Tcc) => (index + 1..count).collect(),
            (false, Pattern::Xa) => (0..index).collect(),
            (true, Pattern::Tcc | Pattern::Xa) | (_, Pattern::Message) => Vec::new(),
        };
        for later in must_be_done {
            law!(self.facts.done_backward.has(later), "step {index} is turned back before {later} is");
        }
        self.check_alone(index)
    }

    fn check_alone(&self, index: usize) -> Result<(), Broken> {
        let alone = self.in_flight.is_empty() || self.drive.txn.options().concurrent;
        law!(alone, "step {index} is called beside {:?} of a sequential transaction", self.in_flight);
        Ok(())
    }

    /// After everything was done that was to be done now, the transaction is final, waits durably, or has calls on their
    /// way; and the rules have nothing new to say.
    fn check_rest(&self) -> Result<(), Broken> {
        let again = next(&self.drive, self.now);
        law!(again.commit_first.is_none(), "the same commit is asked for again");
        law!(again.calls.is_empty(), "more calls leave without a reason: {:?}", again.calls);
        if self.status().is_final() || !self.in_flight.is_empty() {
            return Ok(());
        }
        let durable = self.drive.durable().ok_or("nothing is stored at rest")?;
        match again.wake_at {
            Some(at) if at <= self.now => {}
            Some(at) => {
                law!(durable.next_run_at == Some(at), "it waits until {at}, but {:?} is stored", durable.next_run_at)
            }
            None => {
                law!(self.waits_for_initiator(), "nothing will ever move a transaction that is {:?}", self.status());
                law!(durable.next_run_at.is_none(), "it waits for its initiator, but has a time stored");
            }
        }
        let overdue = again.wake_at.is_some_and(|at| at <= self.now);
        law!(overdue || *durable == self.drive.txn.progress, "it waits, and something is in memory only");
        Ok(())
    }

    /// A number that is equal for worlds in which the same can happen: of a time it counts only
    /// whether it is still to come, and of the deadline whether it comes next.
    ///
    /// Of a concurrent transaction without orders, branches may change places. With `coarse`, what became of the actions of
    /// a saga that has turned back does not count.
    pub(super) fn fingerprint(&self, coarse: bool) -> u64 {
        let durable = self.stored.as_ref().map(|txn| &txn.progress);
        let live = &self.drive.txn.progress;
        let to_come = |at: Option<Timestamp>| at.is_some_and(|at| at > self.now);
        let op = |op: &OpProgress| (op.status, to_come(op.next_at));
        let forward = |progress: &Progress, index: usize| {
            let over = coarse && progress.status == Status::Aborting;
            let (status, to_come) = op(&progress.branches.get(index)?.forward);
            Some((status, to_come && !over))
        };
        let backward =
            |progress: &Progress, index: usize| progress.branches.get(index).map(|branch| op(&branch.backward));
        let of_branch = |index: usize| {
            let of_progress = |p: &Progress| (forward(p, index), backward(p, index), p.reach.covers(index));
            let in_flight: Vec<_> =
                self.in_flight.iter().filter(|call| call.branch == Some(index)).map(|c| c.op).collect();
            let facts = self.facts.of(index, coarse && durable.is_some_and(|d| d.status == Status::Aborting));
            hash(&(of_progress(live), durable.map(of_progress), self.drive.started.covers(index), in_flight, facts))
        };
        let mut branches: Vec<u64> = (0..self.def().branches.len()).map(of_branch).collect();
        if self.drive.txn.options().concurrent && self.def().orders.is_empty() {
            branches.sort_unstable();
        }
        let rest = |p: &Progress| (p.status, p.retries, to_come(p.next_run_at), op(&p.check_back), p.amended.is_some());
        let counts = (self.stored.as_ref().map(|txn| txn.def.branches.len()), self.facts.unknown_actions);
        let reaches =
            [&live.reach, durable.map_or(&live.reach, |d| &d.reach), &self.drive.started].map(|r| *r == Reach::All);
        let deadline = self.drive.deadline().map(|(at, _)| at);
        let deadline_is_next = deadline == self.wake_at();
        let times = [deadline, message::not_before(&self.drive), self.drive.unsaved_since.map(save_at)].map(to_come);
        let checks_back = self.in_flight.contains(&CallId::CHECK_BACK);
        let drive = (times, deadline_is_next, self.drive.unsaved_since.is_some(), checks_back);
        hash(&(branches, rest(live), durable.map(rest), counts, reaches, drive))
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn save_at(since: Timestamp) -> Timestamp {
    since.plus(Duration::from_millis(100))
}

/// Whether two drives are the same in everything.
pub(crate) fn same(a: &Drive, b: &Drive) -> bool {
    a.txn == b.txn
        && a.durable == b.durable
        && a.added() == b.added()
        && a.attempts() == b.attempts()
        && a.in_flight == b.in_flight
        && a.started == b.started
        && a.unsaved_since == b.unsaved_since
}
