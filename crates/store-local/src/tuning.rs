use std::time::Duration;

use crate::archive::ArchiveTuning;
use crate::log;

/// What tests set to small values.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    /// What the writer's queue may hold, in KiB; every request counts as one at least.
    pub(crate) queue_kib: u32,
    /// Bytes of requests that go into one frame, unless a single one is larger.
    pub(crate) batch_bytes: usize,
    /// Finished transactions that are archived at once.
    pub(crate) archive_batch: usize,
    /// Unfinished transactions that are saved at once.
    pub(crate) save_batch: usize,
    /// Finished transactions that may wait to be archived before new ones are refused.
    pub(crate) backlog_max: usize,
    /// And their bytes.
    pub(crate) backlog_bytes_max: usize,
    /// Bytes of needed segments from which on the oldest is cleared of unfinished transactions.
    pub(crate) log_bytes_kept: u64,
    /// And their number.
    pub(crate) segments_kept: u64,
    /// Far timers that are brought into memory at once.
    pub(crate) timers_chunk: usize,
    /// Timers up to this far ahead are brought into memory.
    pub(crate) timers_window: Duration,
    pub(crate) log: log::Tuning,
    pub(crate) archive: ArchiveTuning,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            queue_kib: 64 * 1024,
            batch_bytes: 4 * 1024 * 1024,
            archive_batch: 8_000,
            save_batch: 16_000,
            backlog_max: 200_000,
            backlog_bytes_max: 512 * 1024 * 1024,
            log_bytes_kept: 128 * 1024 * 1024,
            segments_kept: 32,
            timers_chunk: 10_000,
            timers_window: Duration::from_secs(300),
            log: log::Tuning::default(),
            archive: ArchiveTuning::default(),
        }
    }
}
