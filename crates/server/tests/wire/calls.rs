//! What a participant gets, and what its answers mean.

use http::Method;
use serde_json::json;

use crate::support::{Answer, Call, Coordinator, Participant, global, msg, saga, with};

/// A saga of one step at this URL, with this payload.
fn one_step(gid: &str, url: &str, payload: &str) -> serde_json::Value {
    json!({ "gid": gid, "trans_type": "saga", "steps": [{ "action": url, "compensate": "" }], "payloads": [payload] })
}

async fn only_call(escrow: &Coordinator, participant: &Participant, gid: &str) -> Call {
    escrow.until_status(gid, "succeed").await;
    let of_gid = |call: &Call| call.parameters().iter().any(|(name, value)| name == "gid" && value == gid);
    let calls: Vec<_> = participant.calls().into_iter().filter(of_gid).collect();
    assert_eq!(calls.len(), 1);
    calls.into_iter().next().unwrap()
}

#[tokio::test]
async fn payloads_reach_the_branches_byte_for_byte() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let payloads = [
        "{\"amount\": 30.10,  \"n\":1e2,\"a\":1,\"a\":2}",
        "no JSON at all",
        "null",
        " \t\n ",
        "订单 \u{1F980} \\ \" \u{7f}",
        "{\"u\":\"\\u8ba2 \\/ \\ud83e\\udd80\"}",
        "<&>",
    ];
    for (number, payload) in payloads.iter().enumerate() {
        let gid = format!("g{number}");
        escrow.accepts("submit", one_step(&gid, &participant.url("in"), payload)).await;
        let call = only_call(&escrow, &participant, &gid).await;
        assert_eq!((call.method, &call.body[..]), (Method::POST, payload.as_bytes()), "{payload:?}");
    }
    // What is escaped on the way in is what it stands for on the way out.
    let text =
        r#"{"gid":"escaped","trans_type":"saga","steps":[{"action":"URL"}],"payloads":["\u8ba2\/\ud83e\udd80\n"]}"#;
    assert_eq!(escrow.post_text("submit", &text.replace("URL", &participant.url("in"))).await.status, 200);
    assert_eq!(only_call(&escrow, &participant, "escaped").await.body, "订/🦀\n");
}

#[tokio::test]
async fn a_call_without_a_payload_is_a_get_and_one_with_a_payload_a_post() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for (gid, payload, method) in [("empty", "", Method::GET), ("null", "null", Method::POST)] {
        escrow.accepts("submit", one_step(gid, &participant.url("in"), payload)).await;
        let call = only_call(&escrow, &participant, gid).await;
        assert_eq!((&call.method, call.header("content-type")), (&method, "application/json"), "{gid}");
    }
}

#[tokio::test]
async fn a_call_says_what_it_is_about_in_four_parameters_behind_the_urls_own() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let own = "a%2Fb/c?z=%20+x&k&gid=mine&op=";
    escrow.accepts("submit", one_step("g +&=?#/%é", &participant.url(own), "{}")).await;
    let call = only_call(&escrow, &participant, "g +&=?#/%é").await;
    assert_eq!(call.path, "a%2Fb/c");
    let rest = call.query.strip_prefix("z=%20+x&k&gid=mine&op=&").unwrap_or_else(|| panic!("{}", call.query));
    assert_eq!(rest, "branch_id=01&gid=g+%2B%26%3D%3F%23%2F%25%C3%A9&op=action&trans_type=saga");
}

#[tokio::test]
async fn branch_headers_go_with_the_check_back_too_and_may_replace_the_content_type() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let body = with(msg(&participant, "g"), "timeout_to_fail", 1);
    let headers = json!({ "x-tenant": "t1", "content-type": "application/cloudevents+json" });
    escrow.accepts("prepare", with(body, "branch_headers", headers)).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["query", "out", "in"]);
    for call in participant.calls() {
        let headers = (call.header("x-tenant"), call.header("content-type"));
        assert_eq!(headers, ("t1", "application/cloudevents+json"), "{call:?}");
    }
}

#[tokio::test]
async fn an_answer_is_ongoing_before_it_is_a_failure_and_only_200_is_success() {
    const ONGOING: &str = "submitted, at the base interval";
    const UNKNOWN: &str = "submitted, at twice the base";
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let table = [
        (200, "", "succeed"),
        (200, "SUCCESS", "succeed"),
        (200, "failure, ongoing, whatever", "succeed"),
        (425, "", ONGOING),
        (425, "FAILURE", ONGOING),
        (200, "ONGOING", ONGOING),
        (409, "FAILURE ONGOING", ONGOING),
        (500, r#"{"r":"xONGOINGx"}"#, ONGOING),
        (409, "", "failed"),
        (409, "SUCCESS", "failed"),
        (200, r#"{"dtm_result":"FAILURE"}"#, "failed"),
        (500, "FAILURE", "failed"),
        (201, "SUCCESS", UNKNOWN),
        (202, "", UNKNOWN),
        (204, "", UNKNOWN),
        (301, "", UNKNOWN),
        (307, "", UNKNOWN),
        (400, "", UNKNOWN),
        (404, "404 page not found", UNKNOWN),
        (500, "SUCCESS", UNKNOWN),
        (502, "", UNKNOWN),
    ];
    for (number, (status, answer, expected)) in table.into_iter().enumerate() {
        participant.next("in", &[Answer::Raw(status, answer)]);
        let body = with(one_step(&format!("g{number}"), &participant.url("in"), "{}"), "retry_interval", 100);
        let reply = escrow.post("submit", &with(body, "wait_result", true)).await;
        let shown = escrow.query(&format!("g{number}")).await;
        let found = match (reply.status, shown.status()) {
            (200, "succeed") => "succeed",
            (409, "failed") => "failed",
            (425, "submitted") if shown.between("update_time", "next_cron_time").as_secs() >= 200 => UNKNOWN,
            (425, "submitted") => ONGOING,
            other => panic!("{status} {answer}: {other:?}"),
        };
        assert_eq!(found, expected, "{status} {answer}");
    }
}

#[tokio::test]
async fn a_participant_that_cannot_be_reached_is_asked_again() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // A port that was free a moment ago.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let steps = json!([{ "action": format!("http://{address}/x") }, { "action": participant.url("in") }]);
    escrow.accepts("submit", with(with(saga(&participant, "g"), "steps", steps), "retry_interval", 100)).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared"; 4]));
    assert!(shown.between("update_time", "next_cron_time").as_secs() >= 200);
    assert!(participant.calls().is_empty());
}

#[tokio::test]
async fn a_reply_comes_before_the_first_call_is_answered_unless_the_result_is_waited_for() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Held);
    participant.always("confirm-01", Answer::Held);
    escrow.accepts("submit", with(saga(&participant, "saga"), "request_timeout", 60)).await;
    escrow.accepts("prepare", with(global("tcc", "tcc"), "request_timeout", 60)).await;
    escrow.accepts("registerBranch", crate::support::tcc_branch(&participant, "tcc", "01")).await;
    escrow.accepts("submit", global("tcc", "tcc")).await;
    participant.called("confirm-01", 1).await;
    assert_eq!([escrow.query("saga").await.status(), escrow.query("tcc").await.status()], ["submitted"; 2]);

    let body = with(with(saga(&participant, "waits"), "request_timeout", 60), "wait_result", true);
    let waiting = escrow.accepts("submit", body);
    let releasing = async {
        participant.called("out", 2).await;
        participant.release("out");
    };
    tokio::join!(waiting, releasing);
    assert_eq!(escrow.query("waits").await.status(), "succeed");
}
