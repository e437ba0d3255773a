//! Connections: taken, bounded in number and in time, served, and let go at the end.
//!
//! ```text
//!  Listener ──▶ caps (total, per peer) ──▶ Deadlined socket ──▶ HTTP/1.1 ──▶ Handler
//! ```
//!
//! No client can hold a connection without moving: each phase of it has a deadline. A connection that is refused is told so.

mod deadlines;
mod listener;
mod peers;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::codes::{self, Code};
use crate::config::HttpConfig;
use crate::metrics::ConnectionMetrics;
use deadlines::{Deadlined, Phase, Stage};
pub(crate) use listener::Listener;
use listener::{Accepted, Stream, is_of_one_connection};
use peers::{Peer, Peers};

/// How long to wait when no connection can be taken for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that this side closes is kept to read what the client still sends. Closing over unread bytes
/// would reset the connection and could destroy the reply on its way.
const LINGER: Duration = Duration::from_millis(500);
/// Refused connections that are told so at once, if that is not more than a quarter of those that are served; past it they
/// are dropped without a word.
const REFUSALS_MAX: usize = 64;

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. A panic here costs this request its answer and nothing else.
    fn handle(
        &self,
        request: Request<Incoming>,
        connection: Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// The answer to a request whose handling panicked.
    fn panicked(&self) -> Response<Full<Bytes>>;
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `http.connections_max`.
    TooMany,
    /// `http.connections_per_peer_max`.
    TooManyOfPeer,
}

/// Takes connections until it is stopped.
pub(crate) struct Acceptor<L, H> {
    listener: L,
    handler: Arc<H>,
    config: HttpConfig,
    metrics: ConnectionMetrics,
    peers: Peers,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
}

impl<L: Listener, H: Handler> Acceptor<L, H> {
    pub(crate) fn new(listener: L, handler: Arc<H>, config: HttpConfig, metrics: ConnectionMetrics) -> Self {
        let peers = Peers::new(config.connections_per_peer_max);
        let (connections, refusals) = (JoinSet::new(), JoinSet::new());
        Self { listener, handler, config, metrics, peers, connections, refusals }
    }

    /// Serves until `stop`; then closes what is idle, lets requests that are being answered end for at most `grace`, and
    /// cuts the rest off. Returns whether all ended in time.
    pub(crate) async fn run(mut self, stop: CancellationToken, grace: Duration) -> bool {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = self.connections.join_next() => {}
                Some(_) = self.refusals.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => self.take(accepted, &stop),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, open = self.connections.len(), "no connection can be taken");
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                },
            }
        }
        drop(self.listener);
        let drained = async { while self.connections.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(grace, drained).await.is_ok();
        self.connections.shutdown().await;
        self.refusals.shutdown().await;
        in_time
    }

    fn take(&mut self, accepted: Accepted<L::Stream>, stop: &CancellationToken) {
        let Accepted { stream, peer, local } = accepted;
        if self.connections.len() >= self.config.connections_max {
            return self.refuse(stream, Refusal::TooMany);
        }
        let Some(peer) = self.peers.admit(peer) else {
            return self.refuse(stream, Refusal::TooManyOfPeer);
        };
        let open = self.metrics.open();
        let serving =
            serve(stream, Arc::clone(&self.handler), self.config.clone(), Connection { local }, stop.clone(), peer);
        self.connections.spawn(async move {
            serving.await;
            drop(open);
        });
    }

    fn refuse(&mut self, mut stream: L::Stream, refusal: Refusal) {
        self.metrics.refused(refusal);
        if self.refusals.len() < REFUSALS_MAX.min(self.config.connections_max.div_ceil(4)) {
            self.refusals.spawn(async move {
                let told = async {
                    stream.write_all(refusal.reply().as_bytes()).await?;
                    stream.shutdown().await?;
                    discard(&mut stream).await
                };
                let _ = tokio::time::timeout(LINGER, told).await;
            });
        }
    }
}

impl Refusal {
    fn reply(self) -> String {
        let (status, body) = match self {
            Self::TooMany => ("503 Service Unavailable", r#"{"message":"too many connections"}"#),
            Self::TooManyOfPeer => ("429 Too Many Requests", r#"{"message":"too many connections from this address"}"#),
        };
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json; charset=utf-8\r\n{}: {}\r\nretry-after: 1\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            codes::HEADER,
            Code::TOO_MANY_CONNECTIONS.as_str(),
            body.len()
        )
    }
}

/// Serves one connection to its end.
async fn serve<S, H>(
    stream: S,
    handler: Arc<H>,
    config: HttpConfig,
    connection: Connection,
    stop: CancellationToken,
    _counted: Peer,
) where
    S: Stream,
    H: Handler,
{
    let stage = Arc::new(Stage::default());
    let stream = Deadlined::new(stream, Arc::clone(&stage), &config);
    let service = service_fn(move |request| {
        let (handler, stage) = (Arc::clone(&handler), Arc::clone(&stage));
        stage.enter(Phase::Request);
        let answer = async move {
            let answer = AssertUnwindSafe(handler.handle(request, connection)).catch_unwind().await;
            stage.enter(Phase::Idle);
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| handler.panicked()))
        };
        answer.boxed()
    });
    let mut http = http1::Builder::new()
        // The deadlines are the socket's: hyper's own would close idle connections together with slow headers.
        .header_read_timeout(None)
        .max_header_size(config.header_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let served = loop {
        tokio::select! {
            biased;
            served = poll_fn(|cx| http.poll_without_shutdown(cx)) => break served,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut http).graceful_shutdown();
            }
        }
    };
    let mut stream = http.into_parts().io.into_inner();
    if stream.is_stuck() {
        return stream.into_inner().abort();
    }
    // What is no HTTP has been answered too.
    if served.is_ok() || served.is_err_and(|error| error.is_parse()) {
        let linger = if stopping { Duration::ZERO } else { LINGER };
        let closed = async {
            stream.shutdown().await?;
            discard(&mut stream).await
        };
        let _ = tokio::time::timeout(linger, closed).await;
    }
}

/// Reads to the end without keeping anything.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut scrap = [0; 4096];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
