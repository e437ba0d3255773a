use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use escrow_server::config::Sources;
use escrow_server::{Config, ServeError, Server};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{PATIENCE, POLL, Shown};

/// A running coordinator; what a test knows of it is its address.
pub(crate) struct Coordinator {
    address: SocketAddr,
    settings: Vec<(&'static str, String)>,
    data: TempDir,
    stop: Arc<Notify>,
    task: JoinHandle<Result<(), ServeError>>,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Coordinator {
    /// With the default settings.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these settings in place of their defaults.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Self::on(tempfile::tempdir().unwrap(), settings).await
    }

    async fn on(data: TempDir, settings: Vec<(&'static str, String)>) -> Self {
        let server = Server::start(config(data.path(), &settings)).await.unwrap();
        let address = server.address();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(server.run(async move { stopped.notified().await }));
        Self { address, settings, data, stop, task }
    }

    /// Stops it, and starts another one on the same directory.
    pub(crate) async fn restarted(self) -> Self {
        self.stop.notify_one();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        Self::on(self.data, self.settings).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("connection", "close").body(Full::new(body.into())).unwrap();
        let (head, body) = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Posts below `/api/dtmsvr/`.
    pub(crate) async fn post(&self, route: &str, body: &Value) -> Reply {
        self.post_text(route, &body.to_string()).await
    }

    /// Posts below `/api/dtmsvr/`, to the byte.
    pub(crate) async fn post_text(&self, route: &str, body: &str) -> Reply {
        self.send(Method::POST, &format!("/api/dtmsvr/{route}"), body.to_owned()).await
    }

    /// Posts what has to be accepted.
    pub(crate) async fn accepts(&self, route: &str, body: Value) {
        let reply = self.post(route, &body).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "dtm_result": "SUCCESS" })), "{route} {body}");
    }

    /// Posts what has to be refused as a conflict; returns the message.
    pub(crate) async fn refuses(&self, route: &str, body: Value) -> String {
        let reply = self.post(route, &body).await;
        assert_eq!((reply.status, &reply.json()["dtm_result"]), (409, &json!("FAILURE")), "{route} {body}: {reply:?}");
        let message = reply.message();
        assert!(message.ends_with(" FAILURE") && message.matches("FAILURE").count() == 1, "{message}");
        message
    }

    /// The transaction as `query` shows it.
    pub(crate) async fn query(&self, gid: &str) -> Shown {
        let gid: String = form_urlencoded::byte_serialize(gid.as_bytes()).collect();
        let reply = self.get(&format!("/api/dtmsvr/query?gid={gid}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Shown(reply.json())
    }

    /// Waits until `query` shows this status.
    pub(crate) async fn until_status(&self, gid: &str, status: &str) -> Shown {
        self.until(gid, |shown| shown.status() == status).await
    }

    /// Waits until the transaction waits: its last answers are stored, and so is when it goes on.
    pub(crate) async fn until_waiting(&self, gid: &str) -> Shown {
        self.until(gid, |shown| shown.transaction()["next_cron_time"].is_string()).await
    }

    /// Waits until `query` shows what is wanted.
    pub(crate) async fn until(&self, gid: &str, wanted: impl Fn(&Shown) -> bool) -> Shown {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.query(gid).await;
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{gid} stays {shown:?}");
            sleep(POLL).await;
        }
    }
}

/// A free port, a directory, and what the test says.
fn config(data: &Path, settings: &[(&'static str, String)]) -> Config {
    let data = data.join("data").to_str().unwrap().to_owned();
    let mut flags = vec![("listen", "127.0.0.1:0".to_owned()), ("data", data)];
    flags.extend(settings.iter().cloned());
    Config::load(&Sources { flags, ..Sources::default() }).unwrap()
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The `message` of an error; empty if there is none.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The stable code of an error; empty if it is none.
    pub(crate) fn code(&self) -> &str {
        self.header("x-escrow-error")
    }

    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
