//! One simulation from its first request to its verdict.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use escrow_engine::{Coordinator, EngineConfig, NoTopics};
use escrow_store::memory::MemoryStore;
use escrow_store::{Clock, ListQuery, OwnerEpoch};
use escrow_txn::{Defaults, Status, Timestamp};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::audit::{self, Ending};
use crate::clients::{Case, Clients};
use crate::network::{Caller, Network};
use crate::sights::Sight;
use crate::storm::{Storm, StormyStore};
use crate::weather::{Plan, Weather};

/// How long everything may take to come to an end once the weather is clear.
const QUIET_WITHIN: Duration = Duration::from_secs(600);
const DOWN_MILLIS_MAX: u64 = 2_000;
const SET_BACK_MILLIS_MAX: u64 = 5_000;
/// So few transactions are active at once where there is little room.
const CROWDED: usize = 4;

/// What one simulation came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was violated; empty: nothing.
    pub violations: Vec<String>,
    /// How the transactions ended, in order of their gids: two runs of one seed agree.
    pub history: Vec<(String, Option<Status>)>,
    /// Coordinators that crashed.
    pub crashes: u64,
    /// Writes of coordinators.
    pub commits: u64,
    /// Calls of coordinators.
    pub calls: u64,
    /// What it came across, and how often.
    pub sights: BTreeMap<Sight, u64>,
    /// How much time passed in the simulated world.
    pub simulated: Duration,
}

/// Runs one simulation to its end. Everything happens on one thread with a paused clock.
///
/// # Errors
/// Only if the runtime cannot be made.
pub fn simulate(plan: &Plan) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    // Made inside: outside of the runtime the clock is not paused.
    Ok(runtime.block_on(async { World::new(plan).run().await }))
}

/// The paused clock of the simulation. An operating system sets its clock now and then, back too.
struct PausedClock {
    start: Instant,
    behind_ms: AtomicU64,
}

impl PausedClock {
    fn set_back(&self, by: Duration) {
        self.behind_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let behind = Duration::from_millis(self.behind_ms.load(Ordering::Relaxed));
        // Not zero, so that a time that was never set cannot pass for one that was.
        Timestamp::from_micros(1_000_000_000_000).plus(self.start.elapsed().saturating_sub(behind))
    }
}

struct World {
    plan: Plan,
    clock: Arc<PausedClock>,
    network: Network,
    storm: Storm,
    clients: Clients,
    active_max: usize,
    start: Instant,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let start = Instant::now();
        let clock = Arc::new(PausedClock { start, behind_ms: AtomicU64::new(0) });
        let weather = Weather::new(plan);
        let network = Network::new(weather.clone());
        let crashes_max = weather.below(5) as u64;
        let disk = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let active_max = if weather.chance(200) { CROWDED } else { EngineConfig::default().active_max };
        let storm = Storm::new(weather, network.sights.clone(), plan.crash_at, crashes_max, disk);
        let clients = Clients::new(network.clone());
        Self { plan: plan.clone(), clock, network, storm, clients, active_max, start }
    }

    async fn run(self) -> Report {
        let mut running = JoinSet::new();
        let mut cases = Vec::new();
        for index in 0..self.plan.transactions {
            let (case, begin) = self.clients.plan(index);
            let clients = self.clients.clone();
            cases.push(case);
            running.spawn(async move { clients.run(begin).await });
        }
        self.start_coordinator();
        loop {
            tokio::select! {
                biased;
                () = self.storm.crashed() => self.restart().await,
                done = running.join_next() => if done.is_none() { break },
            }
        }
        self.clear_up_and_wait(&cases).await;
        self.report(cases).await
    }

    fn start_coordinator(&self) {
        self.storm.begin();
        let life = self.storm.life();
        let config = EngineConfig {
            owner: OwnerEpoch(life),
            defaults: Defaults { retry_cap: Duration::from_secs(8), ..Defaults::default() },
            retention: None,
            active_max: self.active_max,
            ..EngineConfig::default()
        };
        let weather = self.network.weather.clone();
        let caller =
            Caller { network: self.network.clone(), storm: self.storm.clone(), life, mutation: self.plan.mutation };
        let coordinator = Coordinator::start(
            config,
            Arc::new(StormyStore::new(self.storm.clone(), self.plan.mutation)),
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::new(caller),
            Arc::new(NoTopics),
            Arc::new(self.network.sights.clone()),
            Box::new(move || weather.share()),
        );
        *self.clients.coordinator.lock().unwrap_or_else(PoisonError::into_inner) = Some(coordinator);
    }

    /// The coordinator has crashed: what is left of it goes, and after a while another one starts on what was durable.
    async fn restart(&self) {
        let crashed = self.clients.coordinator.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(crashed) = crashed {
            crashed.shutdown(Duration::ZERO).await;
        }
        tokio::time::sleep(self.network.weather.millis(DOWN_MILLIS_MAX)).await;
        if self.network.weather.fault() {
            self.clock.set_back(self.network.weather.millis(SET_BACK_MILLIS_MAX));
            self.network.sights.saw(Sight::ClockSetBack);
        }
        self.start_coordinator();
    }

    async fn clear_up_and_wait(&self, cases: &[Case]) {
        self.network.weather.clear_up();
        self.storm.clear_up();
        let until = Instant::now() + QUIET_WITHIN;
        while Instant::now() < until && !self.is_quiet(cases).await {
            tokio::select! {
                biased;
                () = self.storm.crashed() => self.restart().await,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        // What was sent late still arrives: after its cancel or compensation, too.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    async fn is_quiet(&self, cases: &[Case]) -> bool {
        let limit = NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MIN);
        let Some(coordinator) = self.coordinator() else { return false };
        match coordinator.list(&ListQuery::newest(limit)).await {
            Ok(page) => page.items.len() <= cases.len() && page.items.iter().all(|txn| txn.status.is_final()),
            Err(_) => false,
        }
    }

    fn coordinator(&self) -> Option<Coordinator> {
        self.clients.coordinator.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn report(&self, cases: Vec<Case>) -> Report {
        let mut violations = self.network.participants(|p| p.broken.clone());
        violations.extend(self.storm.violations());
        let mut history = Vec::new();
        for case in cases {
            let ending = self.ending(case).await;
            violations.extend(audit::violations(&ending));
            history.push((ending.case.gid.to_string(), ending.status));
        }
        Report {
            violations,
            history,
            crashes: self.storm.crashes(),
            commits: self.storm.commits(),
            calls: self.network.calls(),
            sights: self.network.sights.counted(),
            simulated: self.start.elapsed(),
        }
    }

    async fn ending(&self, case: Case) -> Ending {
        let told = self.clients.told.lock().unwrap_or_else(PoisonError::into_inner).get(&case.gid).cloned();
        let status = match self.coordinator() {
            Some(coordinator) => match coordinator.query(&case.gid).await {
                Ok(txn) => txn.map(|t| {
                    let progress = &t.value.progress;
                    progress.reason.iter().for_each(|reason| self.network.sights.saw_reason(reason));
                    progress.status
                }),
                Err(_) => None,
            },
            None => None,
        };
        let gid = case.gid.as_str();
        let (books, committed_locally) = self.network.participants(|p| {
            let books = case.branches.iter().map(|id| p.book(gid, id.as_str())).collect();
            (books, p.committed_locally(gid))
        });
        Ending { told: told.unwrap_or_default(), status, books, committed_locally, case }
    }
}
