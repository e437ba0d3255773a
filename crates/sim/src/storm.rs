//! Crashes: of the coordinator's process, in the middle of a commit or of a call.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use escrow_store::memory::MemoryStore;
use escrow_store::{
    Change, Claimed, CommitError, Created, Head, ListQuery, NewTxn, OwnerEpoch, Page, Store, StoreError, TxnSummary,
    Version, Versioned,
};
use escrow_txn::{Gid, Reach, Timestamp, Txn};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::sights::{Sight, Sights};
use crate::weather::{Mutation, Weather};

/// How long a claim may be on its way.
const CLAIM_MILLIS_MAX: u64 = 2_000;

/// How long a coordinator is taken to be busy with what another one left.
const RECOVERY: Duration = Duration::from_millis(200);

/// A place at which the coordinator crashes: the n-th commit or call of the whole simulation, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Before the n-th write is durable.
    BeforeCommit(u64),
    /// After the n-th write is durable, before the coordinator hears of it.
    AfterCommit(u64),
    /// Before the n-th call leaves.
    BeforeCall(u64),
    /// After the n-th call came back, before the coordinator hears of it.
    AfterCall(u64),
}

/// Decides when the coordinator crashes, and keeps what has crashed from doing anything more.
#[derive(Clone)]
pub(crate) struct Storm {
    weather: Weather,
    sights: Sights,
    only: Option<CrashPoint>,
    state: Arc<State>,
}

struct State {
    /// The life of the coordinator that may act.
    life: AtomicU64,
    commits: AtomicU64,
    calls: AtomicU64,
    crashed: Notify,
    /// When the present life began.
    began_at: Mutex<Instant>,
    crashes: AtomicU64,
    crashes_max: AtomicU64,
    disk: Mutex<MemoryStore>,
    broken: Mutex<Vec<String>>,
}

impl Storm {
    pub(crate) fn new(
        weather: Weather,
        sights: Sights,
        only: Option<CrashPoint>,
        crashes_max: u64,
        disk: MemoryStore,
    ) -> Self {
        let state = State {
            life: AtomicU64::new(1),
            commits: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            crashed: Notify::new(),
            began_at: Mutex::new(Instant::now()),
            crashes: AtomicU64::new(0),
            crashes_max: AtomicU64::new(crashes_max),
            disk: Mutex::new(disk),
            broken: Mutex::default(),
        };
        Self { weather, sights, only, state: Arc::new(state) }
    }

    /// The next life begins.
    pub(crate) fn begin(&self) {
        *self.state.began_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn life(&self) -> u64 {
        self.state.life.load(Ordering::Relaxed)
    }

    pub(crate) fn crashes(&self) -> u64 {
        self.state.crashes.load(Ordering::Relaxed)
    }

    pub(crate) fn commits(&self) -> u64 {
        self.state.commits.load(Ordering::Relaxed)
    }

    /// What the store saw that must not be.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn broken(&self, what: String) {
        self.state.broken.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn disk(&self) -> MemoryStore {
        self.state.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when the coordinator has crashed.
    pub(crate) async fn crashed(&self) {
        self.state.crashed.notified().await;
    }

    pub(crate) fn clear_up(&self) {
        self.state.crashes_max.store(0, Ordering::Relaxed);
    }

    pub(crate) async fn before_call(&self, life: u64) {
        let n = self.state.calls.fetch_add(1, Ordering::Relaxed);
        self.maybe_crash(life, CrashPoint::BeforeCall(n)).await;
    }

    pub(crate) async fn after_call(&self, life: u64) {
        let n = self.state.calls.load(Ordering::Relaxed).saturating_sub(1);
        self.maybe_crash(life, CrashPoint::AfterCall(n)).await;
    }

    /// Never returns to a coordinator that has crashed.
    async fn maybe_crash(&self, life: u64, point: CrashPoint) {
        if self.life() == life && self.strikes(point) {
            self.see(life, point);
            self.state.crashes.fetch_add(1, Ordering::Relaxed);
            self.state.life.fetch_add(1, Ordering::Relaxed);
            let mut disk = self.state.disk.lock().unwrap_or_else(PoisonError::into_inner);
            let survived = disk.crash();
            *disk = survived;
            self.state.crashed.notify_one();
        }
        if self.life() != life {
            std::future::pending::<()>().await;
        }
    }

    fn see(&self, life: u64, point: CrashPoint) {
        self.sights.saw(match point {
            CrashPoint::BeforeCommit(_) => Sight::WriteLost,
            CrashPoint::AfterCommit(_) => Sight::WriteUnheard,
            CrashPoint::BeforeCall(_) => Sight::CallLost,
            CrashPoint::AfterCall(_) => Sight::AnswerLost,
        });
        let began_at = *self.state.began_at.lock().unwrap_or_else(PoisonError::into_inner);
        if life > 1 && began_at.elapsed() < RECOVERY {
            self.sights.saw(Sight::CrashInRecovery);
        }
    }

    fn strikes(&self, point: CrashPoint) -> bool {
        match self.only {
            Some(only) => only == point && self.crashes() == 0,
            None => self.crashes() < self.state.crashes_max.load(Ordering::Relaxed) && self.weather.chance(15),
        }
    }
}

/// The store as one life of the coordinator sees it.
pub(crate) struct StormyStore {
    storm: Storm,
    inner: MemoryStore,
    life: u64,
    mutation: Option<Mutation>,
    early: mpsc::UnboundedSender<Change>,
}

impl StormyStore {
    pub(crate) fn new(storm: Storm, mutation: Option<Mutation>) -> Self {
        let (early, promised) = mpsc::unbounded_channel();
        let (inner, life) = (storm.disk(), storm.life());
        tokio::spawn(write_promised(storm.clone(), inner.clone(), life, promised));
        Self { storm, inner, life, mutation, early }
    }

    /// Takes a while, as a sync does; crashes before the write is durable, or after.
    async fn write<T>(&self, write: impl Future<Output = T>) -> T {
        let n = self.storm.state.commits.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.storm.weather.millis(3)).await;
        self.storm.maybe_crash(self.life, CrashPoint::BeforeCommit(n)).await;
        let written = write.await;
        self.storm.maybe_crash(self.life, CrashPoint::AfterCommit(n)).await;
        written
    }

    /// Nobody prepares a saga here: whatever is not final has to be in flight, or due at some time, or a restart would not find
    /// it.
    fn must_be_found_again(&self, gid: &Gid, head: &Head) {
        if !head.status.is_final() && head.owner.is_none() && head.next_run_at.is_none() {
            self.storm.broken(format!("{gid} was stored where nobody looks: {head:?}"));
        }
    }

    fn forget(&self, mut txn: Versioned<Txn>) -> Versioned<Txn> {
        if self.mutation == Some(Mutation::ReachForgotten) {
            txn.value.progress.reach = Reach::none();
        }
        txn
    }

    /// The planted bug: answers at once, writes a while later, and loses the write if a crash comes first.
    fn write_later(&self, change: Change) -> Version {
        let version = change.expected.next();
        // The worker ends with its life; a write that nobody takes is a lost one.
        let _ = self.early.send(change);
        version
    }
}

/// Carries out what [`Mutation::EarlyAnswer`] has promised, in order, as long as this life lasts.
async fn write_promised(storm: Storm, inner: MemoryStore, life: u64, mut promised: mpsc::UnboundedReceiver<Change>) {
    while let Some(change) = promised.recv().await {
        tokio::time::sleep(storm.weather.millis(100)).await;
        if storm.life() == life {
            let _ = inner.commit(change).await;
        }
    }
}

#[async_trait]
impl Store for StormyStore {
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError> {
        self.must_be_found_again(&txn.gid, &txn.head);
        self.write(self.inner.create(txn)).await
    }

    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        Ok(self.inner.load(gid).await?.map(|txn| self.forget(txn)))
    }

    async fn commit(&self, change: Change) -> Result<Version, CommitError> {
        self.must_be_found_again(&change.gid, &change.head);
        if self.mutation == Some(Mutation::EarlyAnswer) {
            let n = self.storm.state.commits.fetch_add(1, Ordering::Relaxed);
            self.storm.maybe_crash(self.life, CrashPoint::BeforeCommit(n)).await;
            return Ok(self.write_later(change));
        }
        self.write(self.inner.commit(change)).await
    }

    async fn claim_due(&self, owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError> {
        let claimed = self.inner.claim_due(owner, limit).await;
        // What was claimed may be moved on by others before its driver has it.
        let on_its_way = if self.storm.weather.fault() { CLAIM_MILLIS_MAX } else { 3 };
        tokio::time::sleep(self.storm.weather.millis(on_its_way)).await;
        claimed
    }

    async fn release(&self, gid: &Gid, due_at: Timestamp) {
        self.inner.release(gid, due_at).await;
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        self.inner.list(query).await
    }

    async fn purge(&self, final_before: Timestamp, limit: NonZeroU32) -> Result<u32, StoreError> {
        self.inner.purge(final_before, limit).await
    }
}
