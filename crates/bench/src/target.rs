//! Coordinators to be measured: started, asked what they cost, stopped.

mod counters;
mod database;
mod dtm;
mod launch;
mod programs;
mod scratch;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;

pub(crate) use self::counters::Counters;
use self::database::Database;
use self::launch::{Launch, Process, free_port};
pub(crate) use self::programs::Programs;
use crate::http::Connection;
use crate::process::Usage;
use crate::workload::Dialect;

/// Who is to listen takes a port that is free.
const ANY_PORT: &str = "127.0.0.1:0";
/// A coordinator has settled when it has used next to nothing for so long.
const CALM: Duration = Duration::from_millis(300);
const NEXT_TO_NOTHING: Duration = Duration::from_millis(10);
const SETTLE_POLL: Duration = Duration::from_millis(50);
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// A coordinator that can be measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The HTTP work alone.
    Null,
    /// Escrow on the embedded store.
    Embedded,
    /// Escrow on the SQLite store.
    Sqlite,
    /// The peer dtmrs, on one of its stores.
    Dtmrs(DtmrsStore),
    /// A DTM server at this path, on its own file store (BoltDB).
    Dtm(PathBuf),
}

/// Where dtmrs keeps its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DtmrsStore {
    Sqlite,
    /// A Redis without persistence.
    Redis,
    Postgres,
}

/// A coordinator that runs and answers. It is killed when dropped, its directory deleted.
#[derive(Debug)]
pub(crate) struct Running {
    target: Target,
    address: SocketAddr,
    // In this order they end: a coordinator before its database, and directories when nobody writes there any more.
    coordinator: Process,
    database: Option<Database>,
    _directory: Option<TempDir>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Embedded => "escrow, embedded",
            Self::Sqlite => "escrow, SQLite",
            Self::Dtmrs(DtmrsStore::Sqlite) => "dtmrs, SQLite",
            Self::Dtmrs(DtmrsStore::Redis) => "dtmrs, Redis",
            Self::Dtmrs(DtmrsStore::Postgres) => "dtmrs, PostgreSQL",
            Self::Dtm(_) => "DTM, BoltDB",
        })
    }
}

impl Running {
    /// Starts it on a fresh store, on the core for coordinators if there is more than one core, and waits until it answers.
    ///
    /// # Errors
    /// A program is missing, or does not start within 20 s; what it printed is in the error. The store would be in memory.
    pub(crate) async fn start(target: &Target, programs: &Programs) -> anyhow::Result<Self> {
        let running = match target {
            Target::Null => null(programs).await,
            Target::Embedded | Target::Sqlite => escrow(target, programs).await,
            Target::Dtmrs(store) => dtmrs(*store, programs).await,
            Target::Dtm(program) => dtm(program, programs).await,
        };
        running.with_context(|| format!("cannot start {target}"))
    }

    /// Starts Escrow on the embedded store in this directory, which stays when it is dropped.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub(crate) async fn start_in(data: &Path, programs: &Programs) -> anyhow::Result<Self> {
        scratch::on_disk(data)?;
        let (coordinator, address) = serve(data, None, programs).await?;
        Ok(Self { target: Target::Embedded, address, coordinator, database: None, _directory: None })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.target {
            Target::Dtmrs(_) => Dialect::Dtmrs,
            Target::Null | Target::Embedded | Target::Sqlite | Target::Dtm(_) => Dialect::Dtm,
        }
    }

    /// What it has used so far, its database included.
    pub(crate) fn usage(&self) -> Usage {
        let database = self.database.as_ref().map(|database| database.process.usage());
        self.coordinator.usage() + database.unwrap_or_default()
    }

    /// What its store has counted; `None` if it does not say.
    pub(crate) async fn counters(&self) -> Option<Counters> {
        if !matches!(self.target, Target::Embedded | Target::Sqlite) {
            return None;
        }
        let mut connection = Connection::open(self.address).await.ok()?;
        let page = connection.get(counters::PATH).await.ok().filter(|page| page.status == 200)?;
        Counters::parse(&String::from_utf8_lossy(page.body))
    }

    /// Waits until it has nothing more to do after a load, for 20 s at most: what it does later must not count for another.
    pub(crate) async fn settle(&self) {
        let begin = Instant::now();
        let mut busy = self.usage().cpu;
        let mut calm_since = begin;
        while calm_since.elapsed() < CALM && begin.elapsed() < SETTLE_MAX {
            tokio::time::sleep(SETTLE_POLL).await;
            let now = self.usage().cpu;
            if now > busy + NEXT_TO_NOTHING {
                (busy, calm_since) = (now, Instant::now());
            }
        }
    }

    /// Ends it as an operator would, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.coordinator.stop().await;
        if let Some(database) = self.database {
            database.process.stop().await;
        }
    }
}

async fn null(programs: &Programs) -> anyhow::Result<Running> {
    let directory = scratch::fresh(None)?;
    let launch = Launch::new(&programs.bench, directory.path()).args(["null", "--listen", ANY_PORT]);
    let (coordinator, address) = launch.pinned_by(&programs.bench).start_announced().await?;
    Ok(Running { target: Target::Null, address, coordinator, database: None, _directory: Some(directory) })
}

async fn escrow(target: &Target, programs: &Programs) -> anyhow::Result<Running> {
    let directory = scratch::fresh(None)?;
    let file = directory.path().join("escrow.sqlite");
    let store = (*target == Target::Sqlite).then(|| format!("sqlite:{}", file.display()));
    let (coordinator, address) = serve(directory.path(), store, programs).await?;
    Ok(Running { target: target.clone(), address, coordinator, database: None, _directory: Some(directory) })
}

/// More than an open loop ever has in flight.
const CONNECTIONS_MAX: &str = "8192";

/// Starts Escrow on this data, by default on the embedded store.
async fn serve(data: &Path, store: Option<String>, programs: &Programs) -> anyhow::Result<(Process, SocketAddr)> {
    Launch::new(&programs.escrow, data)
        .args(["serve", "--exit-on-stdin-close", "--listen", ANY_PORT, "--log-level", "warn", "--data"])
        .args([data])
        .args(store.into_iter().flat_map(|store| ["--store".to_owned(), store]))
        // All clients of the load come from one address; by default a coordinator takes no more than 1,024 connections from it.
        .variable("ESCROW_HTTP_CONNECTIONS_PER_PEER_MAX", CONNECTIONS_MAX)
        .pinned_by(&programs.bench)
        .start_announced()
        .await
}

async fn dtmrs(store: DtmrsStore, programs: &Programs) -> anyhow::Result<Running> {
    let program = programs.dtmrs.as_deref().with_context(|| missing("dtmrs"))?;
    let directory = scratch::fresh(None)?;
    let database = match store {
        DtmrsStore::Sqlite => None,
        DtmrsStore::Redis => Some(Database::redis(programs).await?),
        DtmrsStore::Postgres => Some(Database::postgres(programs).await?),
    };
    let file = || format!("sqlite:{}", directory.path().join("dtmrs.db").display());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut coordinator = Launch::new(program, directory.path())
        .variable("DTMRS_ADDR", address.to_string())
        .variable("DTMRS_DB", database.as_ref().map_or_else(file, |database| database.url.clone()))
        .variable("RUST_LOG", "warn")
        .pinned_by(&programs.bench)
        .start()?;
    coordinator.until(async |_| answers(address, "/health").await).await?;
    Ok(Running { target: Target::Dtmrs(store), address, coordinator, database, _directory: Some(directory) })
}

async fn dtm(program: &Path, programs: &Programs) -> anyhow::Result<Running> {
    let directory = scratch::fresh(None)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let settings = directory.path().join(dtm::SETTINGS);
    std::fs::write(&settings, dtm::settings(address.port(), free_port()?)).context("cannot write its settings")?;
    // It is started in another directory: a path that was typed is meant from here.
    let absolute = program.canonicalize().with_context(|| missing(&program.display().to_string()))?;
    let launch = Launch::new(&absolute, directory.path()).args(["-c".as_ref(), settings.as_os_str()]);
    let mut coordinator = launch.pinned_by(&programs.bench).start()?;
    coordinator.until(async |_| answers(address, dtm::READY).await).await?;
    let target = Target::Dtm(program.to_owned());
    Ok(Running { target, address, coordinator, database: None, _directory: Some(directory) })
}

/// Whether a GET there is answered with success.
async fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    connection.get(path).await.is_ok_and(|reply| reply.status == 200)
}

/// What to say where a program would be needed.
fn missing(program: &str) -> String {
    format!("{program} was not found")
}
