//! What all parts of one coordinator share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use escrow_store::{Clock, Store, WriteId};
use escrow_txn::Moment;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::due::DueHint;
use crate::lanes::Lanes;
use crate::registry::Registry;
use crate::{BranchCaller, EngineConfig, Jitter, Observer, Topics};

pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) caller: Arc<dyn BranchCaller>,
    pub(crate) topics: Arc<dyn Topics>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) jitter: Jitter,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) registry: Registry,
    pub(crate) due: DueHint,
    /// Claimed transactions for which nothing has been stored yet: bounds what claiming brings into memory.
    pub(crate) claims: Arc<Semaphore>,
    /// Room for definitions, in KiB.
    pub(crate) memory: Arc<Semaphore>,
    /// Held while an order to many is carried out.
    pub(crate) retrying: Mutex<()>,
    pub(crate) tasks: TaskTracker,
    /// No new requests and no new calls; what is on its way may finish.
    pub(crate) stopping: CancellationToken,
    /// The grace is over: leave everything as it is stored.
    pub(crate) killed: CancellationToken,
    pub(crate) writes: AtomicU64,
    /// Writes that the store failed in a row, of all transactions together.
    pub(crate) failed_writes: AtomicU64,
}

/// So many failed writes in a row are no longer the trouble of single transactions.
const FAILED_WRITES_MAX: u64 = 3;

impl Shared {
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), jitter: (self.jitter)() }
    }

    /// A write id that no other write of any coordinator has: this life's epoch and a count.
    pub(crate) fn write_id(&self) -> WriteId {
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        WriteId((self.config.owner.0 << 40) | (count & 0xff_ffff_ffff))
    }

    pub(crate) fn write_succeeded(&self) {
        // Read first: the line is shared by all drivers, and as a rule there is nothing to reset.
        if self.failed_writes.load(Ordering::Relaxed) > 0 {
            self.failed_writes.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn write_failed(&self) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the store takes no writes at the moment, as with a full disk: then a call would lead to nothing but the same
    /// call once more.
    pub(crate) fn store_takes_no_writes(&self) -> bool {
        self.failed_writes.load(Ordering::Relaxed) >= FAILED_WRITES_MAX
    }
}
