//! Coordinators to be measured: started, asked what they cost, stopped.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::process::Usage;
use crate::workload::Dialect;

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

/// What a coordinator's own store has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Changes made durable.
    pub(crate) changes: u64,
    /// Syncs of any kind.
    pub(crate) syncs: u64,
    /// Bytes written for commits.
    pub(crate) bytes: u64,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) escrow: PathBuf,
    /// This program: it is the null coordinator too.
    pub(crate) bench: PathBuf,
    pub(crate) dtmrs: Option<PathBuf>,
    pub(crate) redis: Option<PathBuf>,
    pub(crate) postgres: Option<PathBuf>,
}

/// A coordinator that runs and answers. It is killed when dropped, its directory deleted.
#[derive(Debug)]
pub(crate) struct Running {
    target: Target,
    address: SocketAddr,
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
    /// A program is missing, or does not start within 20 s; what it printed is in the error.
    pub(crate) async fn start(target: &Target, programs: &Programs) -> anyhow::Result<Self> {
        let _ = (target, programs);
        anyhow::bail!("not built")
    }

    /// Starts Escrow on the embedded store in this directory, which stays when it is dropped.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub(crate) async fn start_in(data: &std::path::Path, programs: &Programs) -> anyhow::Result<Self> {
        let _ = (data, programs);
        anyhow::bail!("not built")
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
            _ => Dialect::Dtm,
        }
    }

    /// What it has used so far, its database included.
    pub(crate) fn usage(&self) -> Usage {
        Usage::default()
    }

    /// What its store has counted; `None` if it does not say.
    pub(crate) async fn counters(&self) -> Option<Counters> {
        None
    }

    /// Waits until it has nothing more to do after a load: what it does later must not count for another.
    pub(crate) async fn settle(&self) {}

    /// Ends it as an operator would, and waits until it has ended.
    pub(crate) async fn stop(self) {}
}
