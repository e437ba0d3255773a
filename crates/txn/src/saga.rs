//! Saga: actions forward; compensations in reverse once one is refused, time is up, or an operator says so.
//!
//! ```text
//! Submitted ──every action done──────────────────────────────▶ Committed
//!     │ refusal, time-out, retry limit, operator's order
//!     └──────▶ Aborting ──everything in reach compensated────▶ Aborted
//! ```
//!
//! An unknown answer turns nothing back. What has to be undone is the *reach*: every action that may have been called,
//! the refused one included, because a crash may hide actions that landed. The participant's barrier makes a needless
//! compensation a no-op; a missing one loses money.
//!
//! Source: Garcia-Molina and Salem, "Sagas" (1987).

use std::collections::BTreeSet;

use crate::drive::{cut, record};
use crate::progress::OpStatus;
use crate::{
    Answer, BranchOp, BranchOutcome, CallId, Definition, Drive, InvalidDefinition, Moment, Pattern, Status, limits,
};

/// The actions or compensations that may be called now.
pub(crate) fn open(drive: &Drive) -> Vec<CallId> {
    match drive.txn.progress.status {
        Status::Submitted => actions(drive),
        Status::Aborting => compensations(drive),
        Status::Prepared | Status::Committed | Status::Aborted | Status::Stopped => Vec::new(),
    }
}

/// Sequential: the first action that is not done. Concurrent: all of them. Either way an action waits for the steps that
/// `orders` names.
fn actions(drive: &Drive) -> Vec<CallId> {
    let is_done = |index: usize| drive.txn.progress.branches[index].forward.status == OpStatus::Done;
    let count = drive.txn.progress.branches.len();
    let mut open: Vec<_> = (0..count).filter(|&index| !is_done(index)).collect();
    if !drive.txn.options().concurrent {
        open.truncate(1);
    }
    open.retain(|&index| waits_for(&drive.txn.def, index).iter().all(|&earlier| is_done(usize::from(earlier))));
    open.into_iter().map(|index| CallId::of(index, BranchOp::Action)).collect()
}

/// Sequential: the last step in reach that is not undone. Concurrent: all of them, each after the steps that waited for
/// it. None while an action is still on its way: it must not land after its compensation.
fn compensations(drive: &Drive) -> Vec<CallId> {
    if has_action_in_flight(drive) {
        return Vec::new();
    }
    let mut open = uncompensated(drive);
    if drive.txn.options().concurrent {
        let waited_for: BTreeSet<_> = open.iter().flat_map(|&later| waits_for(&drive.txn.def, later)).collect();
        open.retain(|&index| !u16::try_from(index).is_ok_and(|index| waited_for.contains(&index)));
    } else {
        open = open.pop().into_iter().collect();
    }
    open.into_iter().map(|index| CallId::of(index, BranchOp::Compensate)).collect()
}

fn uncompensated(drive: &Drive) -> Vec<usize> {
    let progress = &drive.txn.progress;
    (0..progress.branches.len())
        .filter(|&index| progress.reach.covers(index) && progress.branches[index].backward.status == OpStatus::Open)
        .collect()
}

fn has_action_in_flight(drive: &Drive) -> bool {
    drive.in_flight.iter().any(|call| call.op == BranchOp::Action)
}

fn waits_for(def: &Definition, index: usize) -> &[u16] {
    def.orders.get(index).map_or(&[], Vec::as_slice)
}

/// What an answer means.
pub(crate) fn answered(drive: &mut Drive, answer: &Answer, moment: Moment) {
    if answer.call.op != BranchOp::Action {
        return record(drive, answer, moment);
    }
    let forward = drive.txn.progress.status == Status::Submitted;
    match answer.outcome {
        BranchOutcome::Done => record(drive, answer, moment),
        BranchOutcome::Refused => {
            if let Some(op) = drive.op_mut(answer.call) {
                op.status = OpStatus::Refused;
                op.finished_at = Some(moment.now);
            }
            if forward {
                let reason = refusal_reason(drive, answer);
                drive.turn_back(Some(reason));
            }
        }
        BranchOutcome::InProgress if forward => record(drive, answer, moment),
        BranchOutcome::Unknown if forward => unknown(drive, answer, moment),
        BranchOutcome::InProgress | BranchOutcome::Unknown => {} // On the way back it is compensated, whatever it did.
    }
}

/// With a retry limit an unknown action is called again at once, and the limit turns the saga back; without one the calls
/// are spaced and go on without end.
fn unknown(drive: &mut Drive, answer: &Answer, moment: Moment) {
    record(drive, answer, moment);
    let limit = drive.txn.options().retry_limit;
    if limit == 0 {
        return;
    }
    drive.txn.progress.retries = drive.txn.progress.retries.saturating_add(1);
    if drive.txn.progress.retries > limit {
        drive.turn_back(Some(format!("RetryCount is greater than RetryLimit, RetryLimit: {limit}")));
    } else if let Some(op) = drive.op_mut(answer.call) {
        op.next_at = None;
    }
}

fn refusal_reason(drive: &Drive, answer: &Answer) -> String {
    let url = answer.call.branch.and_then(|i| drive.txn.def.branches.get(i)).map_or("", |b| b.forward_url.as_str());
    format!("url:{url} return failed: {}", cut(&answer.text, limits::REASON_ANSWER_BYTES_MAX))
}

/// The final status, once every action is done, or everything in reach is undone.
pub(crate) fn finished(drive: &Drive) -> Option<Status> {
    let progress = &drive.txn.progress;
    match progress.status {
        Status::Submitted => {
            progress.branches.iter().all(|b| b.forward.status == OpStatus::Done).then_some(Status::Committed)
        }
        // An action on its way is in reach and not compensated.
        Status::Aborting => uncompensated(drive).is_empty().then_some(Status::Aborted),
        Status::Prepared | Status::Committed | Status::Aborted | Status::Stopped => None,
    }
}

/// Checks that the steps' orders name steps that exist and form no circle.
pub(crate) fn check_orders(def: &Definition) -> Result<(), InvalidDefinition> {
    let steps = def.branches.len();
    let edges: usize = def.orders.iter().map(Vec::len).sum();
    if edges > limits::ORDERS_MAX {
        return Err(InvalidDefinition::TooManyOrders { count: edges });
    }
    for (step, earlier) in def.orders.iter().enumerate() {
        let bad = |waits_for: usize| step >= steps || waits_for >= steps || waits_for == step;
        if let Some(&waits_for) = earlier.iter().find(|&&e| bad(usize::from(e))) {
            return Err(InvalidDefinition::BadOrder { step, waits_for });
        }
    }
    if has_circle(def) { Err(InvalidDefinition::CircularOrders) } else { Ok(()) }
}

/// Starts whatever can start until nothing more can: what is left then waits for itself (Kahn's algorithm).
fn has_circle(def: &Definition) -> bool {
    if def.pattern == Pattern::Saga && !def.options.concurrent {
        return (0..def.orders.len()).any(|step| waits_for(def, step).iter().any(|&e| usize::from(e) > step));
    }
    let steps = def.branches.len();
    let mut missing: Vec<usize> = (0..steps).map(|step| waits_for(def, step).len()).collect();
    let mut followers = vec![Vec::new(); steps];
    for step in 0..steps {
        waits_for(def, step).iter().for_each(|&earlier| followers[usize::from(earlier)].push(step));
    }
    let mut ready: Vec<usize> = (0..steps).filter(|&step| missing[step] == 0).collect();
    let mut started = 0;
    while let Some(step) = ready.pop() {
        started += 1;
        for &follower in &followers[step] {
            missing[follower] -= 1;
            if missing[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    started < steps
}
