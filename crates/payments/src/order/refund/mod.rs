//! Refunds that a merchant asks for: a saga over this service, funds and the bank.
//!
//! | step | action | when the saga turns back |
//! |---|---|---|
//! | 01 the refund row | made by T0, with its barrier row: nothing to call | `FAILED`, merchant told |
//! | 02 funds hold | merchant's money is held | given back |
//! | 03 bank refund | the bank is asked until it is final; the pivot | nothing: it was refused for good |
//! | 04 settle | `SUCCESS`, and what follows from it | - |
//!
//! T0 also writes the outbox row that becomes the saga, so every refund is begun; and the first step is the last that turns
//! back, so every refund ends `SUCCESS` or `FAILED`, the latter only after the hold was given back.

pub(super) mod bank;
pub(super) mod create;
pub(super) mod settle;

/// The refund row's own branch in the saga.
const OWN_BRANCH: &str = "01";
