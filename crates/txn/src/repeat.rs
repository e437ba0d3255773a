//! A gid used again: the same request once more, or another transaction under a taken name?

use crate::{Definition, Pattern, Status, Txn};

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
    /// It says in what order the steps run, and otherwise than the request that began the saga.
    #[error("the orders of a saga's steps are fixed by the request that begins it")]
    Orders,
}

/// Compares a request with what stands under its gid: pattern, then status, then steps, by their digest. A request without
/// steps is not compared by them; options and free text never are.
///
/// # Errors
/// The first difference.
pub fn check_repeat(txn: &Txn, request: Request, sent: &Definition) -> Result<(), RepeatRefused> {
    if txn.def.pattern != sent.pattern {
        return Err(RepeatRefused::Pattern { stored: txn.def.pattern, sent: sent.pattern });
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
    let may_bring_steps = request == Request::Submit && !sent.pattern.registers_branches();
    // The first request that carries steps fixes them: the one that began the transaction, or the submit that added them.
    let stored = txn.def.digest.or(txn.progress.amended.as_ref().and_then(|amended| amended.digest));
    match (stored, sent.digest) {
        (Some(stored), Some(sent)) if stored != sent => return Err(RepeatRefused::Definition),
        (None, Some(_)) if !may_bring_steps => return Err(RepeatRefused::Definition),
        _ => {}
    }
    // A definition is written once: orders that come later would be lost, and steps would run too early.
    let orders = said_orders(sent);
    if orders.is_empty() || orders == said_orders(&txn.def) { Ok(()) } else { Err(RepeatRefused::Orders) }
}

/// The orders up to the last step that waits for one.
fn said_orders(def: &Definition) -> &[Vec<u16>] {
    let count = def.orders.iter().rposition(|earlier| !earlier.is_empty()).map_or(0, |last| last + 1);
    &def.orders[..count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amendment, Defaults, Digest, Drive, Event, Moment, Timestamp, apply, laws::samples};

    fn stored(def: &Definition, status: Status) -> Txn {
        let mut txn = Drive::begin(def.clone(), false, Defaults::default()).txn().clone();
        txn.progress.status = status;
        txn
    }

    /// A request with so many steps, and their digest.
    fn sent(pattern: Pattern, steps: usize) -> Definition {
        let def = samples::definition(pattern, steps);
        Definition { digest: Digest::of(pattern, &def.branches), ..def }
    }

    #[test]
    fn every_request_is_refused_in_every_status_that_comes_after_it() {
        use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
        for pattern in [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message] {
            let same = sent(pattern, 2);
            for status in [Prepared, Submitted, Aborting, Committed, Aborted, Stopped] {
                let txn = stored(&same, status);
                for request in [Request::Prepare, Request::Submit] {
                    let fits = status == Prepared || (request, status) == (Request::Submit, Submitted);
                    let expected = if fits { Ok(()) } else { Err(RepeatRefused::Status { status }) };
                    assert_eq!(check_repeat(&txn, request, &same), expected, "{request:?} {status:?}");
                }
            }
        }
    }

    #[test]
    fn the_pattern_is_compared_before_the_status_and_the_status_before_the_steps() {
        let (same, other) = (sent(Pattern::Saga, 2), sent(Pattern::Saga, 1));
        let committed = stored(&same, Status::Committed);
        let pattern = RepeatRefused::Pattern { stored: Pattern::Saga, sent: Pattern::Tcc };
        assert_eq!(check_repeat(&committed, Request::Submit, &sent(Pattern::Tcc, 1)), Err(pattern));
        let status = RepeatRefused::Status { status: Status::Committed };
        assert_eq!(check_repeat(&committed, Request::Submit, &other), Err(status));
        let submitted = stored(&same, Status::Submitted);
        assert_eq!(check_repeat(&submitted, Request::Submit, &other), Err(RepeatRefused::Definition));
    }

    #[test]
    fn a_request_without_steps_is_not_compared_by_them() {
        let declared = stored(&sent(Pattern::Tcc, 2), Status::Prepared);
        assert_eq!(check_repeat(&declared, Request::Submit, &sent(Pattern::Tcc, 0)), Ok(()));
    }

    #[test]
    fn steps_that_nobody_would_store_are_refused() {
        let refused = Err(RepeatRefused::Definition);
        for (pattern, submit) in [(Pattern::Tcc, refused), (Pattern::Xa, refused), (Pattern::Saga, Ok(()))] {
            let txn = stored(&sent(pattern, 0), Status::Prepared);
            assert_eq!(check_repeat(&txn, Request::Prepare, &sent(pattern, 1)), refused, "{pattern:?}");
            assert_eq!(check_repeat(&txn, Request::Submit, &sent(pattern, 1)), submit, "{pattern:?}");
        }
    }

    #[test]
    fn the_first_submit_that_carries_steps_fixes_them_as_they_were_sent() {
        let mut drive = Drive::begin(sent(Pattern::Message, 0), false, Defaults::default());
        let (same, other) = (sent(Pattern::Message, 2), sent(Pattern::Message, 1));
        assert_eq!(check_repeat(drive.txn(), Request::Submit, &other), Ok(()));
        // Stored are the subscribers of what was sent.
        let branches = samples::definition(Pattern::Message, 3).branches;
        let amendment = Amendment { digest: same.digest, ..Amendment::default() };
        apply(&mut drive, Event::Submit { amendment, branches }, Moment::at(Timestamp::from_micros(1))).unwrap();
        assert_eq!(check_repeat(drive.txn(), Request::Submit, &same), Ok(()));
        assert_eq!(check_repeat(drive.txn(), Request::Submit, &other), Err(RepeatRefused::Definition));
    }

    #[test]
    fn orders_that_nobody_would_obey_are_refused() {
        let with = |steps, orders: &[&[u16]]| {
            let orders = orders.iter().map(|earlier| earlier.to_vec()).collect();
            Definition { orders, ..sent(Pattern::Saga, steps) }
        };
        let refused = Err(RepeatRefused::Orders);
        for (begun, sent, expected) in [
            (with(0, &[]), with(3, &[&[], &[], &[0]]), refused),
            (with(3, &[]), with(3, &[&[], &[], &[0]]), refused),
            (with(3, &[&[], &[0]]), with(3, &[&[], &[], &[0]]), refused),
            (with(3, &[&[], &[0]]), with(3, &[&[], &[0], &[1]]), refused),
            (with(3, &[&[], &[0]]), with(3, &[&[], &[0], &[]]), Ok(())),
            (with(3, &[&[], &[0]]), with(3, &[]), Ok(())),
            (with(3, &[]), with(3, &[&[], &[]]), Ok(())),
        ] {
            let txn = stored(&begun, Status::Prepared);
            assert_eq!(check_repeat(&txn, Request::Submit, &sent), expected, "{:?} {:?}", begun.orders, sent.orders);
        }
    }
}
