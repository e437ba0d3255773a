//! The whole platform in one process: every service on its own port, with its own database.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::foundation::coordinator::{Coordinator, TxnOptions};
use crate::foundation::db::{Database, OpenError};
use crate::foundation::faults::{FaultCounts, FaultRates, Faults};
use crate::foundation::http::{self, Bound, HttpClient, Server};
use crate::foundation::outbox::{Relay, WakeUp};
use crate::foundation::service::{Directory, Service, ServiceName};
use crate::ids::{MerchantNo, PayerNo};
use crate::money::{BasisPoints, FeeTerms};
use crate::time::Clock;
use crate::{accounting, funds, points};

/// What a platform is started with.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// Where the databases are. Created if missing; what is in it goes on.
    pub dir: PathBuf,
    /// The coordinator, `http://host:port`; it may be killed and restarted, but not move.
    pub coordinator_url: String,
    /// Fixes which faults happen.
    pub seed: u64,
    /// How often they happen.
    pub faults: FaultRates,
    /// False switches every participant's barrier off: shows what it prevents.
    pub barrier_on: bool,
    /// How the coordinator is to drive the platform's transactions.
    pub options: TxnOptions,
    /// Who sells.
    pub merchants: Vec<Merchant>,
    /// Who pays.
    pub payers: Vec<PayerNo>,
    /// The time for all of them.
    pub clock: Clock,
}

impl PlatformConfig {
    /// The reference data: one merchant at 80 basis points, a hundred payers, no faults, times short enough to watch.
    pub fn reference(dir: PathBuf, coordinator_url: String, seed: u64) -> Self {
        Self {
            dir,
            coordinator_url,
            seed,
            faults: FaultRates::default(),
            barrier_on: true,
            options: TxnOptions { retry_interval_s: Some(1), timeout_to_fail_s: Some(3), request_timeout_s: None },
            merchants: vec![Merchant::reference()],
            payers: (1..=100).map(|n| PayerNo::new(format!("U{n}"))).collect(),
            clock: Clock::system(),
        }
    }
}

/// A merchant of the reference data.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// Its number.
    pub merchant_no: MerchantNo,
    /// What it pays for each payment.
    pub fee: FeeTerms,
}

impl Merchant {
    fn reference() -> Self {
        Self { merchant_no: MerchantNo::new("M1001"), fee: FeeTerms { rate: BasisPoints(80), min: 0, max: None } }
    }
}

/// Why a platform did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its directory cannot be made.
    #[error("cannot make directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No port for a service.
    #[error("no port for {}", service.as_str())]
    Port {
        /// The service.
        service: ServiceName,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The reference data cannot be written.
    #[error("cannot write the reference data")]
    Seed(#[from] sqlx::Error),
}

/// A running platform. [`Platform::shutdown`] ends it in order; dropped, it only stops accepting.
#[derive(Debug)]
pub struct Platform {
    dir: PathBuf,
    directory: Directory,
    faults: Faults,
    servers: Vec<Server>,
    databases: Vec<Database>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Platform {
    /// Starts every service and writes the reference data that is not there yet.
    ///
    /// # Errors
    /// [`StartError`]; whatever had started has stopped again.
    pub async fn start(config: PlatformConfig) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.dir)
            .map_err(|source| StartError::Directory { path: config.dir.clone(), source })?;
        let ports = take_ports().await?;
        let addresses = ports.iter().map(|(service, port)| (*service, port.addr())).collect();
        let faults = Faults::new(config.seed, config.faults);
        let mut platform = Self {
            dir: config.dir.clone(),
            directory: Directory::new(addresses),
            faults,
            servers: Vec::new(),
            databases: Vec::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        for (name, port) in ports {
            platform.start_service(name, port, &config).await?;
        }
        Ok(platform)
    }

    async fn start_service(
        &mut self,
        name: ServiceName,
        port: Bound,
        config: &PlatformConfig,
    ) -> Result<(), StartError> {
        let Some(database) = name.database() else { return Ok(()) };
        let db = Database::open(&self.dir, database).await?;
        self.databases.push(db.clone());
        let service = self.equip(name, db, config);
        seed(&service, config).await?;
        self.start_relay(&service);
        let router = router(service);
        self.servers.push(port.serve(name.as_str(), router, self.faults.clone()));
        Ok(())
    }

    fn equip(&self, name: ServiceName, db: Database, config: &PlatformConfig) -> Service {
        let client = HttpClient::new();
        // Services inject faults where they are called. The coordinator does not, so the way to it is unreliable instead.
        let to_coordinator = HttpClient::new().with_faults(self.faults.clone(), name.as_str());
        Service {
            name,
            db,
            clock: config.clock.clone(),
            client,
            coordinator: Coordinator::new(&config.coordinator_url, to_coordinator, config.options),
            directory: self.directory.clone(),
            outbox: WakeUp::default(),
            barrier_on: config.barrier_on,
        }
    }

    fn start_relay(&self, service: &Service) {
        let relay = Relay {
            db: service.db.clone(),
            coordinator: service.coordinator.clone(),
            routes: service.directory.routes(),
            clock: service.clock.clone(),
            wake_up: service.outbox.clone(),
        };
        self.tasks.spawn(relay.run(self.stop.clone()));
    }

    /// Where the databases are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Who listens where.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The faults injected so far, at services and on the way to the coordinator.
    pub fn fault_counts(&self) -> FaultCounts {
        self.faults.counts()
    }

    /// Stops accepting, lets work that has begun finish, ends the background tasks and closes the databases.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        for server in self.servers {
            server.stop().await;
        }
        self.tasks.wait().await;
        for database in self.databases {
            database.close().await;
        }
    }
}

/// A port for each service, before any of them runs: they have to know each other.
async fn take_ports() -> Result<BTreeMap<ServiceName, Bound>, StartError> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut ports = BTreeMap::new();
    for service in [ServiceName::Funds, ServiceName::Points, ServiceName::Accounting] {
        let port = http::bind(any_port).await.map_err(|source| StartError::Port { service, source })?;
        ports.insert(service, port);
    }
    Ok(ports)
}

/// Writes the reference data of one service.
async fn seed(service: &Service, config: &PlatformConfig) -> Result<(), sqlx::Error> {
    let (db, now) = (&service.db, service.clock.now());
    match service.name {
        ServiceName::Funds => {
            for merchant in &config.merchants {
                funds::open_merchant_account(db, &merchant.merchant_no, now).await?;
            }
            Ok(())
        }
        ServiceName::Points => points::open_accounts(db, &config.payers, now).await,
        ServiceName::Accounting => accounting::install_chart(db, now).await,
        _ => Ok(()),
    }
}

fn router(service: Service) -> Router {
    match service.name {
        ServiceName::Funds => funds::router(service),
        ServiceName::Points => points::router(service),
        ServiceName::Accounting => accounting::router(service),
        _ => Router::new(),
    }
}
