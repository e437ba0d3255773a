use std::fmt;
use std::sync::Arc;

/// What tests set to small values, and where they hold the writer back or make it fail.
#[derive(Clone)]
pub(crate) struct Tuning {
    /// What the writer's queue may hold, in KiB; every job counts as one at least.
    pub(crate) queue_kib: u32,
    /// Pages of the write-ahead log after which it is carried over into the database.
    pub(crate) checkpoint_pages: i64,
    /// Timers that are brought into memory at once.
    pub(crate) timers_chunk: u32,
    /// Runs before each COMMIT, on the writer's thread; an error counts as that of the COMMIT.
    pub(crate) before_commit: Option<Arc<dyn Fn() -> rusqlite::Result<()> + Send + Sync>>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { queue_kib: 64 * 1024, checkpoint_pages: 4_096, timers_chunk: 1_000, before_commit: None }
    }
}

impl fmt::Debug for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuning").finish_non_exhaustive()
    }
}
