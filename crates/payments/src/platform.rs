//! The whole platform in one process: every service on its own port, with its own database.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bank::Bank;
use crate::contract::merchants::PAY_NOTICES;
use crate::foundation::coordinator::Coordinator;
use crate::foundation::db::{Database, OpenError};
use crate::foundation::faults::{FaultCounts, Faults};
use crate::foundation::http::{self, Bound, HttpClient, Server};
use crate::foundation::outbox::{Relay, WakeUp};
use crate::foundation::service::{Directory, Service, ServiceName};
use crate::ids::MerchantNo;
use crate::{accounting, bank, funds, gateway, merchant, notify, order, points};

mod config;

pub use config::{BankSecrets, Merchant, PlatformConfig};

/// The platform's number at the bank.
const PLATFORM_NO: &str = "PP";
/// The one bank of the reference data.
pub const BANK_CODE: &str = "BK";
/// Settlements driven at once.
const SETTLEMENTS_MAX: usize = 64;
/// Attempts to tell merchants under way at once, and how long each may take.
const NOTICES_MAX: usize = 16;
const NOTICE_TIMEOUT: Duration = Duration::from_secs(2);

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

/// A running platform. [`Platform::shutdown`] ends it in order; dropped, it stops accepting and tells its tasks to end.
#[derive(Debug)]
pub struct Platform {
    config: PlatformConfig,
    directory: Directory,
    faults: Faults,
    bank: Bank,
    servers: Vec<Server>,
    databases: Vec<Database>,
    stop: CancellationToken,
    stop_on_drop: DropGuard,
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
        let directory = Directory::new(ports.iter().map(|(service, port)| (*service, port.addr())).collect());
        let bank_db = Database::open(&config.dir, ServiceName::Bank.database()).await?;
        let stop = CancellationToken::new();
        let mut platform = Self {
            faults: Faults::new(config.seed, config.faults),
            bank: the_bank(bank_db.clone(), &config),
            config,
            directory,
            servers: Vec::new(),
            databases: vec![bank_db],
            stop_on_drop: stop.clone().drop_guard(),
            stop,
            tasks: TaskTracker::new(),
        };
        for (name, port) in ports {
            let router = platform.start_service(name).await?;
            platform.servers.push(port.serve(name.as_str(), router, platform.faults.clone()));
        }
        Ok(platform)
    }

    /// Everything of a service but its listener.
    async fn start_service(&mut self, name: ServiceName) -> Result<Router, StartError> {
        if name == ServiceName::Bank {
            return Ok(self.bank.routes());
        }
        let db = Database::open(&self.config.dir, name.database()).await?;
        self.databases.push(db.clone());
        let service = self.equip(name, db);
        self.seed(&service).await?;
        if name != ServiceName::Merchant {
            self.start_relay(&service);
        }
        Ok(self.router(service))
    }

    fn equip(&self, name: ServiceName, db: Database) -> Service {
        let config = &self.config;
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

    /// Writes the reference data of one service.
    async fn seed(&self, service: &Service) -> Result<(), sqlx::Error> {
        let (db, now) = (&service.db, service.clock.now());
        match service.name {
            ServiceName::Gateway => {
                for merchant in &self.config.merchants {
                    gateway::add_merchant(db, &self.known_to_gateway(merchant), now).await?;
                }
                Ok(())
            }
            ServiceName::Funds => {
                for merchant in &self.config.merchants {
                    funds::open_merchant_account(db, &merchant.merchant_no, now).await?;
                }
                Ok(())
            }
            ServiceName::Points => points::open_accounts(db, &self.config.payers, now).await,
            ServiceName::Accounting => accounting::install_chart(db, now).await,
            ServiceName::Order | ServiceName::Notify | ServiceName::Merchant | ServiceName::Bank => Ok(()),
        }
    }

    fn known_to_gateway(&self, merchant: &Merchant) -> gateway::Merchant {
        gateway::Merchant {
            merchant_no: merchant.merchant_no.clone(),
            name: merchant.merchant_no.to_string(),
            active: true,
            secret: merchant.api_secret.clone(),
            terms: merchant.fee,
            default_notify_url: Some(self.directory.url(ServiceName::Merchant, PAY_NOTICES)),
        }
    }

    fn router(&self, service: Service) -> Router {
        let (tasks, stop) = (&self.tasks, &self.stop);
        match service.name {
            ServiceName::Gateway => gateway::start(service, self.gateway_settings(), tasks, stop),
            ServiceName::Order => order::start(service, self.order_settings(), tasks, stop),
            ServiceName::Notify => notify::start(service, self.notify_settings(), tasks, stop),
            ServiceName::Funds => funds::router(service),
            ServiceName::Points => points::router(service),
            ServiceName::Accounting => accounting::router(service),
            ServiceName::Merchant => {
                let secrets = self.config.merchants.iter().map(|merchant| merchant.notice_secret.clone()).collect();
                merchant::routes(service.db, service.clock, merchant::Settings { secrets })
            }
            ServiceName::Bank => self.bank.routes(),
        }
    }

    fn gateway_settings(&self) -> gateway::Settings {
        let bank_secrets = [(BANK_CODE.to_owned(), self.config.bank_secrets.notices.clone())];
        gateway::Settings { platform_no: PLATFORM_NO.to_owned(), bank_secrets: bank_secrets.into() }
    }

    fn order_settings(&self) -> order::Settings {
        let (sweep_every, sweep_older_than) = self.config.sweep;
        order::Settings {
            platform_no: PLATFORM_NO.to_owned(),
            bank_code: BANK_CODE.to_owned(),
            bank_secret: self.config.bank_secrets.api.clone(),
            sweep_every,
            sweep_older_than,
            settlements_max: SETTLEMENTS_MAX,
        }
    }

    fn notify_settings(&self) -> notify::Settings {
        let secret = |merchant: &Merchant| (merchant.merchant_no.clone(), merchant.notice_secret.clone());
        notify::Settings {
            secrets: self.config.merchants.iter().map(secret).collect(),
            schedule: self.config.notice_schedule.clone(),
            timeout: NOTICE_TIMEOUT,
            in_flight_max: NOTICES_MAX,
        }
    }

    /// A client of this platform for one of its merchants; `None`: it has no such merchant.
    pub fn client_of(&self, merchant_no: &MerchantNo) -> Option<merchant::Client> {
        let merchant = self.config.merchants.iter().find(|merchant| merchant.merchant_no == *merchant_no)?;
        let gateway = self.directory.url(ServiceName::Gateway, "");
        let (clock, secret) = (self.config.clock.clone(), merchant.api_secret.clone());
        Some(merchant::Client::new(HttpClient::new(), clock, &gateway, merchant_no.clone(), secret))
    }

    /// The bank that this platform's payers pay at.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// Where the databases are.
    pub fn dir(&self) -> &Path {
        &self.config.dir
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
        drop(self.stop_on_drop);
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
    for service in ServiceName::ALL {
        let port = http::bind(any_port).await.map_err(|source| StartError::Port { service, source })?;
        ports.insert(service, port);
    }
    Ok(ports)
}

fn the_bank(db: Database, config: &PlatformConfig) -> Bank {
    let settings = bank::Settings {
        platform_no: PLATFORM_NO.to_owned(),
        api_secret: config.bank_secrets.api.clone(),
        notice_secret: config.bank_secrets.notices.clone(),
        seed: config.seed,
        refunds: config.refunds,
    };
    Bank::new(db, config.clock.clone(), HttpClient::new(), settings)
}
