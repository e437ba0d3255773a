use std::time::Duration;

use super::samples::branch;
use super::world::{Broken, World, same};
use crate::{
    Amendment, Answer, BranchOp, BranchOutcome, CallId, Event, IllegalEvent, Operator, Options, Pattern, Status,
};

/// One thing that can happen to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A call on its way comes back.
    Answer(CallId, BranchOutcome),
    /// A call that is not on its way comes back: an answer of another life.
    StaleAnswer,
    /// The time comes that the rules asked for.
    Wake,
    /// Time passes up to there, and something else comes first.
    Late,
    /// The coordinator dies and another one loads what is durable.
    Crash,
    /// The initiator decides forward, or says so again; with a step if there is none yet, and a delay of a message.
    Submit,
    /// The initiator decides back, or says so again.
    Abort,
    /// A participant joins, as number so-and-so.
    Register(usize),
    /// A participant joins under an id that is taken, with another URL.
    RegisterOther,
    RetryNow,
    OrderAbort,
    ForceStop,
}

/// The most branches that the moves register.
pub(super) const REGISTERED_MAX: usize = 3;

impl World {
    /// Everything that can happen here; repeats and illegal events included.
    pub(super) fn moves(&self) -> Vec<Move> {
        use BranchOutcome::{Done, InProgress, Refused, Unknown};
        let answers =
            self.in_flight.iter().flat_map(|&call| [Done, Refused, InProgress, Unknown].map(|o| Move::Answer(call, o)));
        let mut moves: Vec<Move> = answers.collect();
        if self.wake_at().is_some() {
            moves.extend([Move::Wake, Move::Late]);
        }
        let branches = self.drive.txn.def.branches.len();
        if branches > 0 {
            moves.extend([Move::Register(branches - 1), Move::RegisterOther]);
        }
        if branches < REGISTERED_MAX {
            moves.push(Move::Register(branches));
        }
        moves.extend([Move::Crash, Move::StaleAnswer, Move::Submit, Move::Abort]);
        moves.extend([Move::RetryNow, Move::OrderAbort, Move::ForceStop]);
        moves
    }

    /// Lets it happen, does what the rules say about it, and checks the laws.
    pub(super) fn take(&mut self, step: Move) -> Result<(), Broken> {
        self.take_without_settling(step)?;
        self.settle()?;
        Ok(())
    }

    /// Lets it happen while the store does not answer: nothing is stored, no call leaves.
    pub(super) fn take_without_settling(&mut self, step: Move) -> Result<(), Broken> {
        let event = match step {
            Move::Crash => return self.crash(),
            Move::Late => {
                self.now = self.wake_at().map_or(self.now, |at| at.max(self.now));
                return Ok(());
            }
            Move::Wake => return self.wake(),
            Move::Answer(call, outcome) => Event::Answer(answer(call, outcome)),
            Move::StaleAnswer => return self.stale_answer(),
            Move::Submit => {
                let missing = self.def().branches.is_empty().then(|| branch(0));
                Event::Submit { amendment: self.amendment(), branches: missing.into_iter().collect() }
            }
            Move::Abort => Event::Abort { reason: None },
            Move::Register(index) => Event::Register(branch(index)),
            Move::RegisterOther => {
                let other = crate::Branch { forward_url: "http://elsewhere".to_owned(), ..branch(0) };
                Event::Register(other)
            }
            Move::RetryNow => Event::RetryNow,
            Move::OrderAbort => Event::OrderAbort(operator()),
            Move::ForceStop => Event::ForceStop(operator()),
        };
        let (status, pattern) = (self.status(), self.drive.txn.def.pattern);
        let result = self.apply(event)?;
        match (legal(step, pattern, status), &result) {
            (true, Ok(())) | (false, Err(_)) => {}
            (true, Err(refused)) => return Err(format!("{step:?} of a {pattern:?} that was {status:?}: {refused}")),
            (false, Ok(())) => return Err(format!("{step:?} of a {pattern:?} that was {status:?} is not illegal")),
        }
        if let (Move::RegisterOther, Status::Prepared, Err(refused)) = (step, status, &result) {
            let differs = matches!(refused, IllegalEvent::BranchDiffers { .. });
            if pattern.registers_branches() && !differs {
                return Err(format!("another branch under a taken id: {refused}"));
            }
        }
        Ok(())
    }

    /// A wake at the time that the rules asked for has to lead somewhere: a change, a commit or a call.
    fn wake(&mut self) -> Result<(), Broken> {
        let at = self.wake_at().ok_or("nobody asked to be woken")?;
        self.now = at.max(self.now);
        let before = self.drive.clone();
        self.apply(Event::Wake)?.map_err(|refused| format!("a wake is illegal: {refused}"))?;
        let changed = !same(&before, &self.drive);
        if self.settle()? == 0 && !changed {
            return Err(format!("the wake at {at} led nowhere: the drive would spin"));
        }
        Ok(())
    }

    fn stale_answer(&mut self) -> Result<(), Broken> {
        let ops = [BranchOp::Action, BranchOp::Compensate, BranchOp::Confirm, BranchOp::Cancel, BranchOp::Deliver];
        let mut calls = vec![CallId::CHECK_BACK];
        calls.extend(ops.map(|op| CallId::of(0, op)));
        calls.retain(|call| !self.in_flight.contains(call));
        for call in calls {
            let before = self.drive.clone();
            self.apply(Event::Answer(answer(call, BranchOutcome::Refused)))?.map_err(|refused| refused.to_string())?;
            if !same(&before, &self.drive) {
                return Err(format!("an answer to {call:?}, which is not on its way, changed the drive"));
            }
        }
        Ok(())
    }

    fn amendment(&self) -> Amendment {
        let delay = (self.drive.txn.def.pattern == Pattern::Message).then_some(Duration::from_secs(50));
        Amendment { options: Options { delay, ..Options::default() }, ..Amendment::default() }
    }
}

/// The table of what is allowed where; everything else is an error.
fn legal(step: Move, pattern: Pattern, status: Status) -> bool {
    let registers = matches!(pattern, Pattern::Tcc | Pattern::Xa);
    match step {
        Move::Submit => matches!(status, Status::Prepared | Status::Submitted),
        Move::Abort if registers => matches!(status, Status::Prepared | Status::Aborting),
        Move::Abort => pattern == Pattern::Message && status == Status::Prepared,
        Move::Register(_) => registers && status == Status::Prepared,
        Move::RegisterOther => false,
        Move::OrderAbort => pattern == Pattern::Saga && status == Status::Submitted,
        Move::ForceStop => !status.is_final(),
        Move::Answer(..) | Move::StaleAnswer | Move::Wake | Move::Late | Move::Crash | Move::RetryNow => true,
    }
}

pub(super) fn answer(call: CallId, outcome: BranchOutcome) -> Answer {
    Answer { call, outcome, code: None, latency: Duration::ZERO, text: String::new() }
}

pub(super) fn operator() -> Operator {
    Operator { by: "ann".to_owned(), reason: "test".to_owned() }
}
