use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use bytes::Bytes;
use escrow_payments::barrier::BarrierOp;
use escrow_payments::foundation::faults::{FaultCounts, FaultRates, Faults};
use escrow_payments::foundation::http::{BODY_BYTES_MAX, CallError, HttpClient, Server, bind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use crate::support::{PATIENCE, branch};

async fn serve(router: Router, rates: FaultRates) -> (Server, Faults) {
    let faults = Faults::new(1, rates);
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    (bound.serve("test", router, faults.clone()), faults)
}

/// A server whose one route counts how often it ran, called once as a Try at these fault rates.
async fn try_once(rates: FaultRates, op: BarrierOp) -> (Result<u16, CallError>, u32, FaultCounts) {
    let ran = Arc::new(AtomicU32::new(0));
    let count = ran.clone();
    let route = post(move || async move {
        count.fetch_add(1, Ordering::SeqCst);
        "done"
    });
    let (server, faults) = serve(Router::new().route("/work", route), rates).await;
    let url = branch("tcc", "g1", "02", op).url(&format!("http://{}/work", server.addr()));
    let answer = HttpClient::new().post_json(&url, "payload", PATIENCE).await;
    server.stop().await;
    (answer.map(|reply| reply.status.as_u16()), ran.load(Ordering::SeqCst), faults.counts())
}

#[tokio::test]
async fn a_lost_request_is_not_processed_and_a_lost_reply_is() {
    let (answer, ran, counts) = try_once(FaultRates { request_lost: 1000, ..Default::default() }, BarrierOp::Try).await;
    assert!(matches!(answer, Err(CallError::Transport { .. })), "{answer:?}");
    assert_eq!((ran, counts.request_lost >= 1), (0, true));

    let (answer, ran, counts) = try_once(FaultRates { reply_lost: 1000, ..Default::default() }, BarrierOp::Try).await;
    assert!(matches!(answer, Err(CallError::Transport { .. })), "{answer:?}");
    assert_eq!((ran, counts.reply_lost), (1, 1));
}

#[tokio::test]
async fn only_a_try_is_refused_and_then_not_processed() {
    let rates = FaultRates { try_refused: 1000, ..Default::default() };
    let (answer, ran, counts) = try_once(rates, BarrierOp::Try).await;
    assert_eq!((answer.unwrap(), ran, counts.try_refused), (409, 0, 1));
    let (answer, ran, counts) = try_once(rates, BarrierOp::Confirm).await;
    assert_eq!((answer.unwrap(), ran, counts.try_refused), (200, 1, 0));
}

#[tokio::test]
async fn a_slow_call_and_a_late_try_are_processed_after_their_delay() {
    let slow = FaultRates { slow: 1000, slow_ms_max: 1, ..Default::default() };
    let late = FaultRates { try_late: 1000, try_late_ms: 20, ..Default::default() };
    for rates in [slow, late] {
        let (answer, ran, counts) = try_once(rates, BarrierOp::Try).await;
        assert_eq!((answer.unwrap(), ran, counts.total()), (200, 1, 1));
    }
}

#[tokio::test]
async fn work_that_has_begun_is_finished_though_its_caller_has_hung_up() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (finished, at_the_end) = oneshot::channel();
    let finished = Arc::new(std::sync::Mutex::new(Some(finished)));
    let route = {
        let (begun, finish) = (begun.clone(), finish.clone());
        post(move || async move {
            begun.notify_one();
            finish.notified().await;
            finished.lock().unwrap().take().unwrap().send(()).unwrap();
        })
    };
    let router = Router::new().route("/work", route).route("/ping", get(|| async { "pong" }));
    let (server, _) = serve(router, FaultRates::default()).await;

    let mut caller = TcpStream::connect(server.addr()).await.unwrap();
    caller.write_all(b"POST /work HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    begun.notified().await;
    drop(caller);
    // The server has time to notice: without care it would drop the work now.
    for _ in 0..20 {
        let ping = format!("http://{}/ping", server.addr());
        HttpClient::new().get(&ping, PATIENCE).await.unwrap();
    }
    finish.notify_one();
    tokio::time::timeout(PATIENCE, at_the_end).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopping_server_waits_for_work_that_has_begun() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let route = {
        let (begun, finish) = (begun.clone(), finish.clone());
        post(move || async move {
            begun.notify_one();
            finish.notified().await;
        })
    };
    let (server, _) = serve(Router::new().route("/work", route), FaultRates::default()).await;
    let url = format!("http://{}/work", server.addr());
    let call = tokio::spawn(async move { HttpClient::new().post_json(&url, "", PATIENCE).await });
    begun.notified().await;
    let stop = tokio::spawn(server.stop());
    tokio::task::yield_now().await;
    assert!(!stop.is_finished());
    finish.notify_one();
    assert_eq!(call.await.unwrap().unwrap().status, 200);
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
}

#[tokio::test]
async fn bodies_are_bounded_on_both_sides() {
    let too_much = || vec![b'x'; BODY_BYTES_MAX + 1];
    let router = Router::new().route("/in", post(|| async {})).route("/out", get(move || async move { too_much() }));
    let (server, _) = serve(router, FaultRates::default()).await;
    let client = HttpClient::new();
    let url = |path| format!("http://{}{path}", server.addr());
    let body = Bytes::from(too_much());
    let reply = client.post(&url("/in"), Default::default(), body, PATIENCE).await.unwrap();
    assert_eq!(reply.status, 413);
    let reply = client.get(&url("/out"), PATIENCE).await;
    assert!(matches!(reply, Err(CallError::BadBody { .. })), "{reply:?}");
}

#[tokio::test]
async fn redirects_are_answers_and_silence_is_a_timeout() {
    let router = Router::new()
        .route("/moved", get(|| async { Redirect::temporary("/elsewhere") }))
        .route("/silent", get(std::future::pending::<()>));
    let (server, _) = serve(router, FaultRates::default()).await;
    let client = HttpClient::new();
    let url = |path| format!("http://{}{path}", server.addr());
    assert_eq!(client.get(&url("/moved"), PATIENCE).await.unwrap().status, 307);
    let silent = client.get(&url("/silent"), Duration::from_millis(20)).await;
    assert!(matches!(silent, Err(CallError::Timeout { .. })), "{silent:?}");
}

#[tokio::test]
async fn a_client_on_an_unreliable_way_loses_requests_and_replies() {
    for (rates, arrives) in [
        (FaultRates { request_lost: 1000, ..Default::default() }, 0),
        (FaultRates { reply_lost: 1000, ..Default::default() }, 1),
    ] {
        let ran = Arc::new(AtomicU32::new(0));
        let count = ran.clone();
        let route = post(move || async move {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let (server, _) = serve(Router::new().route("/submit", route), FaultRates::default()).await;
        let client = HttpClient::new().with_faults(Faults::new(1, rates), "order");
        let url = format!("http://{}/submit", server.addr());
        let reply = client.post_json(&url, &serde_json::json!({"gid": "g1"}), PATIENCE).await;
        assert!(matches!(reply, Err(CallError::Injected { .. })), "{reply:?}");
        assert_eq!(ran.load(Ordering::SeqCst), arrives);
    }
}
