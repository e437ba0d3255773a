//! A participant made of a bare TCP socket.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use escrow_engine::{BranchCall, BranchCaller, BranchReply};
use escrow_outbound::{EgressPolicy, HttpCaller};
use escrow_txn::{BranchId, BranchOp, Gid, Pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listener on a port of its own; its connections are handled one by one by what the test gave it.
pub(crate) struct Participant {
    pub(crate) address: SocketAddr,
    /// Everything it was sent, one text per request.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Participant {
    /// Hands every connection to `behave`, and counts nothing.
    pub(crate) async fn behaving<F, R>(behave: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(behave(stream));
            }
        });
        Self { address, requests: Arc::default() }
    }

    /// Answers every request with the same bytes and keeps the connection.
    pub(crate) async fn answering(reply: impl Into<Vec<u8>>) -> Self {
        let reply = Arc::new(reply.into());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let mut participant = Self::behaving(move |mut stream| {
            let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    seen.lock().unwrap().push(request);
                    if stream.write_all(&reply).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await;
        participant.requests = requests;
        participant
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// One request, header and body, as text; `None` at the end of the connection.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((header, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text.into_owned());
        }
    }
}

/// A response with this status and body.
pub(crate) fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A saga's action with a body, to this URL, with plenty of time.
pub(crate) fn action(url: impl Into<String>) -> BranchCall {
    BranchCall {
        gid: Gid::parse("g1").unwrap(),
        pattern: Pattern::Saga,
        branch: Some(BranchId::parse("01").unwrap()),
        op: BranchOp::Action,
        url: url.into(),
        payload: Bytes::from_static(b"{\"amount\":30}"),
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
    }
}

/// Makes one call with a caller of its own.
pub(crate) async fn call(call: BranchCall) -> BranchReply {
    HttpCaller::new(EgressPolicy::default()).call(call).await
}
