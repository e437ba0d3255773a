use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::Facts;
use crate::{
    BranchOp, BranchOutcome, CallId, Defaults, Definition, Drive, Event, IllegalEvent, Moment, Pattern, Progress,
    Status, Timestamp, Txn, apply, next,
};

/// The law that broke, in words.
pub(super) type Broken = String;

/// One transaction with its store and its participants, as an observer outside the rules sees them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) drive: Drive,
    /// The durable image.
    pub(super) stored: Option<Txn>,
    pub(super) in_flight: BTreeSet<CallId>,
    pub(super) facts: Facts,
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

    pub(super) fn def(&self) -> &Definition {
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
        let stale = matches!(&event, Event::Answer(answer) if !self.in_flight.contains(&answer.call));
        self.note_answer(&event);
        let (from, to) = (before.txn.progress.status, self.status());
        law!(from == to || self.may_move(from, to, &event), "{event:?} moved {from:?} to {to:?}");
        let stays = stale || result.is_err() || !self.must_move(from, &event);
        law!(from != to || stays, "{event:?} did not move {from:?}");
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

    fn store(&mut self, progress: Box<Progress>) -> Result<(), Broken> {
        let before = self.stored.as_ref().map(|txn| txn.progress.status);
        let count = self.stored.as_ref().map(|txn| txn.def.branches.len() + self.drive.added().len());
        law!(count.is_none_or(|count| count == self.def().branches.len()), "a registered branch is not stored");
        law!(progress.branches.len() == self.def().branches.len(), "branches and their progress differ in number");
        law!(!before.is_some_and(Status::is_final), "a final record is written again");
        law!(progress.next_run_at.is_none_or(|at| at > self.now), "a wait is stored that is over");
        self.drive.stored(progress.clone());
        law!(self.drive.txn.progress == *progress, "what is stored is not what is driven");
        // The history only grows the states; its bounds have tests of their own.
        self.drive.txn.history.clear();
        self.stored = Some(self.drive.txn.clone());
        self.check_status_move(before, progress.status)?;
        self.check_end(progress.status)
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
        let both = !self.facts.called_forward.is_empty() && !self.facts.called_backward.is_empty();
        law!(!both || self.def().pattern == Pattern::Saga, "branches were told different outcomes");
        Ok(())
    }
}

/// When an answer that came then has to be stored at latest.
pub(super) fn save_at(since: Timestamp) -> Timestamp {
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
