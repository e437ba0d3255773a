use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::Config;
use crate::config::Sources;
use crate::metrics::Metrics;

/// Answers `/panic` by panicking, `/wait` when it is told to, `/body` with the length of the body, all else with its path.
#[derive(Default)]
struct Echo {
    go_on: Notify,
    waiting: Notify,
}

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, _: Connection) -> Response<Full<Bytes>> {
        let text = match request.uri().path() {
            "/panic" => panic!("as the test wants it"),
            "/wait" => {
                self.waiting.notify_one();
                self.go_on.notified().await;
                "waited".to_owned()
            }
            "/body" => request.into_body().collect().await.unwrap().to_bytes().len().to_string(),
            path => path.to_owned(),
        };
        Response::new(Full::new(Bytes::from(text)))
    }

    fn panicked(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        answer
    }
}

/// A running acceptor.
struct Running {
    address: SocketAddr,
    handler: Arc<Echo>,
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<bool>,
}

fn limits() -> HttpConfig {
    let mut config = Config::load(&Sources::default()).unwrap().http;
    let long = Duration::from_secs(60);
    (config.first_byte, config.header, config.reply, config.idle) = (long, long, long, long);
    config
}

async fn start(config: HttpConfig, grace: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    start_on(listener, address, config, grace)
}

fn start_on(listener: impl Listener, address: SocketAddr, config: HttpConfig, grace: Duration) -> Running {
    let handler = Arc::new(Echo::default());
    let metrics = Metrics::new(Default::default);
    let stop = CancellationToken::new();
    let acceptor = Acceptor::new(listener, Arc::clone(&handler), config, metrics.connections());
    let task = tokio::spawn(acceptor.run(stop.clone(), grace));
    Running { address, handler, metrics, stop, task }
}

const MINUTE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// Sends a request and reads one whole response.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_response(stream).await
}

async fn read_response(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        let whole = text.split_once("\r\n\r\n").is_some_and(|(header, body)| {
            let length = header.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            body.len() >= length.parse().unwrap()
        });
        if whole || count == 0 {
            return text;
        }
    }
}

/// Reads until the server closes, for at most five seconds.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let running = start(limits(), MINUTE).await;
    let mut stream = connect(&running).await;
    for path in ["/a", "/b", "/c"] {
        assert!(ask(&mut stream, path).await.ends_with(&format!("\r\n\r\n{path}")));
    }
    stream
        .write_all(b"GET /d HTTP/1.1\r\nhost: x\r\n\r\nGET /e HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let both = rest(&mut stream).await;
    assert!(both.contains("\r\n\r\n/d") && both.ends_with("\r\n\r\n/e"), "{both}");
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let running = start(HttpConfig { first_byte: SHORT, ..limits() }, MINUTE).await;
    assert_eq!(rest(&mut connect(&running).await).await, "");
}

#[tokio::test]
async fn a_slow_header_is_cut_off_however_steadily_it_drips() {
    let running = start(HttpConfig { header: SHORT * 2, ..limits() }, MINUTE).await;
    let mut stream = connect(&running).await;
    let begun = std::time::Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    while stream.write_all(b"x").await.is_ok() && begun.elapsed() < MINUTE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_second_requests_header_has_its_deadline_too() {
    let running = start(HttpConfig { header: SHORT, ..limits() }, MINUTE).await;
    let mut stream = connect(&running).await;
    ask(&mut stream, "/a").await;
    stream.write_all(b"GET /b").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_starts_anew() {
    let running = start(HttpConfig { idle: SHORT * 6, ..limits() }, MINUTE).await;
    let mut stream = connect(&running).await;
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        assert!(ask(&mut stream, "/a").await.ends_with("/a"));
        tokio::time::sleep(SHORT * 3).await;
    }
    assert_eq!(rest(&mut stream).await, "");
    assert!(begun.elapsed() >= SHORT * 12);
}

#[tokio::test]
async fn a_request_that_takes_long_to_answer_is_not_an_idle_one() {
    let config = HttpConfig { first_byte: SHORT * 4, header: SHORT * 4, idle: SHORT, ..limits() };
    let running = start(config, MINUTE).await;
    let mut stream = connect(&running).await;
    let asked = tokio::spawn(async move { ask(&mut stream, "/wait").await });
    running.handler.waiting.notified().await;
    tokio::time::sleep(SHORT * 6).await;
    running.handler.go_on.notify_one();
    assert!(asked.await.unwrap().ends_with("waited"));
}

#[tokio::test]
async fn a_panic_costs_its_own_request_an_answer_and_nothing_else() {
    let running = start(limits(), MINUTE).await;
    let mut stream = connect(&running).await;
    assert!(ask(&mut stream, "/panic").await.starts_with("HTTP/1.1 500 "));
    assert!(ask(&mut stream, "/a").await.ends_with("/a"));
    assert!(ask(&mut connect(&running).await, "/b").await.ends_with("/b"));
}

#[tokio::test]
async fn a_connection_past_the_cap_is_told_so_and_an_earlier_end_makes_room() {
    let running = start(HttpConfig { connections_max: 2, ..limits() }, MINUTE).await;
    let mut first = connect(&running).await;
    let mut second = connect(&running).await;
    ask(&mut first, "/a").await;
    ask(&mut second, "/a").await;
    let refused = rest(&mut connect(&running).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(running.metrics.render(0).contains("escrow_connections_refused_total{reason=\"total\"} 1"));
    drop(first);
    // The end of the first connection arrives on its own; until then there is no room.
    loop {
        let mut third = connect(&running).await;
        if ask(&mut third, "/a").await.ends_with("/a") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_past_its_peers_cap_is_told_so() {
    let running = start(HttpConfig { connections_per_peer_max: 1, ..limits() }, MINUTE).await;
    let mut first = connect(&running).await;
    ask(&mut first, "/a").await;
    let refused = rest(&mut connect(&running).await).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.contains("\r\nx-escrow-error: too_many_connections\r\n"), "{refused}");
    assert!(ask(&mut first, "/b").await.ends_with("/b"));
}

#[tokio::test]
async fn a_reply_that_nobody_reads_ends_the_connection() {
    let running = start(HttpConfig { reply: SHORT, ..limits() }, MINUTE).await;
    let mut stream = connect(&running).await;
    let long = "/".to_owned() + &"x".repeat(8000);
    let request = format!("GET {long} HTTP/1.1\r\nhost: x\r\n\r\n");
    // Replies pile up until both sides' buffers are full; then the server's write stands still and ends.
    let flooded = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), flooded).await.unwrap();
}

/// A listener that fails before it hands out each connection.
struct Failing {
    inner: TcpListener,
    kind: io::ErrorKind,
    failed: AtomicBool,
}

impl Listener for Failing {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        if !self.failed.swap(true, Ordering::Relaxed) {
            return Err(self.kind.into());
        }
        let accepted = Listener::accept(&mut self.inner).await;
        self.failed.store(false, Ordering::Relaxed);
        accepted
    }
}

#[tokio::test]
async fn a_failure_to_accept_is_survived() {
    // `Other` stands for EMFILE and its kin, which have no kind of their own.
    for kind in [io::ErrorKind::Other, io::ErrorKind::ConnectionAborted] {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = inner.local_addr().unwrap();
        let running = start_on(Failing { inner, kind, failed: AtomicBool::new(false) }, address, limits(), MINUTE);
        for _ in 0..2 {
            assert!(ask(&mut connect(&running).await, "/a").await.ends_with("/a"), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_and_waits_for_what_is_being_answered() {
    let running = start(limits(), MINUTE).await;
    let mut idle = connect(&running).await;
    ask(&mut idle, "/a").await;
    let mut silent = connect(&running).await;
    let mut busy = connect(&running).await;
    let asked = tokio::spawn(async move { ask(&mut busy, "/wait").await });
    running.handler.waiting.notified().await;

    running.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    assert!(TcpStream::connect(running.address).await.is_err());
    assert!(!running.task.is_finished());
    running.handler.go_on.notify_one();
    let answer = asked.await.unwrap();
    assert!(answer.ends_with("waited") && answer.contains("connection: close"), "{answer}");
    assert!(running.task.await.unwrap());
}

#[tokio::test]
async fn a_stop_cuts_off_what_does_not_end_in_time() {
    let running = start(limits(), SHORT).await;
    let mut busy = connect(&running).await;
    let asked = tokio::spawn(async move { ask(&mut busy, "/wait").await });
    running.handler.waiting.notified().await;
    running.stop.cancel();
    assert!(!running.task.await.unwrap());
    assert_eq!(asked.await.unwrap(), "");
}
