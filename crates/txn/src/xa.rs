//! Two-phase commit over databases that can prepare.
//!
//! ```text
//! Prepared ──submit──▶ Submitted ──every commit done────▶ Committed
//!     │ abort, time-out
//!     └──────────────▶ Aborting ───every rollback done──▶ Aborted
//! ```
//!
//! Each participant runs its work inside a local XA branch, registers it here, and prepares it. The coordinator touches
//! no database: it tells each registered participant to commit or to roll back. A branch that never registered rolls
//! itself back.
//!
//! Source: X/Open, Distributed Transaction Processing: the XA Specification (1991).

use crate::{CallId, Drive, phase_two};

/// Commit or rollback, in order of registration.
pub(crate) fn open(drive: &Drive) -> Vec<CallId> {
    phase_two::open(drive, |_| {})
}
