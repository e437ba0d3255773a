use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use escrow_payments::contract::Topic;
use escrow_payments::foundation::coordinator::{Coordinator, TxnOptions};
use escrow_payments::foundation::db::{Database, DbName};
use escrow_payments::foundation::http::HttpClient;
use escrow_payments::foundation::outbox::{OutboxMessage, Relay, Route, WakeUp, enqueue};
use escrow_payments::ids::Gid;
use escrow_payments::time::{Clock, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{FakeCoordinator, PATIENCE, rows};

const OUTBOX: &str = "SELECT msg_id, status, attempts, sent_at FROM outbox ORDER BY seq";

/// An outbox, its relay, a coordinator, and a clock that the test moves (in seconds).
struct Stage {
    db: Database,
    relay: Relay,
    fake: FakeCoordinator,
    seconds: Arc<AtomicI64>,
    clock: Clock,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(dir.path(), DbName::PayOrder).await.unwrap();
        let fake = FakeCoordinator::start().await;
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = {
            let seconds = seconds.clone();
            Clock::from_fn(move || Timestamp::from_micros(seconds.load(Ordering::SeqCst) * 1_000_000))
        };
        let message = Route::Message { destinations: vec!["http://x/y".to_owned()], in_order: false };
        let saga = Route::Saga { steps: vec![("http://x/do".to_owned(), "http://x/undo".to_owned())] };
        let relay = Relay {
            db: db.clone(),
            coordinator: Coordinator::new(&fake.url, HttpClient::new(), TxnOptions::default()),
            routes: BTreeMap::from([(Topic::Voucher, message), (Topic::RefundSaga, saga)]),
            clock: clock.clone(),
            wake_up: WakeUp::default(),
        };
        Self { db, relay, fake, seconds, clock, dir }
    }

    async fn enqueue(&self, msg_id: &str, topic: Topic, key: &str) {
        let message = OutboxMessage::new(Gid::new(msg_id), topic, key, &json!({"n": 1})).unwrap();
        let mut tx = self.db.begin().await.unwrap();
        enqueue(&mut tx, self.clock.now(), &message).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn outbox(&self) -> Vec<String> {
        rows(self.dir.path(), DbName::PayOrder, OUTBOX).await
    }

    fn submitted(&self) -> Vec<String> {
        let gid = |(path, body): (String, serde_json::Value)| {
            path.ends_with("/submit").then(|| body["gid"].as_str().unwrap().to_owned())
        };
        self.fake.asked().into_iter().filter_map(gid).collect()
    }
}

#[tokio::test]
async fn a_row_becomes_a_message_under_its_own_id_and_is_marked() {
    let stage = Stage::open().await;
    stage.enqueue("m1", Topic::Voucher, "P1").await;
    stage.enqueue("m1", Topic::Voucher, "P1").await;
    assert_eq!(stage.relay.hand_over().await.unwrap(), 1);
    let asked = stage.fake.asked();
    let expected = json!({
        "gid": "m1", "trans_type": "msg", "business_key": "P1", "concurrent": true,
        "steps": [{"action": "http://x/y"}], "payloads": [r#"{"n":1}"#],
    });
    assert_eq!(asked, [("/api/dtmsvr/submit".to_owned(), expected)]);
    assert_eq!(stage.outbox().await, ["m1 SENT 1 0"]);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 0);
}

#[tokio::test]
async fn a_transaction_that_rolls_back_leaves_no_message() {
    let stage = Stage::open().await;
    let message = OutboxMessage::new(Gid::new("m1"), Topic::Voucher, "P1", &1).unwrap();
    let mut tx = stage.db.begin().await.unwrap();
    enqueue(&mut tx, stage.clock.now(), &message).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(stage.outbox().await, [""; 0]);
}

#[tokio::test]
async fn rows_of_one_key_go_in_order_and_others_do_not_wait_for_them() {
    let stage = Stage::open().await;
    for (msg_id, key) in [("m1", "P1"), ("m2", "P1"), ("m3", "P2")] {
        stage.enqueue(msg_id, Topic::Voucher, key).await;
    }
    assert_eq!(stage.relay.hand_over().await.unwrap(), 2);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 1);
    let mut first = stage.submitted();
    assert_eq!(first.pop().unwrap(), "m2");
    first.sort();
    assert_eq!(first, ["m1", "m3"]);
}

#[tokio::test]
async fn a_row_that_could_not_be_handed_over_stays_and_is_tried_again_after_a_pause() {
    let stage = Stage::open().await;
    stage.enqueue("m1", Topic::Voucher, "P1").await;
    stage.fake.will_answer(503, json!({"message": "starting"}));
    assert_eq!(stage.relay.hand_over().await.unwrap(), 0);
    assert_eq!(stage.outbox().await, ["m1 NEW 1 -"]);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 0);
    assert_eq!(stage.submitted().len(), 1, "not before the pause is over");
    stage.pass(1);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 1);
    assert_eq!(stage.outbox().await, ["m1 SENT 2 1000000"]);
}

#[tokio::test]
async fn a_row_whose_relay_died_is_taken_again_when_the_lease_ends() {
    let stage = Stage::open().await;
    stage.enqueue("m1", Topic::Voucher, "P1").await;
    // What a relay leaves behind that dies between taking and marking.
    let mut tx = stage.db.begin().await.unwrap();
    sqlx::raw_sql("UPDATE outbox SET attempts = 1, next_at = 10000000").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    stage.pass(9);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 0);
    stage.pass(1);
    assert_eq!(stage.relay.hand_over().await.unwrap(), 1);
    assert_eq!(stage.outbox().await, ["m1 SENT 2 10000000"]);
}

#[tokio::test]
async fn refused_for_having_ended_counts_as_handed_over_and_refused_for_being_discarded_does_not() {
    for (topic, status, sent) in [
        (Topic::Voucher, "submitted", true),
        (Topic::Voucher, "succeed", true),
        (Topic::Voucher, "failed", false),
        (Topic::Voucher, "prepared", false),
        (Topic::RefundSaga, "succeed", true),
        (Topic::RefundSaga, "failed", true),
    ] {
        let stage = Stage::open().await;
        stage.enqueue("m1", topic, "P1").await;
        stage.fake.will_answer(409, json!({"dtm_result": "FAILURE", "message": "decided FAILURE"}));
        stage.fake.shows(status);
        assert_eq!(stage.relay.hand_over().await.unwrap(), usize::from(sent), "{topic:?} {status}");
    }
}

#[tokio::test]
async fn a_saga_row_starts_a_saga_whose_steps_all_carry_it() {
    let stage = Stage::open().await;
    stage.enqueue("s1", Topic::RefundSaga, "P1").await;
    assert_eq!(stage.relay.hand_over().await.unwrap(), 1);
    let expected = json!({
        "gid": "s1", "trans_type": "saga", "business_key": "P1",
        "steps": [{"action": "http://x/do", "compensate": "http://x/undo"}], "payloads": [r#"{"n":1}"#],
    });
    assert_eq!(stage.fake.asked(), [("/api/dtmsvr/submit".to_owned(), expected)]);
}

#[tokio::test]
async fn a_topic_that_goes_nowhere_is_kept() {
    let stage = Stage::open().await;
    stage.enqueue("m1", Topic::Notice, "P1").await;
    assert_eq!(stage.relay.hand_over().await.unwrap(), 0);
    assert_eq!(stage.outbox().await, ["m1 NEW 1 -"]);
}

#[tokio::test]
async fn a_woken_relay_hands_everything_over_and_stops_when_told() {
    let stage = Stage::open().await;
    let (stop, wake_up) = (CancellationToken::new(), stage.relay.wake_up.clone());
    for n in 0..200 {
        stage.enqueue(&format!("m{n}"), Topic::Voucher, &format!("P{}", n % 50)).await;
    }
    let Stage { relay, fake, .. } = stage;
    let running = tokio::spawn(relay.run(stop.clone()));
    wake_up.wake();
    tokio::time::timeout(PATIENCE, async {
        while fake.asked().len() < 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(fake.asked().len(), 200, "nothing twice");
}
