//! One measurement: a load on a running coordinator, and what it cost.

use serde::{Deserialize, Serialize};

use crate::load::Pace;
use crate::workload::Workload;

/// What one round of one load on one target came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The target's name, as [`crate::target::Target`] shows it.
    pub(crate) target: String,
    pub(crate) workload: Workload,
    pub(crate) pace: Pace,
    /// Share of the capacity that an open loop asks for, in percent.
    pub(crate) percent_of_capacity: Option<u32>,
    /// From 1.
    pub(crate) round: u32,
    pub(crate) finished: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) per_second: f64,
    /// Processor time of the coordinator, and of its database, per transaction.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// The store's own counters, per transaction; `None` where the target has none.
    pub(crate) changes: Option<f64>,
    pub(crate) syncs: Option<f64>,
    pub(crate) bytes: Option<f64>,
    /// Resident memory at the end.
    pub(crate) resident_bytes: u64,
}
