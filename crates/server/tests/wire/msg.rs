//! Two-phase messages.

use std::time::{Duration, Instant};

use crate::support::{Answer, Coordinator, Participant, msg, with};
use http::Method;
use serde_json::json;

/// What the clocks of coordinator and test may be apart.
const CLOCKS_APART: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_submitted_message_is_delivered_in_order() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("submit", msg(&participant, "g")).await;
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["succeed", "succeed"]);
    assert_eq!(participant.paths(), ["out", "in"]);
}

#[tokio::test]
async fn a_concurrent_message_is_delivered_to_all_at_once() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Held);
    let body = with(with(msg(&participant, "g"), "concurrent", true), "request_timeout", 60);
    escrow.accepts("submit", body).await;
    escrow.until("g", |shown| shown.ops() == ["prepared", "succeed"]).await;
    participant.release("out");
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["succeed", "succeed"]);
}

#[tokio::test]
async fn a_subscriber_in_trouble_holds_up_those_after_it_and_never_turns_the_message_back() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Failure, Answer::Held]);
    escrow.accepts("submit", with(msg(&participant, "g"), "retry_interval", 1)).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared", "prepared"]));
    participant.release("out");
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["out", "out", "in"]);
}

#[tokio::test]
async fn an_initiator_that_vanished_is_asked_until_it_decides_and_then_delivery_is_repeated() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("query", &[Answer::Ongoing, Answer::Held]);
    participant.next("out", &[Answer::Ongoing, Answer::Held]);
    let body = with(with(msg(&participant, "g"), "timeout_to_fail", 1), "retry_interval", 1);
    escrow.accepts("prepare", body).await;
    let asked = participant.called("query", 2).await;
    assert!(asked[1].at.duration_since(asked[0].at) + CLOCKS_APART >= Duration::from_secs(1));
    assert_eq!(escrow.query("g").await.status(), "prepared");
    participant.release("query");
    participant.called("out", 2).await;
    let shown = escrow.query("g").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared", "prepared"]));
    participant.release("out");
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["succeed", "succeed"]);
    assert_eq!(participant.paths(), ["query", "query", "out", "out", "in"]);
    assert_eq!((&asked[0].method, asked[0].query.as_str()), (&Method::GET, "branch_id=00&gid=g&op=msg&trans_type=msg"));
}

#[tokio::test]
async fn a_message_whose_local_transaction_did_not_commit_is_delivered_to_nobody() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("query", Answer::Failure);
    escrow.accepts("prepare", with(msg(&participant, "g"), "timeout_to_fail", 1)).await;
    assert_eq!(escrow.until_status("g", "failed").await.ops(), ["prepared", "prepared"]);
    assert_eq!(participant.paths(), ["query"]);
}

#[tokio::test]
async fn the_check_back_waits_35_seconds_or_as_long_as_the_message_says() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", msg(&participant, "default")).await;
    escrow.accepts("prepare", with(msg(&participant, "custom"), "timeout_to_fail", 120)).await;
    for (gid, seconds) in [("default", 35), ("custom", 120)] {
        let shown = escrow.query(gid).await;
        assert_eq!(shown.between("create_time", "next_cron_time"), Duration::from_secs(seconds), "{gid}");
    }
    let begun = Instant::now();
    escrow.accepts("prepare", with(msg(&participant, "short"), "timeout_to_fail", 1)).await;
    let asked = participant.called("query", 1).await[0].at;
    assert!(asked.duration_since(begun) + CLOCKS_APART >= Duration::from_secs(1));
    escrow.until_status("short", "succeed").await;
    assert_eq!(participant.paths(), ["query", "out", "in"]);
}

#[tokio::test]
async fn a_prepare_may_be_repeated_until_the_submit_and_not_after_it() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for route in ["prepare", "prepare", "submit"] {
        escrow.accepts(route, msg(&participant, "g")).await;
    }
    escrow.until_status("g", "succeed").await;
    let late = escrow.refuses("prepare", msg(&participant, "g")).await;
    assert_eq!(late, "current status 'succeed', cannot prepare. FAILURE");
    assert_eq!(participant.paths(), ["out", "in"]);
}

#[tokio::test]
async fn a_delayed_message_leaves_after_its_delay_and_not_before() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("submit", with(msg(&participant, "later"), "custom_data", r#"{"delay":10}"#)).await;
    let shown = escrow.until_waiting("later").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared", "prepared"]));
    assert_eq!(shown.between("create_time", "next_cron_time"), Duration::from_secs(10));
    // Who asks again, or asks to go on at once, does not cut it short.
    escrow.accepts("submit", with(msg(&participant, "later"), "custom_data", r#"{"delay":10}"#)).await;
    escrow.accepts("resetNextCronTime", json!({ "gid": "later" })).await;

    let begun = Instant::now();
    escrow.accepts("prepare", msg(&participant, "soon")).await;
    // Clients send the delay with the submit only.
    escrow.accepts("submit", with(msg(&participant, "soon"), "custom_data", r#"{"delay":1}"#)).await;
    escrow.until_status("soon", "succeed").await;
    let calls = participant.calls();
    assert!(calls[0].at.duration_since(begun) + CLOCKS_APART >= Duration::from_secs(1));
    assert!(calls.iter().all(|call| call.query.contains("gid=soon")), "{:?}", participant.paths());
}

#[tokio::test]
async fn a_local_transaction_that_failed_is_an_abort_and_nobody_hears_of_it() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", msg(&participant, "g")).await;
    escrow.accepts("abort", msg(&participant, "g")).await;
    assert_eq!(escrow.query("g").await.status(), "failed");
    let late = escrow.refuses("submit", msg(&participant, "g")).await;
    assert_eq!(late, "current status 'failed', cannot sumbmit. FAILURE");
    assert!(participant.calls().is_empty());
}

#[tokio::test]
async fn a_submit_after_the_check_back_finds_what_the_check_back_decided() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // The local transaction was slower than the question, and can no longer commit.
    participant.next("query", &[Answer::Failure]);
    escrow.accepts("prepare", with(msg(&participant, "slow"), "timeout_to_fail", 1)).await;
    escrow.until_status("slow", "failed").await;
    escrow.refuses("submit", msg(&participant, "slow")).await;
    assert_eq!(participant.paths(), ["query"]);

    // The local transaction committed, and the submit comes while what it commands is on its way.
    participant.always("out", Answer::Held);
    let body = with(with(msg(&participant, "lost"), "timeout_to_fail", 1), "request_timeout", 60);
    escrow.accepts("prepare", body.clone()).await;
    participant.called("out", 1).await;
    escrow.accepts("submit", body).await;
    participant.release("out");
    escrow.until_status("lost", "succeed").await;
    assert_eq!(participant.paths(), ["query", "query", "out", "in"]);
}

#[tokio::test]
async fn an_abort_while_the_check_back_is_on_its_way_decides_and_the_answer_no_longer_counts() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("query", Answer::Held);
    let body = with(with(msg(&participant, "g"), "timeout_to_fail", 1), "request_timeout", 60);
    escrow.accepts("prepare", body.clone()).await;
    participant.called("query", 1).await;
    escrow.accepts("abort", body.clone()).await;
    assert_eq!(escrow.query("g").await.status(), "failed");
    participant.release("query");
    escrow.refuses("submit", body).await;
    assert_eq!(escrow.query("g").await.ops(), ["prepared", "prepared"]);
    assert_eq!(participant.paths(), ["query"]);
}

#[tokio::test]
async fn a_prepare_that_could_never_be_checked_back_is_refused() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let message = escrow.refuses("prepare", with(msg(&participant, "g"), "query_prepared", "")).await;
    assert!(message.contains("query_prepared"), "{message}");
    assert!(escrow.query("g").await.transaction().is_null());
}
