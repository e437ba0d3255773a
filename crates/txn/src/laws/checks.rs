use super::facts::Steps;
use super::world::{Broken, World, save_at};
use crate::{BranchOp, BranchOutcome, CallId, Defaults, Event, Pattern, Status, next};

impl World {
    /// What each event may decide. An unknown answer is not here, but for a saga's retry limit.
    pub(super) fn may_move(&self, from: Status, to: Status, event: &Event) -> bool {
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

    /// What decides at once.
    pub(super) fn must_move(&self, from: Status, event: &Event) -> bool {
        use BranchOutcome::{Done, Refused};
        match (from, event) {
            (Status::Prepared, Event::Submit { .. } | Event::Abort { .. }) => true,
            (Status::Prepared, Event::Answer(answer)) => matches!(answer.outcome, Done | Refused),
            (Status::Prepared, Event::Wake) => self.def().pattern != Pattern::Saga && self.time_is_up(),
            (Status::Submitted, Event::Wake) => self.def().pattern == Pattern::Saga && self.time_is_up(),
            (Status::Submitted, Event::OrderAbort(_)) => true,
            (Status::Submitted, Event::Answer(answer)) => {
                (answer.call.op, answer.outcome) == (BranchOp::Action, Refused)
            }
            (_, Event::ForceStop(_)) => true,
            _ => false,
        }
    }

    fn is_late(&self, event: &Event) -> bool {
        matches!(event, Event::Wake) && self.time_is_up()
    }

    fn time_is_up(&self) -> bool {
        let timeout = match self.def().pattern {
            Pattern::Saga => self.drive.txn.options().timeout_to_fail,
            Pattern::Tcc | Pattern::Xa => {
                Some(self.drive.txn.options().timeout_to_fail.unwrap_or(Defaults::default().timeout_to_fail))
            }
            Pattern::Message => None,
        };
        timeout.is_some_and(|timeout| self.now.since(self.def().created_at) >= timeout)
    }

    pub(super) fn check_status_move(&self, from: Option<Status>, to: Status) -> Result<(), Broken> {
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
    pub(super) fn check_end(&self, status: Status) -> Result<(), Broken> {
        let all = Steps::all(self.def().branches.len());
        let facts = &self.facts;
        match (status, self.def().pattern) {
            (Status::Committed, _) => {
                law!(all.without(facts.done_forward).is_empty(), "committed, but not every branch is done");
                law!(facts.called_backward.is_empty(), "committed, but a branch was turned back");
            }
            (Status::Aborted, Pattern::Saga) => {
                let left = facts.called_forward.without(facts.done_backward);
                law!(left.is_empty(), "aborted, but steps {left:?} may have left effects");
            }
            (Status::Aborted, Pattern::Tcc | Pattern::Xa) => {
                law!(all.without(facts.done_backward).is_empty(), "aborted, but not every branch is turned back");
                law!(facts.called_forward.is_empty(), "aborted, but a branch was completed");
            }
            (Status::Aborted, Pattern::Message) => {
                law!(facts.called_forward.is_empty(), "aborted, but a message was delivered");
            }
            (Status::Stopped | Status::Prepared | Status::Submitted | Status::Aborting, _) => {}
        }
        Ok(())
    }

    /// Decide, then act: every call carries out what is durable, and no action leaves outside the durable reach, or when
    /// its saga's time is up. No delivery leaves before its time.
    pub(super) fn check_decided(&self, call: CallId) -> Result<(), Broken> {
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
            law!(!self.time_is_up(), "{call:?} leaves although time is up");
        }
        if call.op == BranchOp::Deliver {
            let age = self.now.since(self.def().created_at);
            law!(age >= self.drive.txn.options().delay.unwrap_or_default(), "{call:?} leaves {age:?} after creation");
        }
        Ok(())
    }

    pub(super) fn check_forward_order(&self, index: usize) -> Result<(), Broken> {
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
    pub(super) fn check_backward_order(&self, index: usize) -> Result<(), Broken> {
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
    pub(super) fn check_rest(&self) -> Result<(), Broken> {
        let again = next(&self.drive, self.now);
        law!(again.commit_first.is_none(), "the same commit is asked for again");
        law!(again.calls.is_empty(), "more calls leave without a reason: {:?}", again.calls);
        let durable = self.drive.durable().ok_or("nothing is stored at rest")?;
        law!(self.drive.added().is_empty(), "a registered branch is in memory only");
        law!(durable.status == self.status(), "{:?} is in memory only", self.status());
        if !self.in_flight.is_empty() {
            let saves = again.wake_at.is_some_and(|at| at <= save_at(self.now));
            law!(saves || *durable == self.drive.txn.progress, "an answer is in memory only, and nothing will save it");
        }
        if self.status().is_final() || !self.in_flight.is_empty() {
            return Ok(());
        }
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
}
