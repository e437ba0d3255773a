//! Try, confirm, cancel.
//!
//! ```text
//! Prepared ──submit──▶ Submitted ──every confirm done──▶ Committed
//!     │ abort, time-out
//!     └──────────────▶ Aborting ───every cancel done───▶ Aborted
//! ```
//!
//! The initiator registers each branch, then calls its try. The coordinator never calls try. A submitted TCC never
//! cancels: a confirm is retried without end. An aborted one never confirms; cancel goes to every registered branch,
//! whether or not its try ran, and the participant's barrier makes a needless one a no-op.
//!
//! Source: Pat Helland, "Life beyond Distributed Transactions" (2007), for the reservation; DTM for the protocol.

use crate::{CallId, Drive, phase_two};

/// Confirm or cancel, in reverse order of registration.
pub(crate) fn open(drive: &Drive) -> Vec<CallId> {
    phase_two::open(drive, |branches| branches.reverse())
}
