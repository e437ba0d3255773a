use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use escrow_engine::{BranchCaller, Coordinator, EngineConfig};
use escrow_outbound::{EgressPolicy, HttpCaller};
use escrow_store::{Backend, Clock, Settings, Store, SystemClock};
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptor;
use crate::alerts::Watch;
use crate::app::App;
use crate::codes::Code;
use crate::epoch::{self, EpochError};
use crate::large::Large;
use crate::metrics::Metrics;
use crate::stores::{self, OpenStoreError, StoreChoice};
use crate::topics::Topics;
use crate::{Config, descriptors};

/// A coordinator that has started: its store is open, its address is bound, and what was in flight has been taken up.
pub struct Server {
    address: SocketAddr,
    data: PathBuf,
    grace: Duration,
    coordinator: Coordinator,
    acceptor: Acceptor<TcpListener, App>,
    store: Arc<dyn Backend>,
    _alerting: JoinSet<()>,
}

/// Why a coordinator does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened; another coordinator may have it.
    #[error("the store {store} cannot be used")]
    Store {
        /// The store.
        store: StoreChoice,
        /// Why.
        #[source]
        source: OpenStoreError,
    },
    /// The store does not say how often it was opened.
    #[error("the store {store} cannot be used")]
    Epoch {
        /// The store.
        store: StoreChoice,
        /// Why.
        #[source]
        source: EpochError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a coordinator ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A commit failed, and nobody can say what is on the disk. The next start reads it from there.
    #[error("the store in {path} has failed: it takes no more writes until the next start")]
    StoreFailed {
        /// Where it is: its directory, or its file.
        path: PathBuf,
    },
}

impl StartError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        let code = match self {
            Self::Store { source, .. } => source.stable(),
            Self::Epoch { .. } => Code::STORE_UNUSABLE,
            Self::Listen { .. } => Code::CANNOT_LISTEN,
        };
        code.as_str()
    }
}

impl ServeError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::StoreFailed { .. } => Code::STORE_FAILED.as_str(),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("data", &self.data).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store, binds the address, and takes up what was in flight. Connections are accepted by the system from
    /// then on, and served by [`Server::run`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { listen, data, store, allowed_hosts, shutdown_grace, http, sizes, engine, alert, log: _ } = config;
        let http = descriptors::keep_some_back(http);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (store, choice, data) = open_store(store, data, Arc::clone(&clock)).await?;
        let owner = epoch::next(&*store).await;
        let owner = owner.map_err(|source| StartError::Epoch { store: choice.clone(), source })?;
        let (listener, address) = bind(listen).await?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "anybody who reaches this address can begin and stop transactions");
        }
        let counted = Arc::clone(&store);
        let metrics = Arc::new(Metrics::new(move || counted.stats()));
        let caller = HttpCaller::new(EgressPolicy::new(vec![address]));
        let (watch, alerting) = Watch::start(Arc::clone(&metrics), alert, caller.clone());
        let topics = Topics::new(Arc::clone(&store) as Arc<dyn Settings>, Arc::clone(&clock));
        let coordinator = Coordinator::start(
            EngineConfig { owner, ..engine },
            Arc::clone(&store) as Arc<dyn Store>,
            clock,
            Arc::new(caller) as Arc<dyn BranchCaller>,
            Arc::new(topics.clone()),
            Arc::new(watch),
            Box::new(rand::random::<f64>),
        );
        let connections = metrics.connections();
        let large = Large::new(http.large_bytes_max);
        let app = App {
            coordinator: coordinator.clone(),
            store: Arc::clone(&store),
            metrics,
            http: http.clone(),
            sizes,
            allowed_hosts,
            large,
            topics,
        };
        let acceptor = Acceptor::new(listener, Arc::new(app), http, connections);
        tracing::info!(%address, store = %choice, epoch = owner.0, "started");
        Ok(Self { address, data, grace: shutdown_grace, coordinator, acceptor, store, _alerting: alerting })
    }

    /// Where it listens; a port that was asked for as 0 is the one that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where everything is: the data directory, or the directory or file of a store that was named.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The coordinator itself, to look at it from inside the process.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Serves until `stop`, then lets what is on its way end within the grace time; what does not is taken up by the next
    /// start.
    ///
    /// # Errors
    /// [`ServeError`] if it had to end before.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let store = Arc::clone(&self.store);
        self.run_until(stop, store.failed()).await
    }

    async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        failed: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self { data, grace, coordinator, acceptor, store, .. } = self;
        let stopping = CancellationToken::new();
        let accepting = tokio::spawn(acceptor.run(stopping.clone(), grace));
        let failed = tokio::select! {
            () = stop => false,
            () = failed => true,
        };
        if failed {
            tracing::error!(data = %data.display(), "the store has failed");
        }
        tracing::info!(active = coordinator.active(), grace_ms = grace.as_millis(), "stopping");
        // Polled first, so that /readyz tells before anything closes.
        let (driven, accepted) = tokio::join!(biased; coordinator.shutdown(grace), async {
            stopping.cancel();
            accepting.await
        });
        let answered = accepted.unwrap_or_else(|error| {
            tracing::error!(error = escrow_store::error_chain(&error), "the taking of connections broke off");
            false
        });
        tracing::info!(driven_in_time = driven, answered_in_time = answered, "stopped");
        // It may have failed while the last ones were driven.
        let failed = failed || store.failed().now_or_never().is_some();
        if failed { Err(ServeError::StoreFailed { path: data }) } else { Ok(()) }
    }
}

/// The store, and where it is.
async fn open_store(
    choice: Option<StoreChoice>,
    data: PathBuf,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<dyn Backend>, StoreChoice, PathBuf), StartError> {
    let (opened, store, place) = match choice {
        None => (stores::open_default(&data, clock).await, StoreChoice::default_in(&data), data),
        Some(choice) => {
            let place = choice.path().to_owned();
            (stores::open(&choice, clock).await, choice, place)
        }
    };
    match opened {
        Ok(backend) => Ok((backend, store, place)),
        Err(source) => Err(StartError::Store { store, source }),
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refuse = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[tokio::test]
    async fn a_store_that_fails_ends_the_coordinator_with_an_error() {
        let data = tempfile::tempdir().unwrap();
        let flags = vec![("listen", "127.0.0.1:0".to_owned()), ("data", data.path().to_str().unwrap().to_owned())];
        let server = Server::start(Config::load(&Sources { flags, ..Sources::default() }).unwrap()).await.unwrap();
        let ended = server.run_until(std::future::pending(), std::future::ready(())).await;
        assert!(matches!(ended, Err(ServeError::StoreFailed { path }) if path == data.path()));
    }
}
