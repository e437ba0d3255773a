//! A TCC whose first participant is down when it is decided. First is who is called first: without `concurrent` DTM's order
//! holds, from the branch that was registered last to the one that was registered first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::client::{Connection, HEALTHY, PATIENCE, query};
use crate::coordinator::Coordinator;
use crate::participant::{Participant, read_request};

/// Three participants, one URL each, of which the first may be down: it then takes a request and closes the connection.
struct Participants {
    listener: Participant,
    first_is_up: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Participants {
    async fn start() -> Self {
        let (first_is_up, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_up, seen) = (Arc::clone(&first_is_up), Arc::clone(&calls));
        let listener = Participant::start(move |mut stream| {
            let (is_up, seen) = (Arc::clone(&is_up), Arc::clone(&seen));
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let path = request.split(['/', '?']).nth(1).unwrap().to_owned();
                    let down = path == "first" && !is_up.load(Ordering::Relaxed);
                    seen.lock().unwrap().push(path);
                    if down || stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self { listener, first_is_up, calls }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    async fn wait_until(&self, enough: impl Fn(&[String]) -> bool) {
        let waited = async {
            while !enough(&self.calls()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("only {:?}", self.calls()));
    }

    /// Prepares a TCC with all three and submits it.
    async fn submit(&self, coordinator: &Coordinator, concurrent: bool) {
        let branch = |id: &str, path: &str| {
            let (confirm, cancel) = (self.listener.url(path), self.listener.url("cancel"));
            json!({"branch_id": id, "confirm": confirm, "cancel": cancel, "data": "{}"})
        };
        let body = json!({"gid": "g", "trans_type": "tcc", "retry_interval": 1, "concurrent": concurrent,
            "branches": [branch("01", "third"), branch("02", "second"), branch("03", "first")]});
        let mut connection = Connection::open(HEALTHY, coordinator.address).await;
        assert_eq!(connection.post("/api/dtmsvr/prepare", body.to_string()).await.status, 200);
        let body = json!({"gid": "g", "trans_type": "tcc"}).to_string();
        assert_eq!(connection.post("/api/dtmsvr/submit", body).await.status, 200);
    }

    async fn first_comes_up_and_all_ends(&self, coordinator: &Coordinator) {
        self.first_is_up.store(true, Ordering::Relaxed);
        let ended = async {
            while query(coordinator.address, "g").await["status"] != "succeed" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap();
    }
}

fn count(calls: &[String], path: &str) -> usize {
    calls.iter().filter(|call| *call == path).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_concurrent_tcc_confirms_the_others_at_once_when_the_first_participant_is_down() {
    let coordinator = Coordinator::start(&[]);
    let participants = Participants::start().await;
    participants.submit(&coordinator, true).await;
    participants.wait_until(|calls| count(calls, "second") == 1 && count(calls, "third") == 1).await;
    assert_eq!(count(&participants.calls(), "first"), 1, "they did not wait for a second attempt of the first");
    participants.first_comes_up_and_all_ends(&coordinator).await;
    let calls = participants.calls();
    assert_eq!([count(&calls, "second"), count(&calls, "third"), count(&calls, "cancel")], [1, 1, 0]);
    coordinator.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_concurrent_the_first_participant_that_is_down_holds_up_the_others() {
    let coordinator = Coordinator::start(&[]);
    let participants = Participants::start().await;
    participants.submit(&coordinator, false).await;
    participants.wait_until(|calls| calls.len() >= 3).await;
    assert!(participants.calls().iter().all(|call| call == "first"), "{:?}", participants.calls());
    participants.first_comes_up_and_all_ends(&coordinator).await;
    let calls = participants.calls();
    assert_eq!(calls[calls.len() - 3..], ["first", "second", "third"]);
    assert_eq!(count(&calls, "cancel"), 0);
    coordinator.stop();
}
