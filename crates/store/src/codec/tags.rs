//! The numbers by which records, and the columns of stores, name what decides something. Numbers are never used again.

use escrow_txn::{BranchOp, BranchOutcome, OpStatus, Pattern, Status};

use super::CodecError;

/// Pattern 5: set aside for workflows.
pub const PATTERN_WORKFLOW_RESERVED: u8 = 5;
/// Pattern 6: set aside for best-effort notifications.
pub const PATTERN_NOTIFICATION_RESERVED: u8 = 6;

/// The number of a pattern.
pub const fn of_pattern(pattern: Pattern) -> u8 {
    match pattern {
        Pattern::Saga => 1,
        Pattern::Tcc => 2,
        Pattern::Xa => 3,
        Pattern::Message => 4,
    }
}

/// The pattern with this number.
///
/// # Errors
/// [`CodecError::Reserved`] and [`CodecError::UnknownTag`].
pub fn to_pattern(tag: u8) -> Result<Pattern, CodecError> {
    match tag {
        1 => Ok(Pattern::Saga),
        2 => Ok(Pattern::Tcc),
        3 => Ok(Pattern::Xa),
        4 => Ok(Pattern::Message),
        PATTERN_WORKFLOW_RESERVED => Err(CodecError::Reserved { what: "pattern", found: tag, meaning: "workflow" }),
        PATTERN_NOTIFICATION_RESERVED => {
            Err(CodecError::Reserved { what: "pattern", found: tag, meaning: "notification" })
        }
        found => Err(CodecError::UnknownTag { what: "pattern", found }),
    }
}

/// The number of a status.
pub const fn of_status(status: Status) -> u8 {
    match status {
        Status::Prepared => 1,
        Status::Submitted => 2,
        Status::Aborting => 3,
        Status::Committed => 4,
        Status::Aborted => 5,
        Status::Stopped => 6,
    }
}

/// The status with this number.
///
/// # Errors
/// [`CodecError::UnknownTag`].
pub fn to_status(tag: u8) -> Result<Status, CodecError> {
    match tag {
        1 => Ok(Status::Prepared),
        2 => Ok(Status::Submitted),
        3 => Ok(Status::Aborting),
        4 => Ok(Status::Committed),
        5 => Ok(Status::Aborted),
        6 => Ok(Status::Stopped),
        found => Err(CodecError::UnknownTag { what: "status", found }),
    }
}

pub(super) fn of_op(op: BranchOp) -> u8 {
    match op {
        BranchOp::Action => 1,
        BranchOp::Compensate => 2,
        BranchOp::Try => 3,
        BranchOp::Confirm => 4,
        BranchOp::Cancel => 5,
        BranchOp::Prepare => 6,
        BranchOp::Commit => 7,
        BranchOp::Rollback => 8,
        BranchOp::Deliver => 9,
        BranchOp::CheckBack => 10,
    }
}

pub(super) fn to_op(tag: u8) -> Result<BranchOp, CodecError> {
    match tag {
        1 => Ok(BranchOp::Action),
        2 => Ok(BranchOp::Compensate),
        3 => Ok(BranchOp::Try),
        4 => Ok(BranchOp::Confirm),
        5 => Ok(BranchOp::Cancel),
        6 => Ok(BranchOp::Prepare),
        7 => Ok(BranchOp::Commit),
        8 => Ok(BranchOp::Rollback),
        9 => Ok(BranchOp::Deliver),
        10 => Ok(BranchOp::CheckBack),
        found => Err(CodecError::UnknownTag { what: "branch operation", found }),
    }
}

pub(super) fn of_outcome(outcome: BranchOutcome) -> u8 {
    match outcome {
        BranchOutcome::Done => 1,
        BranchOutcome::Refused => 2,
        BranchOutcome::InProgress => 3,
        BranchOutcome::Unknown => 4,
    }
}

pub(super) fn to_outcome(tag: u8) -> Result<BranchOutcome, CodecError> {
    match tag {
        1 => Ok(BranchOutcome::Done),
        2 => Ok(BranchOutcome::Refused),
        3 => Ok(BranchOutcome::InProgress),
        4 => Ok(BranchOutcome::Unknown),
        found => Err(CodecError::UnknownTag { what: "branch outcome", found }),
    }
}

pub(super) fn of_op_status(status: OpStatus) -> u8 {
    match status {
        OpStatus::Open => 1,
        OpStatus::Done => 2,
        OpStatus::Refused => 3,
    }
}

pub(super) fn to_op_status(tag: u8) -> Result<OpStatus, CodecError> {
    match tag {
        1 => Ok(OpStatus::Open),
        2 => Ok(OpStatus::Done),
        3 => Ok(OpStatus::Refused),
        found => Err(CodecError::UnknownTag { what: "operation status", found }),
    }
}
