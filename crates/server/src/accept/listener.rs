use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// One connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ends it at once, with what has not been sent yet. Otherwise the system would keep that for a client which does not
    /// take it, long after we have closed.
    fn abort(self);
}

impl Stream for TcpStream {
    fn abort(self) {
        // If the system refuses, dropping it closes it all the same.
        let _ = self.set_zero_linger();
    }
}

/// Where connections come from.
pub(crate) trait Listener: Send + 'static {
    /// One connection.
    type Stream: Stream;

    /// Waits for the next connection. Nothing is lost if the wait is given up.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
}

/// A connection and its two ends.
pub(crate) struct Accepted<S> {
    pub(crate) stream: S,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Accepted { stream, peer, local })
    }
}

/// Whether an error is about a connection that has gone already, so that the next one can be taken at once.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected | InvalidInput)
}
