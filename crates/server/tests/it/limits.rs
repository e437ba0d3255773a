use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lifecycle::held_participant;
use crate::support::{PATIENCE, Response, TestServer, rest};

/// The header lines that every request of this module has.
const COMMON: &str = "host: localhost\r\nconnection: close\r\n";

/// A request whose header has exactly this many bytes.
fn header_of(bytes: usize) -> String {
    let start = format!("GET /api/ping HTTP/1.1\r\n{COMMON}x: ");
    let end = "\r\n\r\n";
    format!("{start}{}{end}", "y".repeat(bytes - start.len() - end.len()))
}

#[tokio::test]
async fn a_header_is_taken_up_to_its_limit_in_bytes() {
    let server = TestServer::start().await;
    assert_eq!(server.send(header_of(16 * 1024)).await.status, 200);
    assert_eq!(server.send(header_of(16 * 1024 + 1)).await.status, 431);
    assert_eq!(server.send(header_of(300_000)).await.status, 431);
    assert_eq!(server.get("/api/ping").await.status, 200);
}

#[tokio::test]
async fn a_header_is_taken_up_to_its_limit_in_lines() {
    let server = TestServer::start().await;
    let with = |lines: usize| {
        let more: String = (2..lines).map(|number| format!("x{number}: y\r\n")).collect();
        format!("GET /api/ping HTTP/1.1\r\n{COMMON}{more}\r\n")
    };
    assert_eq!(server.send(with(64)).await.status, 200);
    let refused = server.send(with(65)).await;
    assert_eq!((refused.status, refused.code()), (431, "too_large"));
    assert_eq!(server.send(with(500)).await.status, 431);
}

#[tokio::test]
async fn a_url_is_taken_up_to_its_limit() {
    let server = TestServer::start().await;
    let with = |bytes: usize| format!("/api/ping?{}", "x".repeat(bytes - "/api/ping?".len()));
    assert_eq!(server.get(&with(8192)).await.status, 200);
    let refused = server.get(&with(8193)).await;
    assert_eq!((refused.status, refused.code()), (414, "too_large"));
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limit_whether_it_says_its_length_or_not() {
    let server = TestServer::with(&[("http.body_bytes_max", "4096")]).await;
    let with = |bytes: usize| format!("{{\"gid\":\"{}\"}}", "x".repeat(bytes - "{\"gid\":\"\"}".len()));
    let declared = server.post("/api/dtmsvr/forceStop", with(4096)).await;
    assert_eq!(declared.code(), "invalid_gid");
    let declared = server.post("/api/dtmsvr/forceStop", with(4097)).await;
    assert_eq!((declared.status, declared.code()), (413, "too_large"));

    let chunked = |body: String| {
        let head = format!("POST /api/dtmsvr/forceStop HTTP/1.1\r\n{COMMON}transfer-encoding: chunked\r\n\r\n");
        format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    assert_eq!(server.send(chunked(with(4096))).await.code(), "invalid_gid");
    let streamed = server.send(chunked(with(4097))).await;
    assert_eq!((streamed.status, streamed.code()), (413, "too_large"));
}

#[tokio::test]
async fn a_body_without_end_is_refused_while_it_comes() {
    let server = TestServer::start().await;
    let (mut reader, mut writer) = TcpStream::connect(server.address).await.unwrap().into_split();
    let head = format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}transfer-encoding: chunked\r\n\r\n");
    writer.write_all(head.as_bytes()).await.unwrap();
    let pouring = tokio::spawn(async move {
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        while writer.write_all(&chunk).await.is_ok() {}
    });
    let mut reply = [0; 13];
    reader.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413 ");
    tokio::time::timeout(PATIENCE, pouring).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_refused_before_it_comes() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}content-length: 99999999999\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test]
async fn slow_clients_are_let_go_and_others_are_served_meanwhile() {
    let settings = [("http.first_byte_ms", "300"), ("http.header_ms", "300"), ("http.body_ms", "300")];
    let server = TestServer::with(&settings).await;
    let begun = Instant::now();
    let mut slow = Vec::new();
    for sent in [
        String::new(),
        "GET /api/ping HT".to_owned(),
        format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}content-length: 100\r\n\r\n{{"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        slow.push(tokio::spawn(async move { rest(&mut stream).await }));
    }
    assert_eq!(server.get("/api/ping").await.status, 200);
    let mut replies = Vec::new();
    for end in slow {
        replies.push(String::from_utf8(end.await.unwrap()).unwrap());
    }
    assert_eq!((replies[0].as_str(), replies[1].as_str()), ("", ""));
    assert!(replies[2].starts_with("HTTP/1.1 408 "), "{}", replies[2]);
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_body_may_take_its_time_if_it_keeps_coming() {
    let server = TestServer::with(&[("http.body_ms", "1500"), ("http.bytes_per_second_min", "1000")]).await;
    // Five times the rate, for more than twice the time; and a fifth of it.
    for (bytes, pieces, status) in [(500, 35, 500), (20, 1000, 408)] {
        let (mut reader, mut writer) = TcpStream::connect(server.address).await.unwrap().into_split();
        let head = format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}content-length: {}\r\n\r\n", bytes * pieces);
        writer.write_all(head.as_bytes()).await.unwrap();
        let dripping = tokio::spawn(async move {
            for _ in 0..pieces {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if writer.write_all(&vec![b' '; bytes]).await.is_err() {
                    break;
                }
            }
            // Dropping it would say that nobody waits for the reply.
            std::future::pending::<()>().await;
        });
        let mut reply = [0; 13];
        tokio::time::timeout(PATIENCE, reader.read_exact(&mut reply)).await.unwrap().unwrap();
        assert_eq!(std::str::from_utf8(&reply).unwrap(), format!("HTTP/1.1 {status} "));
        dripping.abort();
    }
}

#[tokio::test]
async fn large_bodies_share_a_bounded_memory_and_small_ones_need_none_of_it() {
    let server = TestServer::with(&[("http.large_mib_max", "16"), ("http.body_bytes_max", "8388608")]).await;
    // Of two bodies of half the memory each the first 16 KiB are free, and so is as much of a third.
    let (fits, does_not) = (" ".repeat(48 * 1024), " ".repeat(48 * 1024 + 1));
    let held = tokio::time::timeout(PATIENCE, fill(&server, 8 * 1024 * 1024, &does_not)).await.unwrap();
    assert_eq!(server.post("/api/dtmsvr/submit", &fits).await.code(), "malformed_body");
    assert_eq!(server.dtm("prepare", json!({ "gid": "small", "trans_type": "tcc" })).await.status, 200);
    let refused = server.post("/api/dtmsvr/submit", &does_not).await;
    assert_eq!((refused.status, refused.code(), refused.headers["retry-after"].as_str()), (503, "overloaded", "1"));
    drop(held);
    let taken = async { while server.post("/api/dtmsvr/submit", &does_not).await.code() != "malformed_body" {} };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
}

/// Holds all but a byte of two bodies, until there is no room for `does_not_fit` any more.
async fn fill(server: &TestServer, bytes: usize, does_not_fit: &str) -> Vec<TcpStream> {
    let head = format!("POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}content-length: {bytes}\r\n\r\n");
    let is_waiting = |stream: &TcpStream| {
        stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    loop {
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.write_all(&vec![b' '; bytes - 1]).await;
            held.push(stream);
        }
        // While their last bytes are on the way, the question itself may take the room that they need.
        while held.iter().all(is_waiting) {
            if server.post("/api/dtmsvr/submit", does_not_fit).await.code() == "overloaded"
                && held.iter().all(is_waiting)
            {
                return held;
            }
        }
    }
}

#[tokio::test]
async fn past_the_transactions_that_may_be_active_new_ones_are_refused_for_a_while() {
    let server = TestServer::with(&[("drive.active_max", "1"), ("drive.claimed_max", "1")]).await;
    let (url, called, answer) = held_participant().await;
    let saga = |gid: &str| json!({ "gid": gid, "trans_type": "saga", "steps": [{ "action": url }] });
    assert_eq!(server.dtm("submit", saga("first")).await.status, 200);
    called.await.unwrap();
    let refused = server.dtm("submit", saga("second")).await;
    assert_eq!((refused.status, refused.code(), refused.headers["retry-after"].as_str()), (503, "overloaded", "1"));
    assert_eq!(server.query("second").await["transaction"], json!(null));
    answer.send(()).unwrap();
    server.wait_for("first", "succeed").await;
}

#[tokio::test]
async fn a_request_that_is_no_http_is_answered_400() {
    let server = TestServer::start().await;
    for nonsense in ["hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n"] {
        let reply: Response = server.send(nonsense).await;
        assert_eq!(reply.status, 400, "{nonsense:?}");
    }
    let both = format!(
        "POST /api/dtmsvr/submit HTTP/1.1\r\n{COMMON}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    let smuggled = server.send(both + "GET /api/ping HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!smuggled.body.contains("pong"), "{smuggled:?}");
}

#[tokio::test]
async fn what_one_transaction_may_hold_can_be_set_lower() {
    let settings = [
        ("limits.id_chars_max", "4"),
        ("limits.steps_max", "2"),
        ("limits.url_bytes_max", "20"),
        ("limits.payload_bytes_max", "5"),
        ("limits.payloads_bytes_max", "6"),
        ("limits.branch_headers_max", "1"),
    ];
    let server = TestServer::with(&settings).await;
    let message = |gid: &str, url: &str, payloads: &[&str]| {
        let steps: Vec<_> = payloads.iter().map(|_| json!({ "action": url })).collect();
        json!({ "gid": gid, "trans_type": "msg", "steps": steps, "payloads": payloads, "query_prepared": "http://a/q" })
    };
    // At each limit, and one past it.
    let (url, long_url) = ("http://a/45678901234", "http://a/456789012345");
    let cases = [
        (message("gid4", url, &["12345", "1"]), 200, ""),
        (message("gid-5", url, &[]), 500, "invalid_gid"),
        (message("a", url, &["", "", ""]), 413, "too_large"),
        (message("b", long_url, &[""]), 413, "too_large"),
        (message("c", url, &["123456"]), 413, "too_large"),
        (message("d", url, &["12345", "12"]), 413, "too_large"),
        (json!({ "gid": "e", "trans_type": "tcc", "branch_headers": { "a": "1", "b": "2" } }), 413, "too_large"),
        (json!({ "gid": "tcc", "trans_type": "tcc", "branch_headers": { "a": "1" } }), 200, ""),
    ];
    for (body, status, code) in cases {
        let reply = server.dtm("prepare", body.clone()).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{body}");
    }
    let register = |branch_id: &str, url: &str, data: &str| json!({ "gid": "tcc", "trans_type": "tcc", "branch_id": branch_id, "confirm": url, "cancel": url, "data": data });
    let registrations = [
        (register("0001", url, "12345"), 200, ""),
        (register("00002", url, ""), 500, "invalid_branch_id"),
        (register("2", long_url, ""), 413, "too_large"),
        (register("3", url, "123456"), 413, "too_large"),
    ];
    for (body, status, code) in registrations {
        let reply = server.dtm("registerBranch", body.clone()).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{body}");
    }
}
