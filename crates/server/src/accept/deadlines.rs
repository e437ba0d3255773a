use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::config::HttpConfig;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte of its first request.
    Silent,
    /// The rest of a header.
    Header,
    /// Nothing: a request is being answered, and whoever reads its body has a deadline of their own.
    Request,
    /// The next request.
    Idle,
}

/// The phase of a connection, shared by its socket and its requests. Each entry into a phase is told from the one before,
/// so that two idle times in a row are two.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU64);

impl Stage {
    const PHASES: [Phase; 4] = [Phase::Silent, Phase::Header, Phase::Request, Phase::Idle];

    pub(super) fn enter(&self, phase: Phase) {
        // Requests of one connection come one after the other, and its socket enters `Header` only between them: there
        // is one writer at a time.
        let entries = self.0.load(Ordering::Relaxed) / 4 + 1;
        self.0.store(entries * 4 + phase as u64, Ordering::Relaxed);
    }

    /// The phase, and a number that is different for each entry.
    fn get(&self) -> (Phase, u64) {
        let value = self.0.load(Ordering::Relaxed);
        (Self::PHASES[(value % 4) as usize], value)
    }
}

/// A socket whose reads and writes fail with [`io::ErrorKind::TimedOut`] when a phase of its connection takes too long.
#[derive(Debug)]
pub(super) struct Deadlined<S> {
    stream: S,
    stage: Arc<Stage>,
    silent: Duration,
    header: Duration,
    idle: Duration,
    reply: Duration,
    /// Bytes that have to be written in each `reply` that a reply is on its way.
    reply_bytes_due: usize,
    read: Deadline,
    write: Deadline,
    /// Bytes written since `write` was armed.
    written: usize,
    /// The client has not taken its reply in time.
    stuck: bool,
}

impl<S> Deadlined<S> {
    pub(super) fn new(stream: S, stage: Arc<Stage>, config: &HttpConfig) -> Self {
        Self {
            stream,
            stage,
            silent: config.first_byte,
            header: config.header,
            idle: config.idle,
            reply: config.reply,
            reply_bytes_due: config.bytes_due(config.reply),
            read: Deadline::default(),
            write: Deadline::default(),
            written: 0,
            stuck: false,
        }
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (phase, entry) = self.stage.get();
        let limit = match phase {
            Phase::Silent => self.silent,
            Phase::Header => self.header,
            Phase::Idle => self.idle,
            Phase::Request => return Poll::Pending,
        };
        self.read.poll(cx, entry, limit)
    }

    /// Passes on what a write came to. From one that has to wait until all is written, each `reply` has to bring on some.
    fn bounded_write(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            self.written = self.written.saturating_add(*result.as_ref().unwrap_or(&0));
            return Poll::Ready(result);
        }
        if self.write.armed_for.is_none() {
            self.written = 0;
        }
        let mut over = self.write.poll(cx, 0, self.reply);
        if over.is_ready() && self.written >= self.reply_bytes_due {
            self.written = 0;
            self.write.armed_for = None;
            over = self.write.poll(cx, 0, self.reply);
        }
        self.stuck = over.is_ready();
        over.map(Err)
    }
}

/// A timer that starts when it is first asked about something.
#[derive(Debug, Default)]
struct Deadline {
    armed_for: Option<u64>,
    /// Of what it is armed for.
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Ready when `limit` has passed since this was first asked about `entry`.
    fn poll(&mut self, cx: &mut Context<'_>, entry: u64, limit: Duration) -> Poll<io::Error> {
        if self.armed_for != Some(entry) {
            self.armed_for = Some(entry);
            self.until = None;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        // A timer that is too early is left as it is, and set anew when it goes off: most deadlines are over long before,
        // and to set a timer takes longer than to look at it.
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= until {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadlined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if result.is_pending() {
            return self.poll_read_deadline(cx).map(Err);
        }
        let begins_a_request = matches!(self.stage.get().0, Phase::Silent | Phase::Idle);
        if begins_a_request && buf.filled().len() > before {
            self.stage.enter(Phase::Header);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadlined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stage.get().0 == Phase::Idle {
            // After a reply hyper does not read again until there is something to read: the idle time begins here. When it
            // is over the timer wakes the connection, which reads then, and finds out.
            let _ = self.poll_read_deadline(cx);
        }
        // A flush comes after all is written, and has nothing to wait for: the system sends by itself.
        self.write.armed_for = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::Config;
    use crate::config::Sources;

    /// A socket whose replies have 10 s, in which 1,000 bytes are due, and a client that has room for 100.
    fn socket() -> (Deadlined<DuplexStream>, DuplexStream) {
        let mut config = Config::load(&Sources::default()).unwrap().http;
        (config.reply, config.bytes_per_second_min) = (Duration::from_secs(10), 100);
        let (server, client) = tokio::io::duplex(100);
        (Deadlined::new(server, Arc::default(), &config), client)
    }

    async fn take_every_second(mut client: DuplexStream, bytes: usize) {
        let mut taken = vec![0; bytes];
        while client.read_exact(&mut taken).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_may_take_its_time_if_the_client_keeps_taking_it() {
        let (mut socket, client) = socket();
        tokio::spawn(take_every_second(client, 100));
        let begun = Instant::now();
        socket.write_all(&[7; 5000]).await.unwrap();
        assert!(begun.elapsed() > Duration::from_secs(40), "{:?}", begun.elapsed());
        assert!(!socket.is_stuck());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_taken_too_slowly_ends_the_connection() {
        let (mut socket, client) = socket();
        tokio::spawn(take_every_second(client, 90));
        let begun = Instant::now();
        let error = socket.write_all(&[7; 5000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(socket.is_stuck());
    }

    #[tokio::test(start_paused = true)]
    async fn each_reply_has_its_time_anew() {
        let (mut socket, mut client) = socket();
        for _ in 0..3 {
            let taken = async {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.read_exact(&mut [0; 200]).await.unwrap();
            };
            let (written, ()) = tokio::join!(socket.write_all(&[7; 200]), taken);
            written.unwrap();
            socket.flush().await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
