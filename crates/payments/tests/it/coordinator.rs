use std::time::Duration;

use escrow_payments::foundation::coordinator::{
    Coordinator, CoordinatorError, Message, Saga, SagaStep, Tcc, TccBranch, TxnOptions, TxnStatus, ask_again,
};
use escrow_payments::foundation::http::HttpClient;
use escrow_payments::ids::Gid;
use serde_json::{Value, json};

use crate::support::FakeCoordinator;

fn client(url: &str) -> Coordinator {
    let options = TxnOptions { retry_interval_s: Some(1), timeout_to_fail_s: Some(3), request_timeout_s: Some(2) };
    Coordinator::new(url, HttpClient::new(), options)
}

fn branch() -> TccBranch {
    TccBranch {
        branch_id: "02".to_owned(),
        confirm: "http://funds/confirm".to_owned(),
        cancel: "http://funds/cancel".to_owned(),
        data: "{}".to_owned(),
    }
}

fn message() -> Message {
    Message {
        gid: Gid::new("m1"),
        business_key: "P1".to_owned(),
        destinations: vec!["http://a/x".to_owned(), "http://b/y".to_owned()],
        in_order: false,
        payload: r#"{"n":1}"#.to_owned(),
        query_prepared: Some("http://order/check".to_owned()),
    }
}

/// One call's path after the API's prefix, and its body.
fn only_call(fake: &FakeCoordinator) -> (String, Value) {
    let asked = fake.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (path, body) = asked.into_iter().next().unwrap();
    (path.strip_prefix("/api/dtmsvr/").unwrap().to_owned(), body)
}

#[tokio::test]
async fn a_tcc_is_prepared_with_all_its_branches_and_a_concurrent_phase_two() {
    let fake = FakeCoordinator::start().await;
    let tcc = Tcc { gid: Gid::new("g1"), business_key: "P1".to_owned(), branches: vec![branch()] };
    client(&fake.url).prepare_tcc(&tcc).await.unwrap();
    let expected = json!({
        "gid": "g1", "trans_type": "tcc", "business_key": "P1", "concurrent": true,
        "branches": [{"branch_id": "02", "confirm": "http://funds/confirm", "cancel": "http://funds/cancel", "data": "{}"}],
        "retry_interval": 1, "timeout_to_fail": 3, "request_timeout": 2,
    });
    assert_eq!(only_call(&fake), ("prepare".to_owned(), expected));
}

#[tokio::test]
async fn a_saga_has_no_timeout_and_a_payload_for_each_step() {
    let fake = FakeCoordinator::start().await;
    let step = |action: &str, compensate: &str, payload: &str| SagaStep {
        action: action.to_owned(),
        compensate: compensate.to_owned(),
        payload: payload.to_owned(),
    };
    let steps = vec![step("http://a", "http://b", "{}"), step("http://c", "", "[]")];
    let saga = Saga { gid: Gid::new("s1"), business_key: "R1".to_owned(), steps };
    client(&fake.url).submit_saga(&saga).await.unwrap();
    let expected = json!({
        "gid": "s1", "trans_type": "saga", "business_key": "R1",
        "steps": [{"action": "http://a", "compensate": "http://b"}, {"action": "http://c", "compensate": ""}],
        "payloads": ["{}", "[]"], "retry_interval": 1, "request_timeout": 2,
    });
    assert_eq!(only_call(&fake), ("submit".to_owned(), expected));
}

#[tokio::test]
async fn a_message_carries_its_payload_to_every_destination() {
    let fake = FakeCoordinator::start().await;
    client(&fake.url).prepare_message(&message()).await.unwrap();
    let expected = json!({
        "gid": "m1", "trans_type": "msg", "business_key": "P1", "concurrent": true,
        "steps": [{"action": "http://a/x"}, {"action": "http://b/y"}], "payloads": [r#"{"n":1}"#, r#"{"n":1}"#],
        "query_prepared": "http://order/check", "retry_interval": 1, "timeout_to_fail": 3, "request_timeout": 2,
    });
    assert_eq!(only_call(&fake), ("prepare".to_owned(), expected));
}

#[tokio::test]
async fn answers_tell_refused_in_progress_and_unknown_apart() {
    let fake = FakeCoordinator::start().await;
    let (client, gid) = (client(&fake.url), Gid::new("g1"));
    fake.will_answer(409, json!({"dtm_result": "FAILURE", "message": "aborted FAILURE"}));
    let refused = client.submit_tcc(&gid).await;
    assert!(matches!(refused, Err(CoordinatorError::Refused { message, .. }) if message == "aborted FAILURE"));
    fake.will_answer(425, json!({"dtm_result": "ONGOING", "message": ""}));
    assert!(matches!(client.submit_tcc(&gid).await, Err(CoordinatorError::InProgress { .. })));
    for status in [400, 404, 429, 500, 503] {
        fake.will_answer(status, json!({"message": "no"}));
        assert!(matches!(client.submit_tcc(&gid).await, Err(CoordinatorError::Unknown { .. })), "{status}");
    }
    client.submit_tcc(&gid).await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_is_away_is_unknown() {
    let answer = client("http://127.0.0.1:9").abort_tcc(&Gid::new("g1"), "test").await;
    assert!(matches!(answer, Err(CoordinatorError::Unknown { .. })), "{answer:?}");
}

#[tokio::test]
async fn unknown_answers_are_asked_for_again_within_bounds() {
    let fake = FakeCoordinator::start().await;
    let (client, gid, pause) = (client(&fake.url), Gid::new("g1"), Duration::from_millis(1));
    let away = json!({"message": "starting"});
    for _ in 0..2 {
        fake.will_answer(503, away.clone());
    }
    ask_again(3, pause, || client.submit_tcc(&gid)).await.unwrap();
    assert_eq!(fake.asked().len(), 3);
    for _ in 0..3 {
        fake.will_answer(503, away.clone());
    }
    let answer = ask_again(3, pause, || client.submit_tcc(&gid)).await;
    assert!(matches!(answer, Err(CoordinatorError::Unknown { .. })));
    fake.will_answer(409, json!({"message": "no"}));
    let answer = ask_again(3, pause, || client.submit_tcc(&gid)).await;
    assert!(matches!(answer, Err(CoordinatorError::Refused { .. })), "a refusal is not asked for again");
}

#[tokio::test]
async fn a_query_shows_the_status_or_that_nobody_knows_the_gid() {
    let fake = FakeCoordinator::start().await;
    let (client, gid) = (client(&fake.url), Gid::new("a & b"));
    assert_eq!(client.query(&gid).await.unwrap(), None);
    for (text, status) in
        [("prepared", TxnStatus::Prepared), ("succeed", TxnStatus::Succeed), ("failed", TxnStatus::Failed)]
    {
        fake.shows(text);
        assert_eq!(client.query(&gid).await.unwrap(), Some(status));
    }
    assert_eq!(fake.asked()[0].0, "/api/dtmsvr/query?gid=a+%26+b");
    fake.shows("elsewhere");
    assert!(matches!(client.query(&gid).await, Err(CoordinatorError::BadAnswer { .. })));
}

#[tokio::test]
async fn a_fence_begins_then_aborts_whatever_the_coordinator_says_to_either() {
    let fake = FakeCoordinator::start().await;
    fake.will_answer(409, json!({"message": "decided"}));
    fake.will_answer(409, json!({"message": "decided"}));
    fake.shows("failed");
    let tcc = Tcc { gid: Gid::new("g1"), business_key: "P1".to_owned(), branches: vec![branch()] };
    client(&fake.url).fence_tcc(&tcc).await.unwrap();
    let asked = fake.asked();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/api/dtmsvr/prepare", "/api/dtmsvr/abort", "/api/dtmsvr/query?gid=g1"]);
    assert_eq!(asked[0].1["branches"][0]["branch_id"], "02", "a begin that comes later is a repeat of this one");
}

#[tokio::test]
async fn a_decision_that_stands_already_is_no_refusal_and_the_opposite_one_is() {
    let (gid, message) = (Gid::new("g1"), message());
    let saga = Saga { gid: gid.clone(), business_key: String::new(), steps: Vec::new() };
    for (status, forward, backward, started) in [
        ("prepared", false, false, false),
        ("submitted", true, false, true),
        ("succeed", true, false, true),
        ("aborting", false, true, true),
        ("failed", false, true, true),
    ] {
        let fake = FakeCoordinator::start().await;
        let client = client(&fake.url);
        fake.shows(status);
        for _ in 0..5 {
            fake.will_answer(409, json!({"dtm_result": "FAILURE", "message": "decided FAILURE"}));
        }
        assert_eq!(client.submit_tcc(&gid).await.is_ok(), forward, "submit tcc {status}");
        assert_eq!(client.abort_tcc(&gid, "test").await.is_ok(), backward, "abort tcc {status}");
        assert_eq!(client.submit_message(&message).await.is_ok(), forward, "submit msg {status}");
        assert_eq!(client.abort_message(&gid).await.is_ok(), status == "failed", "abort msg {status}");
        assert_eq!(client.submit_saga(&saga).await.is_ok(), started, "submit saga {status}");
    }
}
