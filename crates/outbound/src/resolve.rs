use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

/// Turns the host of a URL into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, a name or any spelling of an address, with `port`.
    ///
    /// # Errors
    /// What the resolver says.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
