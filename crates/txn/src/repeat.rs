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
    // Steps that nobody would store must not look accepted: only the submit of a saga or message may bring the first ones.
    let may_bring_steps = request == Request::Submit && !pattern.registers_branches();
    match (stored_digest(txn), digest) {
        (Some(stored), Some(sent)) if stored != sent => Err(RepeatRefused::Definition),
        (None, Some(_)) if !may_bring_steps => Err(RepeatRefused::Definition),
        _ => Ok(()),
    }
}

/// The first request that carries steps fixes them: the one that began the transaction, or the submit that added them.
fn stored_digest(txn: &Txn) -> Option<Digest> {
    let def = &txn.def;
    let added_by_submit = || Digest::of(def.pattern, &def.branches).filter(|_| !def.pattern.registers_branches());
    def.digest.or_else(added_by_submit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amendment, Defaults, Definition, Drive, Event, Moment, Timestamp, apply, laws::samples};

    fn stored(pattern: Pattern, status: Status, digest: Option<Digest>) -> Txn {
        let def = Definition { digest, ..samples::definition(pattern, 2) };
        let mut txn = Drive::begin(def, false, Defaults::default()).txn().clone();
        txn.progress.status = status;
        txn
    }

    /// The digest of steps like the stored ones, and of others.
    fn digests(pattern: Pattern) -> (Digest, Digest) {
        let of = |count| Digest::of(pattern, &samples::definition(pattern, count).branches).unwrap();
        (of(2), of(1))
    }

    #[test]
    fn every_request_is_refused_in_every_status_that_comes_after_it() {
        use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
        for pattern in [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message] {
            let (same, _) = digests(pattern);
            for status in [Prepared, Submitted, Aborting, Committed, Aborted, Stopped] {
                let txn = stored(pattern, status, Some(same));
                for request in [Request::Prepare, Request::Submit] {
                    let fits = status == Prepared || (request, status) == (Request::Submit, Submitted);
                    let expected = if fits { Ok(()) } else { Err(RepeatRefused::Status { status }) };
                    assert_eq!(check_repeat(&txn, request, pattern, Some(same)), expected, "{request:?} {status:?}");
                }
            }
        }
    }

    #[test]
    fn the_pattern_is_compared_before_the_status_and_the_status_before_the_steps() {
        let (same, other) = digests(Pattern::Saga);
        let committed = stored(Pattern::Saga, Status::Committed, Some(same));
        let pattern = RepeatRefused::Pattern { stored: Pattern::Saga, sent: Pattern::Tcc };
        assert_eq!(check_repeat(&committed, Request::Submit, Pattern::Tcc, Some(other)), Err(pattern));
        let status = RepeatRefused::Status { status: Status::Committed };
        assert_eq!(check_repeat(&committed, Request::Submit, Pattern::Saga, Some(other)), Err(status));
        let submitted = stored(Pattern::Saga, Status::Submitted, Some(same));
        let refused = Err(RepeatRefused::Definition);
        assert_eq!(check_repeat(&submitted, Request::Submit, Pattern::Saga, Some(other)), refused);
    }

    #[test]
    fn a_request_without_steps_is_not_compared_by_them() {
        let (same, _) = digests(Pattern::Tcc);
        let declared = stored(Pattern::Tcc, Status::Prepared, Some(same));
        assert_eq!(check_repeat(&declared, Request::Submit, Pattern::Tcc, None), Ok(()));
    }

    #[test]
    fn steps_that_nobody_would_store_are_refused() {
        let refused = Err(RepeatRefused::Definition);
        for (pattern, submit) in [(Pattern::Tcc, refused), (Pattern::Xa, refused), (Pattern::Saga, Ok(()))] {
            let (_, sent) = digests(pattern);
            let def = Definition { digest: None, ..samples::definition(pattern, 0) };
            let txn = Drive::begin(def, false, Defaults::default()).txn().clone();
            assert_eq!(check_repeat(&txn, Request::Prepare, pattern, Some(sent)), refused, "{pattern:?}");
            assert_eq!(check_repeat(&txn, Request::Submit, pattern, Some(sent)), submit, "{pattern:?}");
        }
    }

    #[test]
    fn the_first_submit_that_carries_steps_fixes_them() {
        let mut drive = Drive::begin(samples::definition(Pattern::Message, 0), false, Defaults::default());
        let (same, other) = digests(Pattern::Message);
        assert_eq!(check_repeat(drive.txn(), Request::Submit, Pattern::Message, Some(other)), Ok(()));
        let branches = samples::definition(Pattern::Message, 2).branches;
        let submit = Event::Submit { amendment: Amendment::default(), branches };
        apply(&mut drive, submit, Moment::at(Timestamp::from_micros(1))).unwrap();
        assert_eq!(check_repeat(drive.txn(), Request::Submit, Pattern::Message, Some(same)), Ok(()));
        let refused = Err(RepeatRefused::Definition);
        assert_eq!(check_repeat(drive.txn(), Request::Submit, Pattern::Message, Some(other)), refused);
    }
}
