//! When things go on: orders to go on at once, and the alert.

use serde_json::{Value, json};

use crate::support::{Answer, Coordinator, Participant, global, msg, saga, with};

/// The reply to `resetCronTime`: how many were reset, and whether there are more.
async fn reset(escrow: &Coordinator, query: &str) -> (u64, bool) {
    let reply = escrow.get(&format!("/api/dtmsvr/resetCronTime?{query}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = reply.json();
    (reply["succeed_count"].as_u64().unwrap(), reply["has_remaining"].as_bool().unwrap())
}

#[tokio::test]
async fn transactions_that_wait_too_long_are_made_to_go_on_so_many_at_a_time() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Error);
    for number in 0..10 {
        escrow.accepts("submit", with(saga(&participant, &format!("far{number}")), "retry_interval", 500)).await;
    }
    escrow.accepts("submit", with(saga(&participant, "near"), "retry_interval", 30)).await;
    escrow.accepts("submit", with(saga(&participant, "nearer"), "retry_interval", 10)).await;
    for gid in (0..10).map(|number| format!("far{number}")).chain(["near".to_owned(), "nearer".to_owned()]) {
        escrow.until_waiting(&gid).await;
    }
    participant.always("out", Answer::Success);
    escrow.accepts("submit", saga(&participant, "done")).await;
    escrow.until_status("done", "succeed").await;

    // By default what waits for longer than 105 s.
    assert_eq!(reset(&escrow, "limit=9").await, (9, true));
    assert_eq!(reset(&escrow, "limit=10").await, (1, false));
    assert_eq!(reset(&escrow, "limit=10").await, (0, false));
    for number in 0..10 {
        escrow.until_status(&format!("far{number}"), "succeed").await;
    }
    assert_eq!(escrow.query("near").await.status(), "submitted");
    assert_eq!(reset(&escrow, "timeout=40").await, (1, false));
    escrow.until_status("near", "succeed").await;
    assert_eq!(escrow.query("nearer").await.status(), "submitted");
}

#[tokio::test]
async fn one_transaction_is_made_to_go_on_at_once() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Error]);
    escrow.accepts("submit", with(saga(&participant, "g"), "retry_interval", 1000)).await;
    escrow.until_waiting("g").await;
    escrow.accepts("resetNextCronTime", json!({ "gid": "g" })).await;
    escrow.until_status("g", "succeed").await;
    // There is nothing to go on with any more, which is no error.
    escrow.accepts("resetNextCronTime", json!({ "gid": "g" })).await;
    assert_eq!(participant.paths(), ["out", "out", "in"]);
    let unknown = escrow.post("resetNextCronTime", &json!({ "gid": "nobody" })).await;
    assert_eq!((unknown.status, unknown.message().as_str()), (500, "no TransGlobal with gid: nobody found"));
}

#[tokio::test]
async fn going_on_at_once_decides_nothing_and_asks_nobody_too_early() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", msg(&participant, "msg")).await;
    escrow.accepts("prepare", global("tcc", "tcc")).await;
    for gid in ["msg", "tcc"] {
        escrow.accepts("resetNextCronTime", json!({ "gid": gid })).await;
        assert_eq!(escrow.query(gid).await.status(), "prepared");
    }
    escrow.accepts("submit", msg(&participant, "msg")).await;
    escrow.until_status("msg", "succeed").await;
    assert_eq!(participant.paths(), ["out", "in"]);
}

#[tokio::test]
async fn the_third_error_in_a_row_is_told_to_the_web_hook_whatever_that_answers() {
    let (participant, hook) = (Participant::start().await, Participant::start().await);
    let escrow = Coordinator::with(&[("alert.web_hook", &hook.url("alert"))]).await;
    participant.always("out", Answer::Error);
    hook.always("alert", Answer::Error);
    let body = with(saga(&participant, "g"), "retry_interval", 1000);
    for count in 1..=4 {
        escrow.accepts("submit", body.clone()).await;
        participant.called("out", count).await;
        escrow.until_waiting("g").await;
    }
    let alerts = hook.called("alert", 2).await;
    assert_eq!(alerts.len(), 2);
    for (number, alert) in alerts.iter().enumerate() {
        let told: Value = serde_json::from_slice(&alert.body).unwrap();
        assert_eq!((&told["gid"], &told["status"]), (&json!("g"), &json!("submitted")), "{told}");
        assert_eq!(told["branch"], participant.url("out"), "{told}");
        assert_eq!(told["retry_count"], 3 + number, "{told}");
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{told}");
        assert_eq!((&alert.method, alert.header("content-type")), (&http::Method::POST, "application/json"));
    }
    participant.always("out", Answer::Success);
    escrow.accepts("submit", body).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(hook.called("alert", 2).await.len(), 2);
}
