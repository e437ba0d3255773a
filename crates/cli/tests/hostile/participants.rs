//! Participants that hang, drip, pour, break off, talk nonsense, send elsewhere, refuse, or are not there: each costs only
//! its own transactions, and people can see what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Connection, HEALTHY, PATIENCE, query};
use crate::coordinator::{Coordinator, MEMORY_MAX_MIB};
use crate::healthy::Healthy;
use crate::participant::{Participant, read_request};

/// Transactions of each participant: more calls at once than one host gets (`drive.calls_per_host_max` below).
const OF_EACH: usize = 20;
const POURED_BYTES: usize = 100_000_000;

/// A participant of which something is wrong, and what is said of it.
struct Bad {
    name: &'static str,
    url: String,
    /// The attention's reason ends so.
    said: &'static str,
    _participant: Option<Participant>,
}

impl Bad {
    fn new(name: &'static str, participant: Participant, said: &'static str) -> Self {
        Self { name, url: participant.url("do"), said, _participant: Some(participant) }
    }

    fn nobody(name: &'static str, url: String, said: &'static str) -> Self {
        Self { name, url, said, _participant: None }
    }
}

async fn hang(mut stream: TcpStream) {
    while read_request(&mut stream).await.is_some() {}
}

/// Sends the beginning of an answer, and then a byte of it per second.
async fn drip(mut stream: TcpStream, beginning: &'static [u8]) {
    read_request(&mut stream).await;
    let mut sent = stream.write_all(beginning).await;
    while sent.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sent = stream.write_all(b"x").await;
    }
}

/// Sends the beginning of an answer and closes the connection.
async fn break_off(mut stream: TcpStream, beginning: &'static [u8]) {
    read_request(&mut stream).await;
    let _ = stream.write_all(beginning).await;
}

/// Answers with a body of 100 MB, of which it counts what was taken.
async fn pour(mut stream: TcpStream, status: u16, taken: Arc<AtomicUsize>) {
    read_request(&mut stream).await;
    let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {POURED_BYTES}\r\n\r\n");
    let mut sent = stream.write_all(head.as_bytes()).await;
    let piece = vec![b'x'; 100_000];
    for _ in 0..POURED_BYTES / piece.len() {
        if sent.is_err() {
            return;
        }
        sent = stream.write_all(&piece).await;
        taken.fetch_add(piece.len(), Ordering::Relaxed);
    }
}

/// All of them. `elsewhere` is where the redirect points.
async fn bad_ones(coordinator: &Coordinator, elsewhere: &Participant) -> Vec<Bad> {
    let answer = |text: String| Participant::answering(move || text.clone().into_bytes());
    let location = elsewhere.url("do");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    vec![
        Bad::new("hangs", Participant::start(hang).await, "no answer within 1s"),
        Bad::new(
            "drips its header",
            Participant::start(|stream| drip(stream, b"HTTP/1.1 200 OK\r\nx-secret: ")).await,
            "no answer within 1s",
        ),
        Bad::new(
            "drips its body",
            Participant::start(|stream| drip(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nsecret")).await,
            "an answer with status 200 did not end within 1s",
        ),
        Bad::new("pours", Participant::start(|stream| pour(stream, 500, Arc::default())).await, "status 500"),
        Bad::new(
            "pours its header",
            answer(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "secret".repeat(1_000_000))).await,
            "the header of the answer is larger than 16384 bytes",
        ),
        Bad::new(
            "closes at once",
            Participant::start(|stream| break_off(stream, b"")).await,
            "the connection broke before the answer",
        ),
        Bad::new(
            "closes in the middle",
            Participant::start(|stream| break_off(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsec")).await,
            "the connection broke in the middle of an answer with status 200",
        ),
        Bad::new("talks nonsense", answer("secret\0nonsense\r\n\r\n".to_owned()).await, "the answer is not HTTP"),
        Bad::new(
            "sends elsewhere",
            answer(format!("HTTP/1.1 307 Secret\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await,
            "status 307, a redirect, which is not followed",
        ),
        Bad::new(
            "refuses what cannot be refused",
            answer("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nsecret FAILURE".to_owned()).await,
            "refused, with status 200",
        ),
        Bad::nobody("is not there", format!("http://{free}/do"), "could not connect: connection refused"),
        Bad::nobody(
            "is the coordinator",
            format!("http://{}/api/dtmsvr/newGid", coordinator.address),
            "calls to this address are not allowed: it is the coordinator itself",
        ),
        Bad::nobody(
            "is a cloud's metadata",
            "http://2852039166/latest/meta-data/iam".to_owned(),
            "calls to this address are not allowed: it is link-local",
        ),
    ]
}

/// A message that nothing turns back, to this URL with a password in it.
fn message(gid: &str, url: &str) -> String {
    let url = url.replacen("http://", "http://user:secret@", 1) + "?token=secret";
    json!({"gid": gid, "trans_type": "msg", "steps": [{"action": url}], "payloads": ["\"secret\""],
        "branch_headers": {"x-token": "secret"}, "request_timeout": 1, "retry_interval": 1})
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_participant_costs_only_its_own_transactions_and_attention_says_what_it_does() {
    let coordinator = Coordinator::start(&[("DRIVE_CALLS_PER_HOST_MAX", "8"), ("DRIVE_CALLS_MAX", "64")]);
    let elsewhere = Participant::willing().await;
    let bad_ones = bad_ones(&coordinator, &elsewhere).await;
    let mut connection = Connection::open(HEALTHY, coordinator.address).await;
    for bad in &bad_ones {
        for number in 0..OF_EACH {
            let body = message(&format!("{}-{number}", bad.name), &bad.url);
            let accepted = connection.post("/api/dtmsvr/submit", body).await;
            assert_eq!(accepted.status, 200, "{}: {accepted:?}", bad.name);
        }
    }
    let healthy = Healthy::start(coordinator.address).await;
    for bad in &bad_ones {
        let transaction = attention(&coordinator, &format!("{}-0", bad.name)).await;
        let reason = transaction["attention_reason"].as_str().unwrap();
        println!("{}: {reason}", bad.name);
        let expected = "01 action: 3 answers in a row were unknown or refused; the last: ".to_owned() + bad.said;
        assert_eq!(reason.replacen("4 answers", "3 answers", 1), expected);
        assert_eq!(transaction["status"], "submitted");
        let shown = transaction.to_string();
        assert!(!shown.contains("secret") && !shown.contains("FAILURE"), "{shown}");
    }
    let served = healthy.stop().await;
    println!("{served:?}, {} MiB at most", coordinator.peak_memory_mib());
    assert!(served.slowest < Duration::from_secs(10), "{served:?}");
    assert!(coordinator.peak_memory_mib() < MEMORY_MAX_MIB);
    assert_eq!(elsewhere.connections(), 0, "no redirect is followed");
    let log = coordinator.stop();
    assert!(!log.iter().any(|event| event.to_string().contains("secret")), "{log:?}");
}

/// The transaction, once it asks for attention.
async fn attention(coordinator: &Coordinator, gid: &str) -> serde_json::Value {
    let asked = async {
        loop {
            let transaction = query(coordinator.address, &gid.replace(' ', "%20")).await;
            if transaction["attention"] == true {
                return transaction;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{gid} asks for no attention"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_megabytes_a_bounded_part_is_taken_and_the_status_counts() {
    let coordinator = Coordinator::start(&[]);
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let participant = Participant::start(move |stream| pour(stream, 200, Arc::clone(&counted))).await;
    let body = json!({"gid": "g", "trans_type": "saga", "wait_result": true,
        "steps": [{"action": participant.url("do")}], "payloads": ["{}"]});
    let mut connection = Connection::open(HEALTHY, coordinator.address).await;
    assert_eq!(connection.post("/api/dtmsvr/submit", body.to_string()).await.status, 200);
    // What the buffers of the system hold counts as taken.
    println!("{} bytes taken of 100 MB, {} MiB at most", taken.load(Ordering::Relaxed), coordinator.peak_memory_mib());
    assert!(taken.load(Ordering::Relaxed) < POURED_BYTES / 2);
    assert!(coordinator.peak_memory_mib() < MEMORY_MAX_MIB);
    coordinator.stop();
}
