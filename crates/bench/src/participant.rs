//! The participants of all transactions: they answer *done*, and tell who waits when a transaction's last call has come.
//!
//! ```text
//!   expect("g-1", 2) ─▶ receiver          POST /a1?gid=g-1&…  ─▶ 200
//!                        ◀── completes ── POST /a2?gid=g-1&…  ─▶ 200
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::http::Connection;

/// Connections that wait to be accepted: a coordinator may open one per call in flight.
const BACKLOG: u32 = 4096;

/// A listening address that answers every call. It listens until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Participants {
    address: SocketAddr,
    registry: Arc<Registry>,
    _serving: Arc<JoinSet<()>>,
}

/// A call that a coordinator has made, as its URL tells; texts that are not there are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    /// What stands before the query.
    pub(crate) path: &'a str,
    pub(crate) gid: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) op: &'a str,
    /// When it was read.
    pub(crate) at: Instant,
}

/// What a participant answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// 200.
    Done,
    /// 425.
    InProgress,
    /// 500: whoever asked knows nothing, and has to ask again.
    Broken,
}

type Handler = dyn Fn(&Call<'_>) -> Reply + Send + Sync;

/// Who waits for which calls.
struct Registry {
    handler: Box<Handler>,
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    /// At least 1.
    calls_left: usize,
    done: oneshot::Sender<()>,
}

impl Participants {
    /// Listens on a port of this machine that is free, and answers every call with *done* from now on.
    ///
    /// # Errors
    /// No port can be had.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::answering(|_| Reply::Done).await
    }

    /// As [`Participants::start`], but each call gets the answer that `handler` gives. It must not block: all connections and the
    /// load share one thread.
    ///
    /// # Errors
    /// No port can be had.
    pub(crate) async fn answering(
        handler: impl Fn(&Call<'_>) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let registry = Arc::new(Registry { handler: Box::new(handler), waiting: Mutex::default() });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&registry)));
        Ok(Self { address, registry, _serving: Arc::new(serving) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Completes when that many calls of this transaction have been answered *done* from now on; a repeated call counts again.
    /// With none to wait for, at once. It fails if the transaction is forgotten, or expected anew.
    pub(crate) fn expect(&self, gid: &str, calls: usize) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        if calls > 0 {
            self.registry.waiting().insert(gid.to_owned(), Waiting { calls_left: calls, done });
        } else {
            // Nobody can have dropped the receiver yet.
            let _ = done.send(());
        }
        receiver
    }

    /// Waits no more for calls of this transaction.
    pub(crate) fn forget(&self, gid: &str) {
        self.registry.waiting().remove(gid);
    }
}

impl Registry {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, call: &Call<'_>) -> Reply {
        let reply = (self.handler)(call);
        if reply == Reply::Done {
            self.count_down(call.gid);
        }
        reply
    }

    fn count_down(&self, gid: &str) {
        let mut waiting = self.waiting();
        let Some(entry) = waiting.get_mut(gid) else { return };
        entry.calls_left -= 1;
        if entry.calls_left > 0 {
            return;
        }
        if let Some(entry) = waiting.remove(gid) {
            // Whoever waited may have given up.
            let _ = entry.done.send(());
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    /// From path and query. Values are taken as they stand: the ids of the benchmark need no escapes.
    fn parse(target: &'a str, at: Instant) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut call = Self { path, gid: "", branch: "", op: "", at };
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("gid", value)) => call.gid = value,
                Some(("branch_id", value)) => call.branch = value,
                Some(("op", value)) => call.op = value,
                _ => {}
            }
        }
        call
    }
}

impl Reply {
    /// Head and body, ready to be sent.
    fn message(self) -> &'static str {
        /// All words have seven letters.
        macro_rules! message {
            ($status:literal, $word:literal) => {
                concat!(
                    "HTTP/1.1 ",
                    $status,
                    "\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{\"dtm_result\":\"",
                    $word,
                    "\"}"
                )
            };
        }
        match self {
            Self::Done => message!("200 OK", "SUCCESS"),
            Self::InProgress => message!("425 Too Early", "ONGOING"),
            Self::Broken => message!("500 Internal Server Error", "UNKNOWN"),
        }
    }
}

async fn accept(listener: TcpListener, registry: Arc<Registry>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve(stream, Arc::clone(&registry)));
            }
            // Ended connections are let go; how they ended is for the coordinator to know.
            Some(_) = connections.join_next() => {}
            // Out of descriptors: until one is free.
            else => tokio::task::yield_now().await,
        }
    }
}

async fn serve(stream: TcpStream, registry: Arc<Registry>) -> io::Result<()> {
    let mut connection = Connection::over(stream)?;
    while let Some(request) = connection.next_request().await? {
        let reply = registry.answer(&Call::parse(request.target, Instant::now()));
        connection.answer(reply.message()).await?;
    }
    Ok(())
}

#[cfg(test)]
impl Participants {
    /// As [`Participants::start`], and counts the calls.
    pub(crate) async fn counting() -> (Self, Arc<std::sync::atomic::AtomicU64>) {
        let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counter = Arc::clone(&calls);
        let handler = move |_: &Call<'_>| {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Reply::Done
        };
        (Self::answering(handler).await.unwrap(), calls)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    async fn call(participants: &Participants, target: &str) -> (u16, String) {
        let mut connection = Connection::open(participants.address()).await.unwrap();
        let reply = connection.post(target, "{}").await.unwrap();
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_last_call_of_their_transaction_and_of_no_other() {
        let participants = Participants::start().await.unwrap();
        let mut one = participants.expect("g-1", 2);
        let mut other = participants.expect("g-2", 1);
        assert_eq!(call(&participants, "/a1?gid=g-1&op=action").await, (200, r#"{"dtm_result":"SUCCESS"}"#.to_owned()));
        assert!(one.try_recv().is_err());
        call(&participants, "/a2?op=action&gid=g-1").await;
        one.try_recv().unwrap();
        assert!(other.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_forgotten_transaction_completes_nothing_and_no_calls_are_there_at_once() {
        let participants = Participants::start().await.unwrap();
        let forgotten = participants.expect("g", 1);
        participants.forget("g");
        call(&participants, "/a?gid=g").await;
        assert!(forgotten.await.is_err());
        participants.expect("g", 0).await.unwrap();
    }

    #[tokio::test]
    async fn a_handler_sees_each_call_and_only_done_counts() {
        let replies = [Reply::Broken, Reply::InProgress, Reply::Done];
        let next = AtomicUsize::new(0);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let handler = move |call: &Call<'_>| {
            log.lock().unwrap().push([call.path, call.gid, call.branch, call.op].map(str::to_owned));
            replies[next.fetch_add(1, Relaxed)]
        };
        let participants = Participants::answering(handler).await.unwrap();
        let mut done = participants.expect("g", 1);
        for status in [500, 425] {
            assert_eq!(call(&participants, "/a?gid=g&trans_type=saga&branch_id=01&op=action").await.0, status);
            assert!(done.try_recv().is_err());
        }
        assert_eq!(call(&participants, "/q").await.0, 200);
        assert!(done.try_recv().is_err(), "no gid, nobody's call");
        assert_eq!(*seen.lock().unwrap().last().unwrap(), ["/q", "", "", ""]);
        assert_eq!(seen.lock().unwrap()[0], ["/a", "g", "01", "action"]);
    }

    #[tokio::test]
    async fn nobody_listens_once_the_participants_are_dropped() {
        let participants = Participants::start().await.unwrap();
        let address = participants.address();
        let clone = participants.clone();
        drop(participants);
        call(&clone, "/").await;
        drop(clone);
        // The task ends when the runtime next gets to it.
        while Connection::open(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
