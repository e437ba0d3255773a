use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The length of [`Stats::batch_sizes`].
pub const BATCH_SIZES: usize = 12;

/// Upper ends of the classes of [`Stats::sync_times`], in microseconds; a last class holds all that took longer.
pub const SYNC_MICROS: [u64; 13] =
    [50, 100, 200, 400, 800, 1_500, 3_000, 6_000, 12_000, 25_000, 50_000, 100_000, 1_000_000];

/// Counts since the store was opened and what it holds now, for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Changes that became durable, or were found to be in conflict.
    pub changes: u64,
    /// Batches that were made durable; each of them is one sync.
    pub batches: u64,
    /// Batches by the number of their changes: 1, 2, up to 4, up to 8 and so on, and the last for all that are larger.
    pub batch_sizes: [u64; BATCH_SIZES],
    /// Batches by how long writing and syncing them took; see [`SYNC_MICROS`].
    pub sync_times: [u64; SYNC_MICROS.len() + 1],
    /// All that time.
    pub sync_time: Duration,
    /// Syncs besides those of batches: of segments, checkpoints, archives.
    pub other_syncs: u64,
    /// Bytes written for batches.
    pub batch_bytes: u64,
    /// Whether new transactions are refused at the moment, because the disk or the backlog is full.
    pub full: bool,
    /// Unfinished transactions in memory.
    pub live: u64,
    /// What only the embedded store has.
    pub embedded: Option<EmbeddedStats>,
}

/// See [`Stats::embedded`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddedStats {
    /// Segments that the log consists of.
    pub segments: u64,
    /// Their length in bytes.
    pub segment_bytes: u64,
    /// Finished transactions that are not archived yet.
    pub archive_backlog: u64,
    /// Archive files.
    pub partitions: u64,
    /// Finished transactions in them.
    pub archived: u64,
    /// Unfinished transactions that are out of memory.
    pub spilled: u64,
    /// Unfinished transactions on hold since a restore.
    pub held: u64,
    /// When the oldest unfinished transaction was created, in microseconds since the Unix epoch.
    pub oldest_unfinished_at: Option<u64>,
}

/// Counts batches.
#[derive(Debug, Default)]
pub struct BatchCounters {
    changes: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
    other_syncs: AtomicU64,
    batch_sizes: [AtomicU64; BATCH_SIZES],
    sync_times: [AtomicU64; SYNC_MICROS.len() + 1],
}

impl BatchCounters {
    /// A batch of so many changes and bytes was made durable in this time.
    pub fn batch(&self, changes: usize, bytes: u64, took: Duration) {
        let class = changes.next_power_of_two().trailing_zeros() as usize;
        self.batch_sizes[class.min(BATCH_SIZES - 1)].fetch_add(1, Relaxed);
        self.changes.fetch_add(changes as u64, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        self.sync_times[SYNC_MICROS.partition_point(|&end| end < micros)].fetch_add(1, Relaxed);
    }

    /// So many syncs were made besides.
    pub fn other_syncs(&self, syncs: u64) {
        self.other_syncs.fetch_add(syncs, Relaxed);
    }

    /// The counts, with everything else at its default.
    pub fn read(&self) -> Stats {
        let batch_sizes = std::array::from_fn(|class| self.batch_sizes[class].load(Relaxed));
        Stats {
            changes: self.changes.load(Relaxed),
            batches: batch_sizes.iter().sum(),
            batch_sizes,
            sync_times: std::array::from_fn(|class| self.sync_times[class].load(Relaxed)),
            sync_time: Duration::from_micros(self.micros.load(Relaxed)),
            other_syncs: self.other_syncs.load(Relaxed),
            batch_bytes: self.bytes.load(Relaxed),
            ..Stats::default()
        }
    }
}
