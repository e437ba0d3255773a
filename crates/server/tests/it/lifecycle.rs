use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Participant, TestServer, rest};

#[tokio::test]
async fn a_restart_on_the_same_directory_goes_on_where_it_was() {
    let participant = Participant::start().await;
    let server = TestServer::start().await;
    participant.will_answer(&[200, 500]);
    let body = json!({
        "gid": "g", "trans_type": "saga", "retry_interval": 1, "payloads": ["{}", "{}"],
        "steps": [{ "action": participant.url("a") }, { "action": participant.url("b") }],
    });
    assert_eq!(server.dtm("submit", body).await.status, 200);
    assert_eq!(server.dtm("prepare", json!({ "gid": "open", "trans_type": "tcc" })).await.status, 200);
    participant.wait_for_calls(2).await;
    let data = server.stop().await;

    let server = TestServer::on(data, &[]).await.unwrap();
    server.wait_for("g", "succeed").await;
    assert_eq!(participant.calls(), ["/a", "/b", "/b"]);
    assert_eq!(server.query("open").await["transaction"]["status"], "prepared");
    assert_eq!(server.dtm("submit", json!({ "gid": "open", "trans_type": "tcc" })).await.status, 200);
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_directory_is_refused() {
    let server = TestServer::start().await;
    let refused = TestServer::on(server.data(), &[]).await.err().unwrap();
    let mut text = refused.to_string();
    let mut cause = std::error::Error::source(&refused);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    assert!(text.contains("cannot be used") && text.contains("is open already"), "{text}");
    assert_eq!(server.get("/api/ping").await.status, 200);
    let data = server.stop().await;
    assert!(TestServer::on(data, &[]).await.is_ok());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = Arc::new(tempfile::tempdir().unwrap());
    let refused = TestServer::on(data, &[("listen", &address)]).await.err().unwrap();
    assert_eq!(refused.to_string(), format!("cannot listen on {address}"));
}

#[cfg(unix)]
#[tokio::test]
async fn the_data_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let server = TestServer::start().await;
    let mode = std::fs::metadata(server.data().path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// A participant that says when it is called, and answers when it is told to.
pub(crate) async fn held_participant() -> (String, tokio::sync::oneshot::Receiver<()>, tokio::sync::oneshot::Sender<()>)
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    let (called_tx, called) = tokio::sync::oneshot::channel();
    let (answer, answer_rx) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        called_tx.send(()).unwrap();
        answer_rx.await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    (url, called, answer)
}

#[tokio::test]
async fn a_stop_lets_the_running_call_end_and_its_caller_hear_of_it() {
    let server = TestServer::start().await;
    let (url, called, answer) = held_participant().await;
    let body =
        json!({ "gid": "g", "trans_type": "saga", "wait_result": true, "steps": [{ "action": url }] }).to_string();
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST /api/dtmsvr/submit HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    waiting.write_all((head + &body).as_bytes()).await.unwrap();
    called.await.unwrap();
    // A connection that was open before the stop: what it asks for while the header is on its way is still answered.
    let mut watching = TcpStream::connect(server.address).await.unwrap();
    watching.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    // One more exchange, so that the server has certainly taken both connections.
    assert_eq!(server.get("/readyz").await.status, 200);

    server.begin_stop();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    watching.write_all(b"\r\n").await.unwrap();
    assert!(rest(&mut watching).await.starts_with(b"HTTP/1.1 503 "));
    answer.send(()).unwrap();
    assert!(rest(&mut waiting).await.starts_with(b"HTTP/1.1 200 "));
    let data = server.stop().await;
    let server = TestServer::on(data, &[]).await.unwrap();
    assert_eq!(server.query("g").await["transaction"]["status"], "succeed");
}

#[tokio::test]
async fn a_stop_ends_within_its_limit_whatever_hangs() {
    let server = TestServer::with(&[("shutdown_grace_seconds", "0")]).await;
    let (url, called, _answer) = held_participant().await;
    let body = json!({ "gid": "g", "trans_type": "saga", "request_timeout": 60, "steps": [{ "action": url }] });
    assert_eq!(server.dtm("submit", body).await.status, 200);
    called.await.unwrap();
    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(b"GET /api/ping HT").await.unwrap();
    let begun = std::time::Instant::now();
    let data = server.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    let server = TestServer::on(data, &[]).await.unwrap();
    assert_eq!(server.query("g").await["transaction"]["status"], "submitted");
}
