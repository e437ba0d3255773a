//! Sagas.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Coordinator, Participant, saga, with};

fn waiting(body: Value) -> Value {
    with(body, "wait_result", true)
}

fn concurrent(body: Value, orders: Value) -> Value {
    with(body, "custom_data", json!({ "concurrent": true, "orders": orders }).to_string())
}

#[tokio::test]
async fn a_saga_whose_actions_succeed_ends_as_succeed() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("submit", saga(&participant, "g")).await;
    let shown = escrow.until_status("g", "succeed").await;
    assert_eq!(shown.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(shown.reason(), "");
    assert_eq!(participant.paths(), ["out", "in"]);
}

#[tokio::test]
async fn a_refused_step_and_those_before_it_are_compensated_in_reverse() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Failure);
    escrow.accepts("submit", saga(&participant, "g")).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "succeed", "succeed", "failed"]);
    assert!(shown.reason().starts_with(&format!("url:{} return failed: ", participant.url("in"))), "{shown:?}");
    assert!(shown.reason().contains("Insufficient balance"), "{shown:?}");
    assert_eq!(participant.paths(), ["out", "in", "in-revert", "out-revert"]);
}

#[tokio::test]
async fn an_empty_url_succeeds_without_a_call_and_so_does_a_saga_without_steps() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let body = json!({ "gid": "g", "trans_type": "saga", "payloads": ["a", "b"], "steps": [
        { "action": "", "compensate": "" }, { "action": participant.url("in"), "compensate": "" }] });
    escrow.accepts("submit", body.clone()).await;
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    participant.always("in", Answer::Failure);
    escrow.accepts("submit", with(body, "gid", "refused")).await;
    assert_eq!(escrow.until_status("refused", "failed").await.ops(), ["succeed", "succeed", "succeed", "failed"]);
    assert_eq!(participant.paths(), ["in", "in"]);
    escrow.accepts("submit", waiting(json!({ "gid": "empty", "trans_type": "saga" }))).await;
    assert_eq!(escrow.query("empty").await.status(), "succeed");
}

#[tokio::test]
async fn an_action_in_progress_is_asked_again_until_it_is_done() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Ongoing, Answer::Held]);
    escrow.accepts("submit", with(saga(&participant, "g"), "retry_interval", 1)).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!(shown.status(), "submitted");
    assert_eq!(shown.ops(), ["prepared"; 4]);
    participant.release("out");
    let shown = escrow.until_status("g", "succeed").await;
    assert_eq!(shown.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(participant.paths(), ["out", "out", "in"]);
}

#[tokio::test]
async fn a_compensation_that_fails_is_repeated_until_it_is_done() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Failure);
    participant.next("out-revert", &[Answer::Error, Answer::Held]);
    escrow.accepts("submit", with(saga(&participant, "g"), "retry_interval", 1)).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("aborting", vec!["prepared", "succeed", "succeed", "failed"]));
    participant.release("out-revert");
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "succeed", "succeed", "failed"]);
    assert_eq!(participant.paths(), ["out", "in", "in-revert", "out-revert", "out-revert"]);
}

#[tokio::test]
async fn a_submit_may_be_repeated_until_the_saga_has_ended() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("in", &[Answer::Ongoing, Answer::Ongoing]);
    let body = with(saga(&participant, "g"), "retry_interval", 1000);
    escrow.accepts("submit", body.clone()).await;
    escrow.until_waiting("g").await;
    // It is driven on at once, from where it stands.
    escrow.accepts("submit", body.clone()).await;
    participant.called("in", 2).await;
    escrow.until_waiting("g").await;
    escrow.accepts("submit", body.clone()).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["out", "in", "in", "in"]);
    assert_eq!(escrow.refuses("submit", body).await, "current status 'succeed', cannot sumbmit. FAILURE");
}

#[tokio::test]
async fn payloads_inside_the_steps_reach_the_branches_as_old_clients_send_them() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Failure);
    let body = json!({ "gid": "g", "trans_type": "saga", "steps": [
        { "action": participant.url("out"), "compensate": participant.url("out-revert"), "data": r#"{"n": 1}"# },
        { "action": participant.url("in"), "compensate": participant.url("in-revert"), "data": "two" }] });
    escrow.accepts("submit", body).await;
    escrow.until_status("g", "failed").await;
    let bodies: Vec<_> = participant.calls().into_iter().map(|call| call.body).collect();
    assert_eq!(bodies, [r#"{"n": 1}"#, "two", "two", r#"{"n": 1}"#]);
}

#[tokio::test]
async fn concurrent_actions_run_side_by_side_and_one_in_progress_holds_up_no_other() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Ongoing, Answer::Held]);
    let body = with(concurrent(saga(&participant, "g"), Value::Null), "retry_interval", 1);
    escrow.accepts("submit", body).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared", "prepared", "prepared", "succeed"]));
    participant.release("out");
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(participant.called("in", 1).await.len(), 1);
}

#[tokio::test]
async fn a_finished_action_is_shown_while_another_one_is_still_on_its_way() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Held);
    let body = with(concurrent(saga(&participant, "g"), Value::Null), "request_timeout", 60);
    escrow.accepts("submit", body).await;
    escrow.until("g", |shown| shown.ops() == ["prepared", "prepared", "prepared", "succeed"]).await;
    participant.release("out");
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["prepared", "succeed", "prepared", "succeed"]);
}

#[tokio::test]
async fn a_step_that_waits_for_a_refused_one_is_never_called_nor_compensated() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Failure);
    escrow.accepts("submit", concurrent(saga(&participant, "g"), json!({ "1": [0] }))).await;
    assert_eq!(escrow.until_status("g", "failed").await.ops(), ["succeed", "failed", "prepared", "prepared"]);
    assert_eq!(participant.paths(), ["out", "out-revert"]);
}

#[tokio::test]
async fn ordered_steps_are_compensated_against_their_order() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Failure);
    escrow.accepts("submit", concurrent(saga(&participant, "g"), json!({ "1": [0] }))).await;
    assert_eq!(escrow.until_status("g", "failed").await.ops(), ["succeed", "succeed", "succeed", "failed"]);
    assert_eq!(participant.paths(), ["out", "in", "in-revert", "out-revert"]);
}

#[tokio::test]
async fn a_retry_comes_after_the_interval_when_in_progress_and_after_twice_as_much_on_an_error() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for (answer, base) in [(Answer::Ongoing, 150), (Answer::Error, 300)] {
        participant.next("out", &[answer]);
        let gid = format!("g{base}");
        escrow.accepts("submit", with(saga(&participant, &gid), "retry_interval", 150)).await;
        let wait = escrow.until_waiting(&gid).await.between("update_time", "next_cron_time");
        // The interval is stretched at random, by at most 15 %.
        assert!((Duration::from_secs(base)..=Duration::from_secs(base * 115 / 100 + 1)).contains(&wait), "{wait:?}");
    }
}

#[tokio::test]
async fn a_saga_that_takes_too_long_compensates_what_may_have_run() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Ongoing);
    let body = with(with(saga(&participant, "g"), "timeout_to_fail", 2), "retry_interval", 100);
    escrow.accepts("submit", body).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "prepared", "prepared", "prepared"]);
    assert_eq!(shown.reason(), "Timeout after 2 seconds");
    assert!(shown.between("create_time", "rollback_time") >= Duration::from_secs(2), "{shown:?}");
    assert_eq!(participant.paths(), ["out", "out-revert"]);
}

#[tokio::test]
async fn a_saga_without_a_time_out_has_none() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Ongoing);
    escrow.accepts("submit", with(saga(&participant, "g"), "retry_interval", 1000)).await;
    let shown = escrow.until_waiting("g").await;
    assert!(shown.between("create_time", "next_cron_time") >= Duration::from_secs(1000), "{shown:?}");
}

#[tokio::test]
async fn a_caller_that_waits_gets_the_end_or_425_while_there_is_none() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("submit", waiting(saga(&participant, "done"))).await;
    assert_eq!(escrow.query("done").await.status(), "succeed");

    for answer in [Answer::Ongoing, Answer::Error] {
        participant.next("in", &[answer]);
        let gid = format!("{answer:?}");
        let reply = escrow.post("submit", &waiting(saga(&participant, &gid))).await;
        assert_eq!((reply.status, &reply.json()["dtm_result"]), (425, &json!("ONGOING")), "{reply:?}");
        assert_eq!(escrow.query(&gid).await.status(), "submitted");
    }

    participant.next("in", &[Answer::Failure]);
    let reply = escrow.post("submit", &waiting(saga(&participant, "refused"))).await;
    assert_eq!((reply.status, &reply.json()["dtm_result"]), (409, &json!("FAILURE")));
    assert!(reply.message().contains("Insufficient balance") && reply.message().ends_with(" FAILURE"), "{reply:?}");
    assert_eq!(escrow.query("refused").await.status(), "failed");
}

#[tokio::test]
async fn a_caller_that_waits_is_told_of_a_rollback_that_is_not_finished() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Failure);
    participant.always("out-revert", Answer::Error);
    let reply = escrow.post("submit", &waiting(saga(&participant, "g"))).await;
    assert_eq!(reply.status, 409);
    assert!(reply.message().contains("Insufficient balance"), "{reply:?}");
    assert_eq!(escrow.query("g").await.status(), "aborting");
}

#[tokio::test]
async fn a_call_may_take_as_long_as_its_transaction_says() {
    let escrow = Coordinator::with(&[("transactions.request_timeout_seconds", "1")]).await;
    let participant = Participant::start().await;
    participant.always("out", Answer::Held);
    escrow.accepts("submit", with(saga(&participant, "patient"), "request_timeout", 60)).await;
    escrow.accepts("submit", with(saga(&participant, "default"), "retry_interval", 1000)).await;
    // The default has passed, which is an unknown answer.
    assert_eq!(escrow.until_waiting("default").await.status(), "submitted");
    assert!(escrow.query("patient").await.transaction()["next_cron_time"].is_null());
    participant.release("out");
    escrow.until_status("patient", "succeed").await;
    let patient = participant.calls().into_iter().filter(|call| call.query.contains("gid=patient")).count();
    assert_eq!(patient, 2);
}

#[tokio::test]
async fn branch_headers_go_with_every_call_of_every_pass() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Ongoing]);
    participant.always("in", Answer::Failure);
    let body =
        with(saga(&participant, "g"), "branch_headers", json!({ "test_header": "yes", "Content-Type": "text/x" }));
    escrow.accepts("submit", with(body, "retry_interval", 1)).await;
    escrow.until_status("g", "failed").await;
    let calls = participant.calls();
    assert_eq!(participant.paths(), ["out", "out", "in", "in-revert", "out-revert"]);
    for call in calls {
        assert_eq!((call.header("test_header"), call.header("content-type")), ("yes", "text/x"), "{call:?}");
    }
}

#[tokio::test]
async fn errors_within_the_retry_limit_are_repeated_at_once() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Error; 3]);
    escrow.accepts("submit", waiting(with(saga(&participant, "g"), "retry_limit", 3))).await;
    assert_eq!(escrow.query("g").await.status(), "succeed");
    assert_eq!(participant.paths(), ["out", "out", "out", "out", "in"]);
}

#[tokio::test]
async fn errors_past_the_retry_limit_turn_the_saga_back() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Error);
    let reply = escrow.post("submit", &waiting(with(saga(&participant, "g"), "retry_limit", 1))).await;
    assert_eq!(reply.status, 409, "{reply:?}");
    let shown = escrow.query("g").await;
    assert_eq!((shown.status(), shown.ops()), ("failed", vec!["succeed", "succeed", "succeed", "prepared"]));
    assert_eq!(shown.reason(), "RetryCount is greater than RetryLimit, RetryLimit: 1");
    assert_eq!(participant.paths(), ["out", "in", "in", "in-revert", "out-revert"]);
}

#[tokio::test]
async fn in_progress_does_not_count_against_the_retry_limit() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Error, Answer::Ongoing, Answer::Success]);
    let body = with(with(saga(&participant, "g"), "retry_limit", 1), "retry_interval", 1);
    escrow.accepts("submit", body).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["out", "out", "out", "in"]);
}
