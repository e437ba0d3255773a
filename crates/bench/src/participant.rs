//! The participants of all transactions: they answer *done*, and tell who waits when a transaction's last call has come.

use std::net::SocketAddr;

/// A listening address that answers every call with *done*.
#[derive(Clone, Debug)]
pub(crate) struct Participants {
    address: SocketAddr,
}

impl Participants {
    /// Listens on a port of this machine that is free, and answers from now on.
    ///
    /// # Errors
    /// No port can be had.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        anyhow::bail!("not built")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
