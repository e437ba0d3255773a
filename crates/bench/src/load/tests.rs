use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::participant::Reply;

/// The null coordinator; it ends with the set.
async fn null() -> (SocketAddr, JoinSet<anyhow::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(crate::null::serve_on(listener));
    (address, serving)
}

fn load(target: SocketAddr, workload: Workload, pace: Pace) -> Load {
    let (warmup, length) = (Duration::from_millis(20), Duration::from_millis(100));
    Load { target, dialect: Dialect::Dtm, workload, pace, warmup, length }
}

async fn nothing(_: Edge) {}

#[tokio::test]
async fn every_workload_finishes_at_either_pace_with_all_its_calls_and_no_error() {
    let (target, _serving) = null().await;
    for workload in Workload::ALL {
        for pace in [Pace::Closed { clients: 4 }, Pace::Open { per_second: 200.0 }] {
            let (participants, called) = Participants::counting().await;
            let result = drive(&load(target, workload, pace), &participants, nothing).await.unwrap();
            assert_eq!((result.errors, result.first_error), (0, None), "{workload:?} {pace:?}");
            assert!(result.finished > 0, "{workload:?} {pace:?}");
            assert_eq!(result.latency.len(), result.finished);
            // Some transactions ended before or after the measured time, none remains half done.
            let calls = u64::try_from(workload.calls()).unwrap();
            let called = called.load(Relaxed);
            assert!(called >= result.finished * calls);
            assert_eq!(called % calls, 0, "{workload:?} {pace:?}");
        }
    }
}

#[tokio::test]
async fn the_load_goes_on_while_an_edge_runs_and_each_comes_once() {
    let (target, _serving) = null().await;
    let (participants, called) = Participants::counting().await;
    let load = load(target, Workload::Message, Pace::Closed { clients: 2 });
    let edges = Mutex::new(Vec::new());
    let result = drive(&load, &participants, async |edge| {
        edges.lock().unwrap().push((edge, Instant::now()));
        let before = called.load(Relaxed);
        until(|| called.load(Relaxed) >= before + 10).await;
    })
    .await
    .unwrap();
    let edges = edges.into_inner().unwrap();
    assert_eq!(edges.iter().map(|(edge, _)| *edge).collect::<Vec<_>>(), [Edge::Begin, Edge::End]);
    assert!(result.elapsed >= load.length);
    assert!(result.elapsed.abs_diff(edges[1].1 - edges[0].1) < Duration::from_millis(50));
}

/// Passes everything on to the target, but nothing until that many connections have come.
async fn gate(target: SocketAddr, connections: usize) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let opens = Arc::new(Barrier::new(connections));
        let mut passing = JoinSet::new();
        for number in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let opens = Arc::clone(&opens);
            passing.spawn(async move {
                if number < connections {
                    opens.wait().await;
                }
                let mut server = TcpStream::connect(target).await.unwrap();
                // It ends as either side does.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, serving)
}

/// An open loop whose measured time has begun.
fn open_loop(target: SocketAddr, participants: &Participants, in_flight_max: usize) -> (Arc<Initiator>, JoinSet<()>) {
    let load = load(target, Workload::Message, Pace::Open { per_second: 200.0 });
    let initiator = Arc::new(Initiator::new(load, participants.clone()));
    initiator.tally.begin();
    let arrivals = open::start(&initiator, 200.0, in_flight_max);
    (initiator, arrivals)
}

/// Fails if that takes absurdly long.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

#[tokio::test]
async fn in_an_open_loop_a_stall_shows_in_the_latency_of_all_that_were_due_meanwhile() {
    const STALLED: u64 = 20;
    let (null, _serving) = null().await;
    let (target, _gate) = gate(null, 20).await;
    let participants = Participants::start().await.unwrap();
    // One is due every 5 ms. The first 20 pass when the last of them has come, at least 95 ms after the first was due.
    let (initiator, arrivals) = open_loop(target, &participants, open::IN_FLIGHT_MAX);
    until(|| initiator.tally.result().finished >= STALLED).await;
    initiator.tally.end();
    initiator.stop();
    arrivals.join_all().await;
    let LoadResult { latency, errors, .. } = initiator.tally.result();
    assert_eq!(errors, 0);
    for number in 0..STALLED {
        let at_least_us = (5_000 * number).max(1);
        let longer = latency.count_between(at_least_us, latency.high());
        assert!(longer >= STALLED - number, "{longer} took {at_least_us} µs or longer");
    }
}

#[tokio::test]
async fn in_an_open_loop_arrivals_beyond_the_bound_are_errors_and_reach_nobody() {
    let (null, _serving) = null().await;
    let (target, gate) = gate(null, 5).await;
    let (participants, called) = Participants::counting().await;
    let (initiator, arrivals) = open_loop(target, &participants, 4);
    until(|| initiator.tally.result().errors >= 3).await;
    let first_error = initiator.tally.result().first_error;
    assert_eq!(first_error.as_deref(), Some("more than 4 transactions in flight"));
    initiator.tally.end();
    initiator.stop();
    // What is in flight fails at once, though the measured time is over.
    drop(gate);
    arrivals.join_all().await;
    assert!(initiator.tally.result().errors >= 7);
    assert_eq!(called.load(Relaxed), 0, "a fifth would have opened the gate");
}

#[tokio::test]
async fn a_target_that_nobody_listens_on_is_an_error_at_once() {
    let participants = Participants::start().await.unwrap();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = port.local_addr().unwrap();
    drop(port);
    let mut load = load(target, Workload::Saga, Pace::Closed { clients: 1 });
    load.length = Duration::from_secs(3600);
    let error = drive(&load, &participants, nothing).await.unwrap_err();
    assert!(error.to_string().contains(&target.to_string()), "{error}");
}

#[tokio::test]
async fn refusals_are_errors_and_the_first_is_shown_with_its_text() {
    let refusing = Participants::answering(|_| Reply::Broken).await.unwrap();
    let (participants, called) = Participants::counting().await;
    for pace in [Pace::Closed { clients: 2 }, Pace::Open { per_second: 200.0 }] {
        let load = load(refusing.address(), Workload::Tcc, pace);
        let result = drive(&load, &participants, nothing).await.unwrap();
        assert_eq!(result.finished, 0);
        assert!(result.errors > 0);
        let shown = r#"/api/dtmsvr/prepare: 500 {"dtm_result":"UNKNOWN"}"#;
        assert_eq!(result.first_error.as_deref(), Some(shown), "{pace:?}");
    }
    assert_eq!(called.load(Relaxed), 0);
}

#[tokio::test]
async fn a_transaction_whose_calls_do_not_come_is_not_finished() {
    // It answers every request, and calls nobody.
    let (forgetful, asked) = Participants::counting().await;
    let participants = Participants::start().await.unwrap();
    let load = load(forgetful.address(), Workload::Message, Pace::Closed { clients: 1 });
    let initiator = Initiator::new(load, participants.clone());
    initiator.tally.begin();
    // Half a second of the patience is left.
    let due = Instant::now().checked_sub(Duration::from_millis(19_500)).unwrap();
    assert!(!initiator.transact(&mut None, due).await);
    assert_eq!(asked.load(Relaxed), 1);
    let result = initiator.tally.result();
    assert_eq!((result.finished, result.errors), (0, 1));
    assert_eq!(result.first_error.as_deref(), Some("a transaction has not finished in 20 s"));
}
