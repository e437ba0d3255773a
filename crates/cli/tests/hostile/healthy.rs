//! Clients that mean well, at work while others do not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::{Connection, HEALTHY};
use crate::participant::Participant;

/// Requests that go over one connection before the client opens the next.
const REQUESTS_PER_CONNECTION: usize = 8;

/// A client that submits one saga after the other and waits for each result. All of them have to succeed.
pub(crate) struct Healthy {
    stopped: Arc<AtomicBool>,
    client: JoinHandle<Served>,
    participant: Participant,
}

/// What a healthy client saw.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) sagas: usize,
    pub(crate) slowest: Duration,
}

impl Healthy {
    pub(crate) async fn start(coordinator: SocketAddr) -> Self {
        let participant = Participant::willing().await;
        let step = json!({"action": participant.url("do"), "compensate": participant.url("undo")});
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let client = tokio::spawn(async move {
            let mut served = Served { sagas: 0, slowest: Duration::ZERO };
            while !until.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let mut connection = Connection::open(HEALTHY, coordinator).await;
                for _ in 0..REQUESTS_PER_CONNECTION {
                    let body = json!({"gid": format!("healthy-{}", served.sagas), "trans_type": "saga",
                        "wait_result": true, "steps": [step, step], "payloads": ["{}", "{}"]});
                    let reply = connection.post("/api/dtmsvr/submit", body.to_string()).await;
                    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"dtm_result":"SUCCESS"}"#));
                    served.sagas += 1;
                }
                served.slowest = served.slowest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await; // A client, not a load test.
            }
            served
        });
        Self { stopped, client, participant }
    }

    /// Ends the client; panics if any of its requests did not succeed.
    pub(crate) async fn stop(self) -> Served {
        self.stopped.store(true, Ordering::Relaxed);
        let served = self.client.await.unwrap();
        assert!(served.sagas > 0 && self.participant.connections() > 0);
        served
    }
}
