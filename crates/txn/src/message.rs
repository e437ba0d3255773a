//! Two-phase message: delivered if and only if the initiator's local transaction committed.
//!
//! ```text
//! Prepared ──submit, or check-back says done──▶ Submitted ──every delivery done──▶ Committed
//!     │ abort, or check-back says refused
//!     └───────────────────────────────────────▶ Aborted
//! ```
//!
//! An initiator that vanishes between prepare and submit is asked back, again and again; age decides nothing. A
//! submitted message is never turned back: a refused delivery is retried like an unknown one, and shows as attention.
//!
//! Source: transactional messages of RocketMQ (half message and check), two-phase messages of DTM.

use std::time::Duration;

use crate::drive::{decide_forward, raise_attention, record};
use crate::next::open_branches;
use crate::{Answer, BranchOp, BranchOutcome, CallId, Drive, Moment, Pattern, Status, Timestamp};

/// How long a check-back may be undecided before a human should look.
const UNDECIDED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The check-back while prepared, if there is somebody to ask; then the deliveries: all if concurrent, else the first that
/// is open.
pub(crate) fn open(drive: &Drive) -> Vec<CallId> {
    match drive.txn.progress.status {
        // Without an address only the initiator can decide: taking its silence for a yes would deliver what never happened.
        Status::Prepared if drive.txn.def.check_back_url.is_empty() => Vec::new(),
        Status::Prepared => vec![CallId::CHECK_BACK],
        Status::Submitted => {
            let mut branches = open_branches(drive);
            if !drive.txn.options().concurrent {
                branches.truncate(1);
            }
            branches.into_iter().map(|index| CallId::of(index, BranchOp::Deliver)).collect()
        }
        Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped => Vec::new(),
    }
}

/// Deliveries may have to wait until then.
pub(crate) fn not_before(drive: &Drive) -> Option<Timestamp> {
    match (drive.txn.def.pattern, drive.txn.progress.status) {
        (Pattern::Message, Status::Submitted) => {
            drive.txn.options().delay.map(|delay| drive.txn.def.created_at.plus(delay))
        }
        _ => None,
    }
}

/// What an answer means: of a check-back, the decision; of a delivery, progress.
pub(crate) fn answered(drive: &mut Drive, answer: &Answer, moment: Moment) {
    if answer.call != CallId::CHECK_BACK {
        return record(drive, answer, moment);
    }
    match answer.outcome {
        BranchOutcome::Done => {
            record(drive, answer, moment);
            decide_forward(drive);
        }
        BranchOutcome::Refused => {
            drive.txn.progress.reason =
                Some("the check-back said that the local transaction did not commit".to_owned());
            drive.finish(Status::Aborted, moment.now);
        }
        BranchOutcome::InProgress | BranchOutcome::Unknown => {
            record(drive, answer, moment);
            if moment.now.since(drive.txn.def.created_at) >= UNDECIDED_MAX {
                raise_attention(drive, answer, "the check-back has been undecided for 24 hours".to_owned(), moment.now);
            }
        }
    }
}

/// `Committed` once every delivery is done.
pub(crate) fn finished(drive: &Drive) -> Option<Status> {
    match drive.txn.progress.status {
        Status::Submitted => open_branches(drive).is_empty().then_some(Status::Committed),
        Status::Prepared | Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped => None,
    }
}
