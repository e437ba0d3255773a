//! A whole coordinator on a free port, a client that sends what it is told to the byte, and a participant.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use escrow_server::config::Sources;
use escrow_server::{Config, ServeError, Server, StartError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running coordinator on a directory of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) server: escrow_engine::Coordinator,
    data: Arc<TempDir>,
    stop: Arc<Notify>,
    task: JoinHandle<Result<(), ServeError>>,
}

/// The settings of a test: a free port, a directory, and what the test says.
pub(crate) fn config(data: &Path, settings: &[(&'static str, &str)]) -> Config {
    let mut flags = vec![("listen", "127.0.0.1:0".to_owned()), ("data", data.to_str().unwrap().to_owned())];
    flags.extend(settings.iter().map(|(key, value)| (*key, (*value).to_owned())));
    Config::load(&Sources { flags, ..Sources::default() }).unwrap()
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A coordinator with these settings.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        Self::on(data, settings).await.unwrap()
    }

    /// A coordinator on a directory that may have been used before.
    pub(crate) async fn on(data: Arc<TempDir>, settings: &[(&'static str, &str)]) -> Result<Self, StartError> {
        let server = Server::start(config(&data.path().join("data"), settings)).await?;
        let address = server.address();
        let coordinator = server.coordinator().clone();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(server.run(async move { stopped.notified().await }));
        Ok(Self { address, server: coordinator, data, stop, task })
    }

    /// Asks for the stop, and goes on.
    pub(crate) fn begin_stop(&self) {
        self.stop.notify_one();
    }

    /// Stops, waits for the end, and gives the directory back.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        self.begin_stop();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.data
    }

    pub(crate) fn data(&self) -> Arc<TempDir> {
        Arc::clone(&self.data)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.send([head.as_bytes(), body].concat()).await
    }

    /// Posts below `/api/dtmsvr/`.
    pub(crate) async fn dtm(&self, route: &str, body: Value) -> Response {
        self.post(&format!("/api/dtmsvr/{route}"), body.to_string()).await
    }

    /// Sends these bytes on a connection of their own, and reads to its end.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A request that is refused in the middle is not taken to its end.
        let _ = stream.write_all(bytes.as_ref()).await;
        Response::parse(&rest(&mut stream).await)
    }

    /// The transaction as `query` shows it.
    pub(crate) async fn query(&self, gid: &str) -> Value {
        self.get(&format!("/api/dtmsvr/query?gid={gid}")).await.json()
    }

    /// Waits until the transaction has this status, and returns it.
    pub(crate) async fn wait_for(&self, gid: &str, status: &str) -> Value {
        let found = async {
            loop {
                let found = self.query(gid).await;
                if found["transaction"]["status"] == status {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{gid} does not become {status}"))
    }
}

/// Everything up to the end of the connection, which has to come.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// One response.
#[derive(Debug)]
pub(crate) struct Response {
    /// 0 if there was none.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Response {
    /// Reads the text of a response.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The stable code of an error; empty if it is none.
    pub(crate) fn code(&self) -> &str {
        self.headers.get("x-escrow-error").map_or("", String::as_str)
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A participant: notes every request line, and answers what it was told to, 200 if nothing.
pub(crate) struct Participant {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    called: Arc<Notify>,
}

impl Participant {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let participant =
            Self { address, calls: Arc::default(), answers: Arc::default(), called: Arc::new(Notify::new()) };
        let (calls, answers) = (Arc::clone(&participant.calls), Arc::clone(&participant.answers));
        let called = Arc::clone(&participant.called);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&calls), Arc::clone(&answers), Arc::clone(&called)));
            }
        });
        participant
    }

    /// The next calls are answered so, in this order.
    pub(crate) fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The paths of all calls so far, without their queries.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until there have been `count` calls.
    pub(crate) async fn wait_for_calls(&self, count: usize) {
        let enough = async {
            while self.calls().len() < count {
                self.called.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.unwrap_or_else(|_| panic!("only {:?}", self.calls()));
    }
}

async fn answer(
    mut stream: TcpStream,
    calls: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    called: Arc<Notify>,
) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() < length.parse().unwrap() {
            continue;
        }
        bytes.clear();
        let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap();
        calls.lock().unwrap().push(path.to_owned());
        let status = answers.lock().unwrap().pop_front().unwrap_or(200);
        called.notify_one();
        let reply = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\nok");
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
