use std::time::{Duration, Instant};

use escrow_engine::{BranchCall, BranchReply};
use escrow_txn::{BranchOutcome, limits};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::participant::{Participant, action, call, read_request, response};

/// The deadline of calls that are meant to reach it.
const SHORT: Duration = Duration::from_millis(200);

fn unknown(text: &str) -> BranchReply {
    BranchReply { outcome: BranchOutcome::Unknown, code: None, text: text.to_owned() }
}

async fn short_call(participant: &Participant) -> BranchReply {
    call(BranchCall { timeout: SHORT, ..action(participant.url("/a")) }).await
}

async fn hold(stream: TcpStream) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(stream);
}

#[tokio::test]
async fn a_participant_that_hangs_is_unknown_when_the_time_is_up() {
    let participant = Participant::behaving(hold).await;
    let begun = Instant::now();
    assert_eq!(short_call(&participant).await, unknown("no answer within 200ms"));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_body_that_drips_is_unknown_when_the_time_is_up_whatever_its_status() {
    let participant = Participant::behaving(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(short_call(&participant).await, unknown("an answer with status 200 did not end within 200ms"));
}

#[tokio::test]
async fn a_connection_that_closes_early_is_unknown() {
    let before_the_answer = Participant::behaving(|mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    let reply = call(action(before_the_answer.url("/a"))).await;
    assert_eq!(reply, unknown("the connection broke before the answer"));

    let inside_the_answer = Participant::behaving(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 100\r\n\r\nFAILURE").await.unwrap();
    })
    .await;
    let reply = call(action(inside_the_answer.url("/a"))).await;
    assert_eq!(reply, unknown("the connection broke in the middle of an answer with status 409"));
}

#[tokio::test]
async fn of_an_endless_body_a_bounded_part_is_read_and_the_connection_is_dropped() {
    let (closed_tx, closed_rx) = tokio::sync::oneshot::channel();
    let closed_tx = std::sync::Mutex::new(Some(closed_tx));
    let participant = Participant::behaving(move |mut stream| {
        let closed = closed_tx.lock().unwrap().take();
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
            let _ = closed.map(|closed| closed.send(()));
        }
    })
    .await;
    let reply = call(action(participant.url("/a"))).await;
    assert_eq!((reply.outcome, reply.code), (BranchOutcome::Done, Some(200)));
    assert_eq!(reply.text.len(), limits::REASON_ANSWER_BYTES_MAX);
    tokio::time::timeout(Duration::from_secs(5), closed_rx).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_word_counts_as_far_as_the_body_is_read() {
    let body = |filler: usize| format!("{}FAILURE{}", "x".repeat(filler), "x".repeat(1000));
    let inside = Participant::answering(response(200, &body(64 * 1024 - 7))).await;
    assert_eq!(call(action(inside.url("/a"))).await.outcome, BranchOutcome::Refused);
    let beyond = Participant::answering(response(200, &body(64 * 1024))).await;
    assert_eq!(call(action(beyond.url("/a"))).await.outcome, BranchOutcome::Done);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Participant::answering(response(200, "")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/b");
        let redirect = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let participant = Participant::answering(redirect).await;
        let reply = call(action(participant.url("/a"))).await;
        assert_eq!((reply.outcome, reply.code), (BranchOutcome::Unknown, Some(status)));
        assert_eq!(reply.text, "the answer is a redirect, which is not followed");
    }
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nonsense_is_unknown() {
    for nonsense in ["hello\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 99999 What\r\n\r\n"] {
        let participant = Participant::answering(nonsense).await;
        let reply = call(action(participant.url("/a"))).await;
        assert_eq!(reply, unknown("the answer is not HTTP"), "{:.20}", nonsense);
    }
    let too_much_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let reply = call(action(Participant::answering(too_much_header).await.url("/a"))).await;
    assert_eq!(reply, unknown("the header of the answer is larger than 16384 bytes"));
    let binary = Participant::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\0\xfe!".as_slice()).await;
    let reply = call(action(binary.url("/a"))).await;
    assert_eq!((reply.outcome, reply.text.as_str()), (BranchOutcome::Done, "\u{fffd}\0\u{fffd}!"));
}

#[tokio::test]
async fn nobody_there_is_unknown_and_says_so() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let reply = call(action(format!("http://user:secret@127.0.0.1:{port}/a?token=secret"))).await;
    assert_eq!(reply, unknown("could not connect: connection refused"));
}
