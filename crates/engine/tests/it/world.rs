//! What the tests put around the engine.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use escrow_engine::{BranchCall, BranchCaller, BranchReply, Coordinator, EngineConfig, Failure, Observer, Topics};
use escrow_store::memory::MemoryStore;
use escrow_store::{
    Change, Claimed, Clock, CommitError, Created, Head, ListQuery, NewTxn, OwnerEpoch, Page, Store, StoreError,
    TxnSummary, Version, Versioned,
};
use escrow_txn::{
    Abort, Begin, Branch, BranchId, BranchOutcome, Defaults, Gid, Options, Pattern, Registration, Status, Timestamp,
    Txn,
};
use tokio::time::Instant;

/// Moves with tokio's paused clock, and can be set back.
pub(crate) struct PausedClock {
    start: Instant,
    behind_ms: AtomicU64,
}

impl PausedClock {
    fn new() -> Self {
        Self { start: Instant::now(), behind_ms: AtomicU64::new(0) }
    }

    fn set_back(&self, by: Duration) {
        self.behind_ms.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let behind = Duration::from_millis(self.behind_ms.load(Ordering::Relaxed));
        Timestamp::from_micros(1_000_000_000).plus(self.start.elapsed().saturating_sub(behind))
    }
}

/// Answers calls as told, by URL; *done* where nothing is told. Remembers every call.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    calls: Mutex<Vec<(String, Instant)>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Outcome(BranchOutcome),
    /// No answer until the call's time-out.
    Hang,
    /// *Done*, after a while.
    Slow(Duration),
}

impl Script {
    pub(crate) fn answer(&self, url: &str, answers: &[Answer]) {
        self.answers.lock().unwrap().entry(url.to_owned()).or_default().extend(answers);
    }

    /// The URLs called so far, in order.
    pub(crate) fn called(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(url, _)| url.clone()).collect()
    }

    /// When this URL was called, in order.
    pub(crate) fn times(&self, url: &str) -> Vec<Instant> {
        self.calls.lock().unwrap().iter().filter(|(called, _)| called == url).map(|(_, at)| *at).collect()
    }
}

#[async_trait]
impl BranchCaller for Script {
    async fn call(&self, call: BranchCall) -> BranchReply {
        self.calls.lock().unwrap().push((call.url.clone(), Instant::now()));
        let answer = self.answers.lock().unwrap().get_mut(&call.url).and_then(VecDeque::pop_front);
        let outcome = match answer {
            None => BranchOutcome::Done,
            Some(Answer::Outcome(outcome)) => outcome,
            Some(Answer::Slow(wait)) => {
                tokio::time::sleep(wait).await;
                BranchOutcome::Done
            }
            Some(Answer::Hang) => {
                tokio::time::sleep(call.timeout).await;
                BranchOutcome::Unknown
            }
        };
        BranchReply { outcome, code: None, text: format!("{outcome:?}") }
    }

    /// URLs are `target/operation`.
    fn lane<'a>(&self, url: &'a str) -> Cow<'a, str> {
        url.split('/').next().unwrap_or_default().into()
    }
}

/// Who has subscribed to what, and which topics were asked for.
#[derive(Default)]
pub(crate) struct Subscribed {
    subscribers: Mutex<BTreeMap<String, Vec<String>>>,
    asked: Mutex<Vec<String>>,
}

impl Subscribed {
    pub(crate) fn set(&self, topic: &str, urls: &[&str]) {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        self.subscribers.lock().unwrap().insert(topic.to_owned(), urls);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Topics for Subscribed {
    async fn subscribers(&self, topic: &str) -> Result<Vec<String>, StoreError> {
        self.asked.lock().unwrap().push(topic.to_owned());
        Ok(self.subscribers.lock().unwrap().get(topic).cloned().unwrap_or_default())
    }
}

/// Every failure that the engine told, as text.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Heard {
    fn failed(&self, failure: &Failure<'_>) {
        let Failure { gid, status, url, code: _, answer, in_a_row } = failure;
        self.0.lock().unwrap().push(format!("{gid} {status:?} {url} {answer} {in_a_row}"));
    }
}

/// Counts the durable writes; each has to leave an unfinished transaction where it will be found again. What happens to the
/// next claim can be told.
pub(crate) struct Counting {
    pub(crate) inner: MemoryStore,
    pub(crate) writes: AtomicUsize,
    loads: AtomicUsize,
    next_claim: Mutex<Option<Claim>>,
    /// The disk is full.
    takes_no_writes: AtomicBool,
    /// Writes after which a restart would not find the transaction.
    out_of_reach: Mutex<Vec<String>>,
    /// On hold.
    held: Mutex<BTreeSet<Gid>>,
}

/// What happens to a claim between the store and the engine.
pub(crate) enum Claim {
    /// It is on its way for that long.
    Slow(Duration),
    /// Meanwhile the clock is set back.
    ClockSetBack(Arc<PausedClock>, Duration),
}

impl Counting {
    fn on_write(&self, gid: &Gid, pattern: Pattern, head: &Head) -> Result<(), StoreError> {
        if self.takes_no_writes.load(Ordering::Relaxed) {
            return Err(StoreError::Down { source: "the disk is full".into() });
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let only_its_initiator_can_move_it = pattern == Pattern::Saga && head.status == Status::Prepared;
        let found_again = head.owner.is_some() || head.next_run_at.is_some() || only_its_initiator_can_move_it;
        if !head.status.is_final() && !found_again {
            self.out_of_reach.lock().unwrap().push(format!("{gid}: {head:?}"));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Counting {
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError> {
        self.on_write(&txn.gid, txn.pattern, &txn.head)?;
        self.inner.create(txn).await
    }

    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.inner.load(gid).await
    }

    async fn commit(&self, change: Change) -> Result<Version, CommitError> {
        if let Some(txn) = self.inner.load(&change.gid).await? {
            self.on_write(&change.gid, txn.value.def.pattern, &change.head)?;
        }
        self.inner.commit(change).await
    }

    async fn claim_due(&self, owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError> {
        let mut claimed = self.inner.claim_due(owner, limit).await?;
        claimed.gids.retain(|gid| !self.held.lock().unwrap().contains(gid));
        let told = if claimed.gids.is_empty() { None } else { self.next_claim.lock().unwrap().take() };
        match told {
            Some(Claim::Slow(wait)) => tokio::time::sleep(wait).await,
            Some(Claim::ClockSetBack(clock, by)) => clock.set_back(by),
            None => {}
        }
        Ok(claimed)
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

    async fn is_held(&self, gid: &Gid) -> Result<bool, StoreError> {
        Ok(self.held.lock().unwrap().contains(gid))
    }

    async fn release_held(&self, gid: Option<&Gid>) -> Result<u64, StoreError> {
        let released: Vec<_> =
            self.held.lock().unwrap().extract_if(.., |held| gid.is_none_or(|gid| held == gid)).collect();
        for gid in &released {
            self.inner.release(gid, Timestamp::from_micros(0)).await;
        }
        Ok(released.len() as u64)
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) script: Arc<Script>,
    pub(crate) topics: Arc<Subscribed>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) store: Arc<Counting>,
    pub(crate) coordinator: Coordinator,
    config: EngineConfig,
    _check: NothingOutOfReach,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        let clock = Arc::new(PausedClock::new());
        let memory = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        Self::on(memory, clock, Arc::default(), Arc::default(), config)
    }

    fn on(
        memory: MemoryStore,
        clock: Arc<PausedClock>,
        script: Arc<Script>,
        topics: Arc<Subscribed>,
        config: EngineConfig,
    ) -> Self {
        let heard = Arc::<Heard>::default();
        let config =
            EngineConfig { defaults: Defaults { retry_interval: Duration::from_secs(1), ..config.defaults }, ..config };
        let store = Arc::new(Counting {
            inner: memory,
            writes: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            next_claim: Mutex::default(),
            takes_no_writes: AtomicBool::new(false),
            out_of_reach: Mutex::default(),
            held: Mutex::default(),
        });
        let coordinator = Coordinator::start(
            config.clone(),
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&script) as Arc<dyn BranchCaller>,
            Arc::clone(&topics) as Arc<dyn Topics>,
            Arc::clone(&heard) as Arc<dyn Observer>,
            Box::new(|| 0.0),
        );
        let _check = NothingOutOfReach(Arc::clone(&store));
        Self { clock, script, topics, heard, store, coordinator, config, _check }
    }

    /// The process is killed, and started again on what was durable.
    pub(crate) async fn crash(self) -> Self {
        let survived = self.store.inner.crash();
        self.coordinator.shutdown(Duration::ZERO).await;
        Self::on(survived, self.clock, self.script, self.topics, self.config)
    }

    pub(crate) fn memory(&self) -> &MemoryStore {
        &self.store.inner
    }

    /// What happens to the next claim that is not empty.
    pub(crate) fn next_claim(&self, claim: Claim) {
        *self.store.next_claim.lock().unwrap() = Some(claim);
    }

    /// From now on the transaction is on hold, as after a restore. It must not be driven yet.
    pub(crate) fn hold(&self, gid: &str) {
        self.store.held.lock().unwrap().insert(Gid::parse(gid).unwrap());
    }

    /// Whether the store takes writes from now on.
    pub(crate) fn take_writes(&self, takes: bool) {
        self.store.takes_no_writes.store(!takes, Ordering::Relaxed);
    }

    /// How often a transaction was read.
    pub(crate) fn loads(&self) -> usize {
        self.store.loads.load(Ordering::Relaxed)
    }

    pub(crate) fn writes(&self) -> usize {
        self.store.writes.load(Ordering::Relaxed)
    }

    pub(crate) async fn txn(&self, gid: &str) -> Txn {
        self.coordinator.query(&Gid::parse(gid).unwrap()).await.unwrap().unwrap().value
    }

    pub(crate) async fn status(&self, gid: &str) -> Status {
        self.txn(gid).await.progress.status
    }
}

/// At the end of a world.
struct NothingOutOfReach(Arc<Counting>);

impl Drop for NothingOutOfReach {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let out_of_reach = self.0.out_of_reach.lock().unwrap();
            assert!(out_of_reach.is_empty(), "a restart would not find: {out_of_reach:?}");
        }
    }
}

/// Waits until a condition holds; the clock moves on by itself. Fails if it never does.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    for _ in 0..100_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to hold");
}

/// Lets everything run that can run now, without the clock moving.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn branch(number: usize) -> Branch {
    Branch {
        id: BranchId::of_step(number),
        forward_url: format!("s{}/forward", number + 1),
        backward_url: format!("s{}/back", number + 1),
        payload: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn begin(gid: &str, pattern: Pattern, branches: usize) -> Begin {
    Begin {
        gid: Gid::parse(gid).unwrap(),
        pattern,
        branches: (0..branches).map(branch).collect(),
        orders: Vec::new(),
        options: Options::default(),
        check_back_url: if pattern == Pattern::Message { "app/check".to_owned() } else { String::new() },
        custom_data: String::new(),
        business_key: None,
    }
}

pub(crate) fn waiting(begin: Begin) -> Begin {
    Begin { options: Options { wait_result: true, ..begin.options }, ..begin }
}

pub(crate) fn abort(gid: &str, pattern: Pattern) -> Abort {
    Abort { gid: Gid::parse(gid).unwrap(), pattern, reason: Some("changed my mind".to_owned()) }
}

pub(crate) fn registration(gid: &str, pattern: Pattern, number: usize) -> Registration {
    Registration { gid: Gid::parse(gid).unwrap(), pattern, branch: branch(number) }
}
