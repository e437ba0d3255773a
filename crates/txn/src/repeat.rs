//! A gid used again: the same request once more, or another transaction under a taken name?

use crate::{Digest, Pattern, Status, Txn};

/// Which request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begin.
    Prepare,
    /// Begin and decide, or decide.
    Submit,
}

/// Why a request for an existing gid is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepeatRefused {
    /// It names other rules.
    #[error("the transaction exists as a {stored:?}, the request says {sent:?}")]
    Pattern {
        /// The rules it was begun with.
        stored: Pattern,
        /// The rules that the request names.
        sent: Pattern,
    },
    /// It comes too late.
    #[error("the transaction is {status:?}")]
    Status {
        /// Where the transaction stands.
        status: Status,
    },
    /// It carries other steps or payloads.
    #[error("the transaction exists with different steps or payloads")]
    Definition,
}

/// Compares a request with what stands under its gid: pattern, then status, then digest. A request without steps is not
/// compared by digest; options and free text never are.
///
/// # Errors
/// The first difference.
pub fn check_repeat(
    txn: &Txn,
    request: Request,
    pattern: Pattern,
    digest: Option<Digest>,
) -> Result<(), RepeatRefused> {
    if txn.def.pattern != pattern {
        return Err(RepeatRefused::Pattern { stored: txn.def.pattern, sent: pattern });
    }
    let status = txn.progress.status;
    let in_time = match (request, status) {
        (Request::Prepare | Request::Submit, Status::Prepared) | (Request::Submit, Status::Submitted) => true,
        (
            Request::Prepare | Request::Submit,
            Status::Submitted | Status::Aborting | Status::Committed | Status::Aborted | Status::Stopped,
        ) => false,
    };
    if !in_time {
        return Err(RepeatRefused::Status { status });
    }
    match (stored_digest(txn), digest) {
        (Some(stored), Some(sent)) if stored != sent => Err(RepeatRefused::Definition),
        _ => Ok(()),
    }
}

/// The first request that carries steps fixes them: the one that began the transaction, or the submit that added them.
fn stored_digest(txn: &Txn) -> Option<Digest> {
    let def = &txn.def;
    let added_by_submit = || Digest::of(def.pattern, &def.branches).filter(|_| !def.pattern.registers_branches());
    def.digest.or_else(added_by_submit)
}
