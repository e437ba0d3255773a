use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::HeaderMap;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::BODY_BYTES_MAX;
use crate::foundation::branch::refuse;
use crate::foundation::faults::{Fault, Faults, INJECTED};

/// How long a caller may take over its request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stopping server waits for work that has begun.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A port that is taken but not served yet, so that services can know each other's addresses before any of them starts.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
}

/// Takes a port; `127.0.0.1:0` takes any free one.
///
/// # Errors
/// The address is in use, or not ours.
pub async fn bind(addr: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    Ok(Bound { listener, addr })
}

impl Bound {
    /// The address that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves `router` from now on, as `place` in the eyes of `faults`.
    ///
    /// Once a request has been read, its work runs to the end, even if the caller hangs up: a call whose caller gave up is
    /// exactly the late action that a participant has to survive.
    pub fn serve(self, place: &'static str, router: Router, faults: Faults) -> Server {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let service = Service { place, router, faults, work: tasks.clone() };
        tasks.spawn(accept(self.listener, service, stop.clone(), tasks.clone()));
        Server { addr: self.addr, stop, tasks }
    }
}

/// A running server. Dropped, it stops accepting; [`Server::stop`] also waits for what has begun.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, lets open requests and begun work finish, and returns; after ten seconds in any case.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(addr = %self.addr, unfinished = self.tasks.len(), "server stopped with work unfinished");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, service: Service, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, service.clone(), stop.clone()));
            }
            // Out of file descriptors or memory: the listener is sound, and a pause lets others finish.
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Service, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection left with delays");
    }
    let handle = service_fn(move |request| {
        let service = service.clone();
        async move { service.handle(request).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), handle);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broke");
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed without an answer")]
struct NoAnswer;

/// One service behind its listener.
#[derive(Clone)]
struct Service {
    place: &'static str,
    router: Router,
    faults: Faults,
    work: TaskTracker,
}

impl Service {
    async fn handle(self, request: Request<Incoming>) -> Result<Response, NoAnswer> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
            Err(_) => return Err(NoAnswer),
        };
        let fault = self.faults.next(self.place, &call_key(&head.uri, &head.headers), is_try(&head.uri));
        let delay = match fault {
            Fault::RequestLost => return Err(NoAnswer),
            Fault::TryRefused => return Ok(refuse(INJECTED).into_response()),
            Fault::Slow(delay) | Fault::TryLate(delay) => Some(delay),
            Fault::None | Fault::ReplyLost => None,
        };
        let request = Request::from_parts(head, Body::from(body));
        let work = self.work.spawn(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            self.router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
        });
        match work.await {
            Ok(_) if fault == Fault::ReplyLost => Err(NoAnswer),
            Ok(reply) => Ok(reply),
            Err(panicked) => {
                tracing::error!(error = %panicked, "handler panicked");
                Err(NoAnswer)
            }
        }
    }
}

fn is_try(uri: &Uri) -> bool {
    parameter(uri, "op").as_deref() == Some("try")
}

/// What makes two requests the same call: a branch's coordinates, else the caller's idempotency key, else the address alone.
/// Bodies carry times, and a seed is to mean the same tomorrow.
fn call_key(uri: &Uri, headers: &HeaderMap) -> String {
    let path = uri.path();
    if let (Some(gid), Some(branch_id)) = (parameter(uri, "gid"), parameter(uri, "branch_id")) {
        let op = parameter(uri, "op").unwrap_or_default();
        return format!("{path} {gid} {branch_id} {op}");
    }
    let idempotency_key = ["webhook-id", "idempotency-key"].into_iter().find_map(|name| headers.get(name));
    match idempotency_key.and_then(|key| key.to_str().ok()) {
        Some(key) => format!("{path} {key}"),
        None => uri.to_string(),
    }
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
