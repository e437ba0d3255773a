//! A run of the whole platform against a real coordinator: orders are pushed through while things break, the coordinator is
//! killed in mid-flight, and when everything has come to rest the auditor looks at what is left.

mod buyer;
mod kills;
mod outcome;
mod plan;
mod process;
mod quiet;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::Instant;

pub use kills::kills_planned;
pub use outcome::Outcomes;
pub use plan::{Plan, PlannedOrder};
pub use process::{CoordinatorProcess, RestartError};
pub use quiet::Patience;

pub use crate::foundation::faults::{ChaosLevel, FaultCounts, FaultRates};

use crate::audit::{AuditError, Books, EndedOrder, OpenWork, RecordsError, Report, audit, ended_orders, fetch};
use crate::foundation::branch::Chain;
use crate::foundation::http::HttpClient;
use crate::ids::MerchantNo;
use crate::platform::{Platform, PlatformConfig, StartError};
use crate::time::{Clock, Timestamp};
use buyer::Buyer;

/// The merchant of the reference data whose shop the demo plays.
const SHOP: &str = "M1001";

/// When every run begins, by the platform's own clock: 10 o'clock in Shanghai on 5 January 2026. Payment numbers contain the
/// date, and which faults happen follows from the numbers: by today's date a seed would mean something else tomorrow.
const RUN_BEGINS_AT: Timestamp = Timestamp::from_micros(1_767_578_400_000_000);

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the databases are kept; empty or not there yet.
    pub dir: PathBuf,
    /// How many orders.
    pub orders: u32,
    /// Fixes orders and faults, but not how things interleave.
    pub seed: u64,
    /// How much is broken.
    pub chaos: ChaosLevel,
    /// False switches the participants' barrier off.
    pub barrier_on: bool,
    /// How many orders are under way at once.
    pub at_once: usize,
    /// How long a shop waits for its payment to succeed before it turns to the next one.
    pub shop_patience: Duration,
    /// How long the platform is given to come to rest after the last order.
    pub rest_patience: Patience,
}

impl Config {
    /// Two hundred orders in mild weather.
    pub fn new(dir: &Path) -> Config {
        Config {
            dir: dir.to_owned(),
            orders: 200,
            seed: 1,
            chaos: ChaosLevel::Low,
            barrier_on: true,
            at_once: 32,
            shop_patience: Duration::from_secs(10),
            rest_patience: Patience { total: Duration::from_secs(120), without_progress: Duration::from_secs(20) },
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many orders are done, as far as their shops are concerned.
    OrdersDone(u32),
    /// The coordinator was killed for the n-th time, and is back.
    Killed(u32),
    /// No more orders; this is still open.
    Waiting(Vec<OpenWork>),
    /// The auditor is at work.
    Auditing,
}

impl fmt::Display for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::OrdersDone(done) => write!(out, "{done} orders done"),
            Progress::Killed(times) => write!(out, "coordinator killed and restarted ({times})"),
            Progress::Waiting(open) => {
                let open: Vec<String> = open.iter().map(|work| format!("{} {}", work.count, work.what)).collect();
                write!(out, "waiting for rest: {}", open.join(", "))
            }
            Progress::Auditing => out.write_str("auditing"),
        }
    }
}

/// What a run did and what the auditor says.
#[derive(Debug, Clone)]
pub struct DemoReport {
    /// How many orders were pushed in.
    pub orders: u32,
    /// How they ended.
    pub outcomes: Outcomes,
    /// The faults that were injected.
    pub faults: FaultCounts,
    /// How often the coordinator was killed.
    pub kills: u32,
    /// From the first order until the platform was at rest.
    pub elapsed: Duration,
    /// The auditor's findings, and two of the demo's own: what was planned (`D1`) and whether it came to rest (`D2`).
    pub audit: Report,
    /// A settlement worth looking at: the one that took most attempts.
    pub example_gid: Option<String>,
}

/// A run that could not be carried out. A run that was, and found violations, is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The services did not start.
    #[error("the platform did not start")]
    Start(#[from] StartError),
    /// The reference data lacks the merchant whose shop the demo plays.
    #[error("the platform has no merchant {SHOP}")]
    NoMerchant,
    /// The coordinator is gone.
    #[error(transparent)]
    Restart(#[from] RestartError),
    /// The databases cannot be read.
    #[error("the books cannot be audited")]
    Audit(#[from] AuditError),
    /// The coordinator's records cannot be read.
    #[error("the coordinator's records cannot be read")]
    Records(#[from] RecordsError),
}

/// Runs the demo against `coordinator`; `progress` is told how far it is.
///
/// # Errors
/// [`DemoError`]: there is no verdict.
pub async fn run(
    config: &Config,
    coordinator: &dyn CoordinatorProcess,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<DemoReport, DemoError> {
    let plan = Plan::draw(config.seed, config.orders);
    let clock = clock_from(RUN_BEGINS_AT);
    let platform = Platform::start(platform_config(config, coordinator.url(), &clock)).await?;
    let shop = MerchantNo::new(SHOP);
    let begin = Instant::now();
    let buyer = Buyer {
        merchant_no: shop.clone(),
        shop: platform.client_of(&shop).ok_or(DemoError::NoMerchant)?,
        bank: platform.bank(),
        clock,
        patience: config.shop_patience,
    };
    let pushed = push_through(config, &plan, &buyer, coordinator, progress).await?;
    let client = HttpClient::new();
    let mut books = Books::open(&config.dir).await?;
    let waiting = |open: &[OpenWork]| progress(Progress::Waiting(open.to_vec()));
    let open = quiet::wait_until_quiet(&mut books, &client, coordinator.url(), config.rest_patience, waiting).await?;
    let elapsed = begin.elapsed();

    progress(Progress::Auditing);
    let records = fetch(&client, coordinator.url()).await?;
    let mut report = audit(&mut books, &records).await?;
    let ended = ended_orders(&mut books, shop.as_str()).await?;
    report.add(outcome::compare(&plan, &ended, &pushed.complaints));
    report.add(outcome::rest(&open));
    let faults = platform.fault_counts();
    books.close().await?;
    platform.shutdown().await;
    Ok(DemoReport {
        orders: config.orders,
        outcomes: Outcomes::count(ended.values()),
        faults,
        kills: pushed.kills,
        elapsed,
        audit: report,
        example_gid: example(ended.values()),
    })
}

fn platform_config(config: &Config, coordinator_url: &str, clock: &Clock) -> PlatformConfig {
    PlatformConfig {
        faults: config.chaos.rates(),
        barrier_on: config.barrier_on,
        clock: clock.clone(),
        ..PlatformConfig::reference(config.dir.clone(), coordinator_url.to_owned(), config.seed)
    }
}

/// A clock that reads `moment` now, and goes on from there.
fn clock_from(moment: Timestamp) -> Clock {
    let begin = Instant::now();
    Clock::from_fn(move || moment.plus(begin.elapsed()))
}

/// What happened while the orders were pushed in.
struct Pushed {
    kills: u32,
    /// What the platform answered to the shop that it should not have.
    complaints: Vec<String>,
}

async fn push_through(
    config: &Config,
    plan: &Plan,
    buyer: &Buyer<'_>,
    coordinator: &dyn CoordinatorProcess,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Pushed, RestartError> {
    let (done, count) = watch::channel(0);
    let complaints = Mutex::new(Vec::new());
    let orders = stream::iter(&plan.orders).for_each_concurrent(config.at_once, async |order| {
        if let Err(complaint) = buyer.buy(order).await {
            let text = format!("order {}: {}", order.merchant_order_no, Chain(&complaint));
            complaints.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
        done.send_modify(|done| *done += 1);
        progress(Progress::OrdersDone(*done.borrow()));
    });
    let kills = kills_planned(config.chaos, config.orders);
    let killed = |times| progress(Progress::Killed(times));
    let killing = kills::kill_in_mid_flight(coordinator, kills, config.orders, count, killed);
    let ((), kills) = tokio::try_join!(orders.map(Ok), killing)?;
    Ok(Pushed { kills, complaints: complaints.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// The settlement that needed most attempts says most; its gid ends with their number.
fn example<'a>(orders: impl Iterator<Item = &'a EndedOrder>) -> Option<String> {
    let attempts = |gid: &str| gid.rsplit('-').next().and_then(|number| number.parse::<u32>().ok());
    orders.filter_map(|order| order.settle_gid.clone()).max_by_key(|gid| attempts(gid))
}
