//! Connections that send what they are told to the byte, and read replies as they come.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Where healthy clients come from: another peer than the hostile ones.
pub(crate) const HEALTHY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where hostile clients come from.
pub(crate) const HOSTILE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The lines of the header, names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The stable code of an error; empty if it is none.
    pub(crate) fn code(&self) -> &str {
        self.header("x-escrow-error")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// One connection to the coordinator.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(from: Ipv4Addr, to: SocketAddr) -> Self {
        Self::over(TcpSocket::new_v4().unwrap(), from, to).await
    }

    /// One that takes only a few bytes which nobody has read yet.
    pub(crate) async fn narrow(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket, from, to).await
    }

    async fn over(socket: TcpSocket, from: Ipv4Addr, to: SocketAddr) -> Self {
        socket.bind((from, 0).into()).unwrap();
        Self { stream: BufReader::new(socket.connect(to).await.unwrap()) }
    }

    /// Sends these bytes; whether the other side took them.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn end_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(get(path)).await;
        self.reply().await.unwrap_or_else(|| panic!("closed instead of an answer to {path}"))
    }

    pub(crate) async fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send(post(path, body)).await;
        self.reply().await.unwrap_or_else(|| panic!("closed instead of an answer to {path}"))
    }

    /// The next reply; `None` if the connection ends before a whole one came.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.read_reply()).await.expect("a reply or an end comes in time")
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head).await.ok()? == 0 {
                return None;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut reply = Reply { status, headers, body: String::new() };
        let mut body = vec![0; reply.header("content-length").parse().unwrap_or(0)];
        self.stream.read_exact(&mut body).await.ok()?;
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    /// Reads at most this many bytes; `false` at the end of the connection.
    pub(crate) async fn read_some(&mut self, bytes: usize) -> bool {
        let mut some = vec![0; bytes];
        matches!(self.stream.get_mut().read(&mut some).await, Ok(1..))
    }

    /// Everything up to the end of the connection, which has to come. A reset is an end too.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ =
            tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await.expect("the end comes in time");
        bytes
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

pub(crate) fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The transaction as `query` shows it.
pub(crate) async fn query(coordinator: SocketAddr, gid: &str) -> Value {
    let mut connection = Connection::open(HEALTHY, coordinator).await;
    connection.get(&format!("/api/dtmsvr/query?gid={gid}")).await.json()["transaction"].clone()
}
