use std::time::Duration;

use crate::progress::OpStatus;
use crate::{BranchOp, CallId, Drive, Pattern, Progress, Reach, Status, Timestamp, message, saga, tcc, xa};

/// Answers that are safe to lose ride along with the next commit that has to happen, or are stored at latest this long
/// after they came.
const RIDE_ALONG_MAX: Duration = Duration::from_millis(100);

/// What to do next with a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What has to be durable before any of `calls` leaves and before anybody is told; `None`: nothing.
    pub commit_first: Option<Box<Progress>>,
    /// The calls to make now.
    pub calls: Vec<CallId>,
    /// When to apply [`Event::Wake`](crate::Event::Wake) if nothing happens before; a time that has passed means at once.
    /// A wait until a later time is stored, unless calls are on their way.
    pub wake_at: Option<Timestamp>,
    /// The transaction is final: once `commit_first` is durable there is nothing more to do.
    pub settled: bool,
}

/// Says what to do next, as of `now`.
pub fn next(drive: &Drive, now: Timestamp) -> Step {
    let progress = &drive.txn.progress;
    if progress.status.is_final() {
        let stored = drive.durable.as_ref().is_some_and(|d| d.status == progress.status);
        let commit_first = (!stored).then(|| Box::new(Progress { next_run_at: None, ..progress.clone() }));
        return Step { commit_first, calls: Vec::new(), wake_at: None, settled: true };
    }
    let plan = plan(drive, now);
    let commit_first = commit_first(drive, &plan, now);
    let rides_along = commit_first.is_none() && !plan.idle;
    let save_at = drive.unsaved_since.map(|since| since.plus(RIDE_ALONG_MAX)).filter(|_| rides_along);
    Step { commit_first, calls: plan.due, wake_at: earliest(plan.wake_at, save_at), settled: false }
}

/// What the rules allow, split by time.
struct Plan {
    due: Vec<CallId>,
    wake_at: Option<Timestamp>,
    /// No call is due and none is on its way.
    idle: bool,
}

fn plan(drive: &Drive, now: Timestamp) -> Plan {
    let mut wake_at = drive.deadline().map(|(at, _)| at);
    if let Some(at) = message::not_before(drive).filter(|&at| at > now) {
        return Plan { due: Vec::new(), wake_at: earliest(wake_at, Some(at)), idle: drive.in_flight.is_empty() };
    }
    let mut due = Vec::new();
    for call in open_calls(drive).into_iter().filter(|call| !drive.in_flight.contains(call)) {
        match drive.op(call).and_then(|op| op.next_at).filter(|&at| at > now) {
            Some(later) => wake_at = earliest(wake_at, Some(later)),
            None => due.push(call),
        }
    }
    // A deadline that has passed comes first: no new call leaves in a direction that is about to be given up.
    if drive.deadline().is_some_and(|(at, _)| at <= now) {
        due.clear();
    }
    let idle = due.is_empty() && drive.in_flight.is_empty();
    Plan { due, wake_at, idle }
}

/// The operations that may be called, time aside.
fn open_calls(drive: &Drive) -> Vec<CallId> {
    match drive.txn.def.pattern {
        Pattern::Saga => saga::open(drive),
        Pattern::Tcc => tcc::open(drive),
        Pattern::Xa => xa::open(drive),
        Pattern::Message => message::open(drive),
    }
}

fn commit_first(drive: &Drive, plan: &Plan, now: Timestamp) -> Option<Box<Progress>> {
    let progress = &drive.txn.progress;
    // What has a deadline that has passed does not wait: it turns back at once.
    let waits = plan.idle && plan.wake_at.is_none_or(|at| at > now);
    let next_run_at = if waits { plan.wake_at } else { None };
    // A call outside the durable reach widens it to all actions: one commit, not one per step.
    let widens = plan.due.iter().any(|call| outside_durable_reach(drive, *call));
    let reach = match drive.txn.def.pattern {
        Pattern::Saga if widens => Reach::All,
        Pattern::Saga if waits => drive.started.clone(),
        Pattern::Saga | Pattern::Tcc | Pattern::Xa | Pattern::Message => progress.reach.clone(),
    };
    let changed = |durable: &Progress| *durable != Progress { next_run_at, reach: reach.clone(), ..progress.clone() };
    let needed = match &drive.durable {
        None => true,
        Some(durable) => {
            widens
                || durable.status != progress.status
                || durable.branches.len() != progress.branches.len()
                || (waits && changed(durable))
                // Somebody was promised that it goes on now: a crash must not bring the wait back.
                || (!plan.idle && durable.next_run_at.is_some_and(|at| at > now))
                || (!plan.idle && drive.unsaved_since.is_some_and(|since| since.plus(RIDE_ALONG_MAX) <= now))
        }
    };
    needed.then(|| Box::new(Progress { next_run_at, reach, ..progress.clone() }))
}

fn outside_durable_reach(drive: &Drive, call: CallId) -> bool {
    match (call.op, call.branch) {
        (BranchOp::Action, Some(index)) => drive.durable.as_ref().is_none_or(|d| !d.reach.covers(index)),
        _ => false,
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// The branches whose operation in the transaction's direction is still open, by index.
pub(crate) fn open_branches(drive: &Drive) -> Vec<usize> {
    let forward = drive.txn.progress.status == Status::Submitted;
    let is_open = |index: &usize| {
        let branch = &drive.txn.progress.branches[*index];
        let op = if forward { &branch.forward } else { &branch.backward };
        op.status == OpStatus::Open
    };
    (0..drive.txn.progress.branches.len()).filter(is_open).collect()
}
