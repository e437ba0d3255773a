use std::time::Duration;

use escrow_txn::{BranchOp, BranchOutcome, Pattern, Status};

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

    /// A transaction began to ask for a human.
    fn attention(&self, pattern: Pattern) {
        let _ = pattern;
    }
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
