use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the store was opened, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Changes that became durable, or were found to be in conflict.
    pub changes: u64,
    /// Batches that were committed; each of them is one sync of the write-ahead log.
    pub batches: u64,
    /// Times that the write-ahead log was carried over into the database, which takes two more syncs.
    pub checkpoints: u64,
    /// Batches by the number of their changes: 1, 2, up to 4, up to 8 and so on, and the last for all that are larger.
    pub batch_sizes: [u64; BATCH_SIZES],
}

/// The length of [`Stats::batch_sizes`].
pub const BATCH_SIZES: usize = 12;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    changes: AtomicU64,
    checkpoints: AtomicU64,
    batch_sizes: [AtomicU64; BATCH_SIZES],
}

impl Counters {
    pub(crate) fn batch(&self, changes: usize) {
        let class = changes.next_power_of_two().trailing_zeros() as usize;
        self.batch_sizes[class.min(BATCH_SIZES - 1)].fetch_add(1, Relaxed);
        self.changes.fetch_add(changes as u64, Relaxed);
    }

    pub(crate) fn checkpoint(&self) {
        self.checkpoints.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let batch_sizes = std::array::from_fn(|class| self.batch_sizes[class].load(Relaxed));
        Stats {
            changes: self.changes.load(Relaxed),
            batches: batch_sizes.iter().sum(),
            checkpoints: self.checkpoints.load(Relaxed),
            batch_sizes,
        }
    }
}
