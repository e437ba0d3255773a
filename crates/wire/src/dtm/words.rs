use escrow_txn::{BranchOp, Pattern, Status};

/// The dialect's word for a pattern.
pub fn trans_type(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Saga => "saga",
        Pattern::Tcc => "tcc",
        Pattern::Xa => "xa",
        Pattern::Message => "msg",
    }
}

/// The dialect's word for a status. It has none for *stopped by force*: such a transaction is `failed`, with the
/// operator's reason.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Prepared => "prepared",
        Status::Submitted => "submitted",
        Status::Aborting => "aborting",
        Status::Committed => "succeed",
        Status::Aborted | Status::Stopped => "failed",
    }
}

/// The dialect's word for an operation.
pub fn op_word(op: BranchOp) -> &'static str {
    match op {
        BranchOp::Action | BranchOp::Deliver | BranchOp::Prepare => "action",
        BranchOp::Compensate => "compensate",
        BranchOp::Try => "try",
        BranchOp::Confirm => "confirm",
        BranchOp::Cancel => "cancel",
        BranchOp::Commit => "commit",
        BranchOp::Rollback => "rollback",
        BranchOp::CheckBack => "msg",
    }
}
