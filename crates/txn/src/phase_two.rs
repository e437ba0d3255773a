//! What TCC and XA share: the initiator or the participants do phase one, the coordinator carries the decision to every
//! branch, in the direction decided, until each has done it.

use crate::next::open_branches;
use crate::{CallId, Drive, Status};

/// The calls of phase two that are open, of branches in the given order: all of them if the transaction is concurrent,
/// else the first.
pub(crate) fn open(drive: &Drive, order: impl FnOnce(&mut Vec<usize>)) -> Vec<CallId> {
    let pattern = drive.txn.def.pattern;
    let op = match drive.txn.progress.status {
        Status::Submitted => Some(pattern.forward_op()),
        Status::Aborting => pattern.backward_op(),
        Status::Prepared | Status::Committed | Status::Aborted | Status::Stopped => None,
    };
    let Some(op) = op else { return Vec::new() };
    let mut branches = open_branches(drive);
    order(&mut branches);
    if !drive.txn.options().concurrent {
        branches.truncate(1);
    }
    branches.into_iter().map(|index| CallId::of(index, op)).collect()
}

/// The final status, once every branch has carried out the decision.
pub(crate) fn finished(drive: &Drive) -> Option<Status> {
    let end = match drive.txn.progress.status {
        Status::Submitted => Status::Committed,
        Status::Aborting => Status::Aborted,
        Status::Prepared | Status::Committed | Status::Aborted | Status::Stopped => return None,
    };
    open_branches(drive).is_empty().then_some(end)
}
