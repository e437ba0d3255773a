//! A process that may have few files and connections open.

use serde_json::json;

use crate::client::{Connection, HOSTILE};
use crate::coordinator::Coordinator;
use crate::healthy::Healthy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_take_the_descriptors_that_calls_and_the_store_need() {
    let coordinator = Coordinator::with_descriptors(128, &[]);
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(Connection::open(HOSTILE, coordinator.address).await);
    }
    let healthy = Healthy::start(coordinator.address).await;
    // Half of 128 for all clients, half of that for one address: the first 32 are served.
    let body = |number: usize| json!({"gid": format!("g{number}"), "trans_type": "tcc"}).to_string();
    for (number, connection) in held.iter_mut().enumerate().take(32) {
        assert_eq!(connection.post("/api/dtmsvr/prepare", body(number)).await.status, 200, "connection {number}");
    }
    for connection in &mut held[32..] {
        let refusal = connection.reply().await.map(|reply| reply.status);
        assert!(matches!(refusal, None | Some(429)), "{refusal:?}");
    }
    println!("300 connections, 128 descriptors: {:?}", healthy.stop().await);
    let log = coordinator.stop();
    let told: Vec<_> = log.iter().filter(|event| event["level"] == "WARN").map(|event| &event["fields"]).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["connections_max"], 64);
}
