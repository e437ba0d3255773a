use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use tokio::net::TcpStream;

use crate::{Denied, EgressPolicy, Resolve};

/// How long resolving and dialling together may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Of a name with many addresses, how many share this time; the rest get what those leave.
const ADDRESSES_TRIED: u32 = 4;

/// Opens connections to participants: resolves, checks every address, dials the address that was checked.
#[derive(Clone)]
pub struct Connector {
    resolver: Arc<dyn Resolve>,
    policy: Arc<EgressPolicy>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Why no connection came about. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address, or the resolver did not answer.
    #[error("the host cannot be resolved")]
    Resolve(#[source] io::Error),
    /// The egress policy refuses all of the host's addresses.
    #[error("calls to this address are not allowed: it is {0}")]
    Denied(Denied),
    /// Nobody accepted the connection.
    #[error("could not connect: {}", .0.kind())]
    Dial(#[source] io::Error),
    /// No connection came about in the time that one may take.
    #[error("could not connect within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
}

impl Connector {
    /// A connector that asks `resolver` and obeys `policy`.
    pub fn new(resolver: Arc<dyn Resolve>, policy: EgressPolicy) -> Self {
        Self { resolver, policy: Arc::new(policy) }
    }

    /// A connection to this host.
    ///
    /// # Errors
    /// [`ConnectError`], at latest after 2 s.
    pub async fn connect(&self, authority: &Authority) -> Result<TcpStream, ConnectError> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.resolve_and_dial(authority)).await;
        connected.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn resolve_and_dial(&self, authority: &Authority) -> Result<TcpStream, ConnectError> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let addresses = self.resolver.resolve(host, port).await.map_err(ConnectError::Resolve)?;
        // One address that swallows what it is sent must not use up the time of the others.
        let share = CONNECT_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).clamp(1, ADDRESSES_TRIED);
        let mut failure = ConnectError::Resolve(io::ErrorKind::NotFound.into());
        for address in addresses {
            match tokio::time::timeout(share, self.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = ConnectError::Timeout,
            }
        }
        Err(failure)
    }

    async fn dial(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        self.policy.check(address).map_err(ConnectError::Denied)?;
        let stream = TcpStream::connect(address).await.map_err(ConnectError::Dial)?;
        stream.set_nodelay(true).map_err(ConnectError::Dial)?;
        Ok(stream)
    }
}
