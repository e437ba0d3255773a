//! Which connection a call takes, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use escrow_engine::{BranchCaller, BranchReply};
use escrow_outbound::{EgressPolicy, HttpCaller};
use escrow_txn::BranchOutcome;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::participant::{Participant, action, read_request, response};

/// What happens to the connections of a participant.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Opened,
    /// The caller has closed it.
    Closed,
}

/// A participant that answers with the request's own path, after `header`; silent where that is `/silent`.
async fn echoing(header: &'static str) -> (Participant, mpsc::UnboundedReceiver<Seen>) {
    let (seen, sees) = mpsc::unbounded_channel();
    let participant = Participant::behaving(move |mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(Seen::Opened).unwrap();
            while let Some(request) = read_request(&mut stream).await {
                let path = request.split([' ', '?']).nth(1).unwrap();
                if path != "/silent" {
                    let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: {}\r\n\r\n{path}", path.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            let _ = seen.send(Seen::Closed);
        }
    })
    .await;
    (participant, sees)
}

fn caller() -> HttpCaller {
    HttpCaller::new(EgressPolicy::default())
}

async fn text(caller: &HttpCaller, participant: &Participant, path: &str) -> String {
    let BranchReply { outcome, text, .. } = caller.call(action(participant.url(path))).await;
    assert_eq!(outcome, BranchOutcome::Done, "{text}");
    text
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let (participant, mut seen) = echoing("").await;
    let caller = caller();
    for path in ["/a", "/b", "/c", "/d"] {
        assert_eq!(text(&caller, &participant, path).await, path);
    }
    assert_eq!((seen.try_recv(), seen.try_recv().ok()), (Ok(Seen::Opened), None));
}

#[tokio::test]
async fn calls_at_once_have_a_connection_each_and_their_own_answers() {
    let (participant, mut seen) = echoing("").await;
    let caller = caller();
    for round in 0..3 {
        let paths: Vec<String> = (0..20).map(|call| format!("/{round}/{call}")).collect();
        let answers = futures_util::future::join_all(paths.iter().map(|path| text(&caller, &participant, path))).await;
        assert_eq!(answers, paths);
    }
    let opened = std::iter::from_fn(|| seen.try_recv().ok()).filter(|seen| *seen == Seen::Opened).count();
    assert_eq!(opened, 20);
}

#[tokio::test]
async fn a_participant_that_ends_the_connection_with_its_answer_gets_a_new_one() {
    let (participant, mut seen) = echoing("connection: close\r\n").await;
    let caller = caller();
    for path in ["/a", "/b"] {
        assert_eq!(text(&caller, &participant, path).await, path);
        assert_eq!(seen.recv().await, Some(Seen::Opened));
        assert_eq!(seen.recv().await, Some(Seen::Closed));
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_connection_along() {
    let (participant, mut seen) = echoing("").await;
    let caller = caller();
    assert_eq!(text(&caller, &participant, "/first").await, "/first");
    let mut silent = action(participant.url("/silent"));
    silent.timeout = Duration::from_millis(20);
    assert_eq!(caller.call(silent).await.outcome, BranchOutcome::Unknown);
    assert_eq!((seen.recv().await, seen.recv().await), (Some(Seen::Opened), Some(Seen::Closed)));
    assert_eq!(text(&caller, &participant, "/next").await, "/next");
    assert_eq!(seen.recv().await, Some(Seen::Opened));
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_a_while() {
    let (participant, mut seen) = echoing("").await;
    let caller = caller();
    assert_eq!(text(&caller, &participant, "/a").await, "/a");
    assert_eq!(seen.recv().await, Some(Seen::Opened));
    tokio::time::pause();
    assert_eq!(seen.recv().await, Some(Seen::Closed), "nobody has to call for it");
    tokio::time::resume();
    assert_eq!(text(&caller, &participant, "/b").await, "/b");
}

#[tokio::test]
async fn a_request_is_sent_once_however_the_connection_ends() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    // Answers the first request of each connection, and drops the connection at the second one without an answer.
    let participant = Participant::behaving(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            read_request(&mut stream).await;
            counted.fetch_add(1, Ordering::Relaxed);
            stream.write_all(response(200, "").as_bytes()).await.unwrap();
            if read_request(&mut stream).await.is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let caller = caller();
    assert_eq!(caller.call(action(participant.url("/a"))).await.outcome, BranchOutcome::Done);
    let reply = caller.call(action(participant.url("/a"))).await;
    assert_eq!(
        (reply.outcome, reply.text.as_str()),
        (BranchOutcome::Unknown, "the connection broke before the answer")
    );
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}
