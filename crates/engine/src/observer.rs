use std::time::Duration;

use escrow_txn::{BranchOp, BranchOutcome, Gid, Pattern, Status};

/// Hears what the engine does, to count it.
pub trait Observer: Send + Sync {
    /// A transaction became final, `age` after its creation.
    fn finished(&self, pattern: Pattern, status: Status, age: Duration) {
        let _ = (pattern, status, age);
    }

    /// A call came back, or did not.
    fn answered(&self, pattern: Pattern, op: BranchOp, outcome: BranchOutcome, latency: Duration) {
        let _ = (pattern, op, outcome, latency);
    }

    /// An operation is in trouble. Called for each of its failures in a row; must not wait for anything.
    fn failed(&self, failure: &Failure<'_>) {
        let _ = failure;
    }

    /// A transaction began to ask for a human.
    fn attention(&self, pattern: Pattern) {
        let _ = pattern;
    }
}

/// An operation was not done, and will be repeated: its answer was unknown, or a refusal where nothing can be refused.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The transaction.
    pub gid: &'a Gid,
    /// Where it stands.
    pub status: Status,
    /// What was called.
    pub url: &'a str,
    /// The status code of the answer; `None` if there was none.
    pub code: Option<u16>,
    /// The answer's text, or what went wrong.
    pub answer: &'a str,
    /// How often in a row by now.
    pub in_a_row: u32,
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
