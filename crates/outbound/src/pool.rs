//! Connections to participants, kept for the next call.
//!
//! A connection is driven by the call that uses it, in the task of that call: there is no task per connection to be woken for
//! each piece that comes and goes. Idle ones are not driven; that such a one was closed meanwhile is noticed when it is used
//! again, before anything is sent.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connector::ConnectError;
use crate::outcome::REPLY_BYTES_MAX;
use crate::{Connector, HEADER_BYTES_MAX};

/// How long an unused connection is kept. Shorter than what servers allow as a rule (5 s in Node, 60 s and more elsewhere):
/// a call that meets a connection on the point of closing would come back unknown.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Unused connections kept for one host; as many as one lane makes calls at once.
const IDLE_PER_HOST: usize = 64;

type Outgoing = Request<Full<Bytes>>;

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It broke off before the answer.
    #[error("the connection broke before the answer")]
    Send(#[source] hyper::Error),
    /// It broke off in the middle of the answer.
    #[error("the connection broke in the middle of the answer")]
    Read(#[source] hyper::Error),
}

/// All idle connections. Cheap to clone; all clones are one pool.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    connector: Connector,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// By host and port, the one used last at the end.
    hosts: HashMap<Box<str>, Vec<Unused>>,
    /// Somebody looks after those that are idle for too long.
    swept: bool,
}

struct Unused {
    connection: Box<Connection>,
    since: Instant,
}

/// One connection and the way to send on it.
struct Connection {
    send: SendRequest<Full<Bytes>>,
    /// `None`: it has ended. What still waits for it is told so when it is dropped.
    driving: Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Self {
        Self(Arc::new(Inner { connector, idle: Mutex::default() }))
    }

    /// Sends a request to this host and reads the answer, the body up to [`REPLY_BYTES_MAX`]. `answered` gets its status as soon
    /// as that is known.
    ///
    /// An idle connection that proves closed before anything was sent is replaced; everything else is reported.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub(crate) async fn exchange(
        &self,
        host: &Authority,
        mut request: Outgoing,
        answered: &mut Option<StatusCode>,
    ) -> Result<(StatusCode, Bytes), ExchangeError> {
        let (mut connection, response) = loop {
            let idle = self.0.idle().take(host.as_str());
            let (mut connection, is_new) = match idle {
                Some(idle) => (idle, false),
                None => (Box::new(self.dial(host).await?), true),
            };
            match connection.send(request).await {
                Ok(response) => break (connection, response),
                Err(mut failed) => match failed.take_message().filter(|_| !is_new) {
                    Some(unsent) => request = unsent,
                    None => return Err(ExchangeError::Send(failed.into_error())),
                },
            }
        };
        let status = response.status();
        *answered = Some(status);
        let body = connection.read(response.into_body()).await.map_err(ExchangeError::Read)?;
        if connection.is_reusable() {
            self.keep(host, connection);
        }
        Ok((status, body))
    }

    async fn dial(&self, host: &Authority) -> Result<Connection, ExchangeError> {
        let stream = self.0.connector.connect(host).await?;
        let handshake = http1::Builder::new().max_buf_size(HEADER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (send, driving) = handshake.map_err(ExchangeError::Send)?;
        Ok(Connection { send, driving: Some(driving) })
    }

    fn keep(&self, host: &Authority, connection: Box<Connection>) {
        let mut idle = self.0.idle();
        let unused = Unused { connection, since: Instant::now() };
        match idle.hosts.get_mut(host.as_str()) {
            Some(kept) if kept.len() >= IDLE_PER_HOST => {}
            Some(kept) => kept.push(unused),
            None => drop(idle.hosts.insert(host.as_str().into(), vec![unused])),
        }
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, until nothing is idle any more.
async fn sweep(pool: Weak<Inner>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle();
        idle.hosts.retain(|_, kept| {
            kept.retain(Unused::is_fresh);
            !kept.is_empty()
        });
        if idle.hosts.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

impl Idle {
    /// The connection to this host that was used last.
    fn take(&mut self, host: &str) -> Option<Box<Connection>> {
        let kept = self.hosts.get_mut(host)?;
        let last = kept.pop().filter(Unused::is_fresh);
        if last.is_none() {
            kept.clear();
        }
        last.map(|unused| unused.connection)
    }
}

impl Unused {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE_TIMEOUT
    }
}

impl Connection {
    async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, TrySendError<Outgoing>> {
        let mut response = pin!(self.send.try_send_request(request));
        let driving = &mut self.driving;
        // The connection first: it has the request to send, and then the answer to read.
        poll_fn(|cx| {
            drive(driving, cx);
            response.as_mut().poll(cx)
        })
        .await
    }

    /// The body up to [`REPLY_BYTES_MAX`]. A longer one is cut there: what is left unread takes its connection along.
    async fn read(&mut self, mut body: Incoming) -> hyper::Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| self.poll_frame(&mut body, cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = REPLY_BYTES_MAX - whole.len();
            if whole.is_empty() && body.is_end_stream() && data.len() <= room {
                return Ok(data);
            }
            whole.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                self.driving = None;
                break;
            }
        }
        Ok(whole.freeze())
    }

    /// Asks for a piece of the body before it drives the connection: that brings what is asked for.
    fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<hyper::body::Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        drive(&mut self.driving, cx);
        Pin::new(body).poll_frame(cx)
    }

    /// Whether the answer is over, and the participant did not say that the connection is.
    fn is_reusable(&mut self) -> bool {
        drive(&mut self.driving, &mut Context::from_waker(std::task::Waker::noop()));
        self.driving.is_some() && self.send.is_ready()
    }
}

/// Lets the connection do what it can.
fn drive(driving: &mut Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>, cx: &mut Context<'_>) {
    let ended = driving.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready());
    if ended {
        // Its errors are told to whoever waits for an answer.
        *driving = None;
    }
}
