//! What must be true when all is quiet, recomputed from what the participants did and what the clients were told.
//!
//! Shares no code with the rules: it knows the words of the patterns, not how they are driven.

use escrow_txn::{Pattern, Status};

use crate::clients::{Case, Told};
use crate::participants::Book;

/// One transaction at the end: what it was, what its client was told, where it stands and what its branches did.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The transaction.
    pub case: Case,
    /// What its client was told.
    pub told: Told,
    /// Where the coordinator says it stands; `None`: it does not know it.
    pub status: Option<Status>,
    /// The branches' books, in order.
    pub books: Vec<Book>,
    /// Whether the initiator's local transaction committed (messages).
    pub committed_locally: bool,
}

/// Everything about one transaction that must not be.
pub fn violations(ending: &Ending) -> Vec<String> {
    let mut found = Vec::new();
    let gid = &ending.case.gid;
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{gid}: {what}: {ending:?}"));
        }
    };
    expect(!ending.told.begun || ending.status.is_some(), "was acknowledged and is gone");
    expect(!ending.told.gid_reused, "another transaction was accepted under its gid");
    let waits_for_its_initiator = ending.status == Some(Status::Prepared) && ending.case.pattern == Pattern::Saga;
    match ending.status {
        None => expect(ending.books.iter().all(|b| b.posted == 0), "is unknown and has effects"),
        Some(Status::Committed) => {
            expect(ending.books.iter().all(is_done), "is committed, and a branch is not done exactly once");
            expect(!ending.told.turned_back && !ending.told.aborted, "is committed, and somebody was told otherwise");
        }
        Some(Status::Aborted) => {
            expect(ending.books.iter().all(is_clean), "is aborted, and an effect remains");
            expect(!ending.told.goes_forward, "is aborted, and somebody was told otherwise");
        }
        Some(Status::Stopped) => expect(ending.told.stopped, "was stopped by nobody"),
        Some(Status::Prepared | Status::Submitted | Status::Aborting) => {
            expect(waits_for_its_initiator, "does not come to an end");
        }
    }
    expect(ending.told.ended.is_none_or(|told| ending.status == Some(told)), "ended otherwise than was told");
    check_decision(ending, &mut expect);
    found
}

fn is_done(book: &Book) -> bool {
    book.posted == 1 && book.held == 0 && book.forward_runs == 1 && book.backward_runs == 0
}

fn is_clean(book: &Book) -> bool {
    book.posted == 0 && book.held == 0
}

/// What an acknowledged decision promises, by pattern.
fn check_decision(ending: &Ending, expect: &mut impl FnMut(bool, &str)) {
    let (told, status) = (&ending.told, ending.status);
    match ending.case.pattern {
        Pattern::Saga => {}
        Pattern::Tcc | Pattern::Xa => {
            expect(!told.submitted || status == Some(Status::Committed), "was submitted and is not committed");
            expect(!told.aborted || status == Some(Status::Aborted), "was aborted and is not");
            let both = ending.books.iter().any(|b| b.forward_runs > 0 && b.backward_runs > 0);
            expect(!both, "ran both confirm and cancel on a branch");
        }
        Pattern::Message => {
            expect(!told.submitted || status == Some(Status::Committed), "was submitted and is not delivered");
            let delivered = status == Some(Status::Committed);
            let known = status.is_some();
            expect(
                !known || delivered == ending.committed_locally,
                "is delivered if and only if its local transaction committed: not here",
            );
        }
    }
}
