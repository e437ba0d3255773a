use serde_json::{Value, json};

use crate::support::{Participant, TestServer};

fn saga(participant: &Participant, gid: &str) -> Value {
    json!({
        "gid": gid, "trans_type": "saga", "payloads": ["{\"n\":1}", "{\"n\":2}"],
        "steps": [
            { "action": participant.url("out"), "compensate": participant.url("out-revert") },
            { "action": participant.url("in"), "compensate": participant.url("in-revert") },
        ],
    })
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn a_saga_is_accepted_driven_and_shown() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let reply = server.dtm("submit", saga(&participant, "g1")).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "dtm_result": "SUCCESS" })));
    let found = server.wait_for("g1", "succeed").await;
    assert_eq!(participant.calls(), ["/out", "/in"]);
    let ops: Vec<_> = found["branches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {} {}",
                row["branch_id"].as_str().unwrap(),
                row["op"].as_str().unwrap(),
                row["status"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(ops, ["01 compensate prepared", "01 action succeed", "02 compensate prepared", "02 action succeed"]);
}

#[tokio::test]
async fn a_caller_that_waits_is_told_the_end_or_the_waiting() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let waiting = |gid| with(saga(&participant, gid), "wait_result", json!(true));
    assert_eq!(server.dtm("submit", waiting("done")).await.status, 200);

    participant.will_answer(&[200, 409]);
    let refused = server.dtm("submit", waiting("refused")).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().ends_with("/in return failed: ok FAILURE"), "{refused:?}");
    assert_eq!(server.query("refused").await["transaction"]["status"], "failed");

    participant.will_answer(&[425]);
    let unfinished = server.dtm("submit", waiting("unfinished")).await;
    assert_eq!((unfinished.status, &unfinished.json()["dtm_result"]), (425, &json!("ONGOING")));

    participant.will_answer(&[500]);
    assert_eq!(server.dtm("submit", waiting("unknown")).await.status, 425);
}

#[tokio::test]
async fn a_tcc_is_confirmed_in_reverse_or_cancelled() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    for (gid, end, status, calls) in
        [("c", "submit", "succeed", ["/confirm2", "/confirm1"]), ("a", "abort", "failed", ["/cancel2", "/cancel1"])]
    {
        let before = participant.calls().len();
        assert_eq!(server.dtm("prepare", json!({ "gid": gid, "trans_type": "tcc" })).await.status, 200);
        for number in 1..=2 {
            let branch = json!({
                "gid": gid, "trans_type": "tcc", "branch_id": format!("0{number}"), "data": "{}",
                "confirm": participant.url(&format!("confirm{number}")),
                "cancel": participant.url(&format!("cancel{number}")),
            });
            assert_eq!(server.dtm("registerTccBranch", branch.clone()).await.status, 200);
            assert_eq!(server.dtm("registerBranch", branch).await.status, 200, "the same once more");
        }
        assert_eq!(server.dtm(end, json!({ "gid": gid, "trans_type": "tcc" })).await.status, 200);
        server.wait_for(gid, status).await;
        assert_eq!(participant.calls()[before..], calls);
        let late = json!({ "gid": gid, "trans_type": "tcc", "branch_id": "03", "confirm": "", "cancel": "" });
        assert_eq!(server.dtm("registerBranch", late).await.status, 409);
    }
}

#[tokio::test]
async fn a_message_is_delivered_and_an_aborted_one_is_not() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let message = |gid: &str| {
        json!({
            "gid": gid, "trans_type": "msg", "query_prepared": participant.url("query"), "payloads": ["{}"],
            "steps": [{ "action": participant.url("in") }],
        })
    };
    assert_eq!(server.dtm("prepare", message("sent")).await.status, 200);
    assert_eq!(server.dtm("submit", message("sent")).await.status, 200);
    server.wait_for("sent", "succeed").await;
    assert_eq!(server.dtm("prepare", message("dropped")).await.status, 200);
    assert_eq!(server.dtm("abort", json!({ "gid": "dropped", "trans_type": "msg" })).await.status, 200);
    let late = server.dtm("submit", message("dropped")).await;
    assert_eq!((late.status, late.message().as_str()), (409, "current status 'failed', cannot sumbmit. FAILURE"));
    assert_eq!(participant.calls(), ["/in"]);

    let nobody_to_ask = json!({ "gid": "x", "trans_type": "msg", "steps": [{ "action": participant.url("in") }] });
    let refused = server.dtm("prepare", nobody_to_ask).await;
    assert_eq!((refused.status, refused.code()), (409, "no_check_back"));
    assert!(refused.message().contains("query_prepared"), "{refused:?}");
}

#[tokio::test]
async fn a_gid_used_again_is_the_same_transaction_or_refused() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    participant.will_answer(&[425]);
    assert_eq!(server.dtm("submit", saga(&participant, "g")).await.status, 200);
    assert_eq!(server.dtm("submit", saga(&participant, "g")).await.status, 200);
    let other_steps = server.dtm("submit", with(saga(&participant, "g"), "payloads", json!(["x"]))).await;
    assert_eq!((other_steps.status, other_steps.code()), (409, "definition_mismatch"));
    let other_type = server.dtm("submit", json!({ "gid": "g", "trans_type": "tcc" })).await;
    assert_eq!((other_type.status, other_type.code()), (409, "type_mismatch"));
}

#[tokio::test]
async fn a_forced_stop_is_failed_with_who_and_why_on_record() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    participant.will_answer(&[500, 500]);
    for (gid, body, by, reason) in [
        ("bare", json!({ "gid": "bare" }), "dtm api", "forced through /api/dtmsvr/forceStop"),
        ("named", json!({ "gid": "named", "operator": "ann", "reason": "paid by hand" }), "ann", "paid by hand"),
    ] {
        assert_eq!(server.dtm("submit", saga(&participant, gid)).await.status, 200);
        assert_eq!(server.dtm("forceStop", body.clone()).await.status, 200);
        let found = server.query(gid).await;
        assert_eq!(found["transaction"]["status"], "failed");
        assert_eq!(found["transaction"]["rollback_reason"], format!("stopped by {by}: {reason}"));
        let record = server.server.query(&escrow_txn::Gid::parse(gid).unwrap()).await.unwrap().unwrap();
        assert_eq!(record.value.progress.order.unwrap().by, by);
        let again = server.dtm("forceStop", body).await;
        let message = "global transaction force stop error. status: failed. error: FAILURE";
        assert_eq!((again.status, again.message().as_str()), (409, message));
    }
}

#[tokio::test]
async fn a_walk_through_all_shows_every_transaction_once_newest_first() {
    let server = TestServer::start().await;
    for number in 0..7 {
        let body =
            json!({ "gid": format!("g{number}"), "trans_type": "tcc", "business_key": format!("k{}", number % 2) });
        assert_eq!(server.dtm("prepare", body).await.status, 200);
    }
    let mut seen = Vec::new();
    let mut position = String::new();
    loop {
        let page = server.get(&format!("/api/dtmsvr/all?limit=3&position={position}")).await.json();
        let rows = page["transactions"].as_array().unwrap().clone();
        seen.extend(rows.iter().map(|row| row["gid"].as_str().unwrap().to_owned()));
        position = page["next_position"].as_str().unwrap().to_owned();
        if position.is_empty() {
            break;
        }
        assert_eq!(rows.len(), 3);
    }
    assert_eq!(seen, ["g6", "g5", "g4", "g3", "g2", "g1", "g0"]);
    let one = server.get("/api/dtmsvr/all?gid=g3").await.json();
    assert_eq!(one["transactions"][0]["gid"], "g3");
    let keyed = server.get("/api/dtmsvr/all?businessKey=k1").await.json();
    assert_eq!(keyed["transactions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_call_to_the_coordinator_itself_never_leaves() {
    let server = TestServer::start().await;
    let own = format!("http://{}/api/dtmsvr/newGid", server.address);
    let body = json!({ "gid": "g", "trans_type": "saga", "wait_result": true, "steps": [{ "action": own }] });
    assert_eq!(server.dtm("submit", body).await.status, 425);
    let record = server.server.query(&escrow_txn::Gid::parse("g").unwrap()).await.unwrap().unwrap();
    let answer = &record.value.history[0].answer;
    assert_eq!(answer, "calls to this address are not allowed: it is the coordinator itself");
}

#[tokio::test]
async fn a_list_shows_only_what_all_its_filters_let_through() {
    let server = TestServer::start().await;
    for (gid, trans_type, end) in
        [("t1", "tcc", "abort"), ("t2", "tcc", "forceStop"), ("t3", "tcc", ""), ("x1", "xa", ""), ("s1", "saga", "")]
    {
        let route = if trans_type == "saga" { "submit" } else { "prepare" };
        assert_eq!(server.dtm(route, json!({ "gid": gid, "trans_type": trans_type })).await.status, 200);
        if !end.is_empty() {
            assert_eq!(server.dtm(end, json!({ "gid": gid, "trans_type": trans_type })).await.status, 200);
        }
    }
    server.wait_for("t1", "failed").await;
    server.wait_for("s1", "succeed").await;
    let created = async |gid| {
        let found = server.server.query(&escrow_txn::Gid::parse(gid).unwrap()).await.unwrap().unwrap();
        found.value.def.created_at.as_micros() / 1_000
    };
    let (first, last) = (created("t1").await, created("s1").await);
    for (filter, expected) in [
        ("status=failed".to_owned(), "t2 t1"),
        ("status=prepared".to_owned(), "x1 t3"),
        ("status=succeed".to_owned(), "s1"),
        ("status=aborting".to_owned(), ""),
        ("transType=tcc".to_owned(), "t3 t2 t1"),
        ("transType=tcc&status=prepared".to_owned(), "t3"),
        ("transType=msg".to_owned(), ""),
        (format!("createTimeStart={first}&createTimeEnd={last}"), "s1 x1 t3 t2 t1"),
        (format!("createTimeStart={first}&createTimeEnd={last}&transType=xa"), "x1"),
        (format!("createTimeStart={}", last + 1), ""),
        (format!("createTimeEnd={}", first - 1), ""),
    ] {
        let page = server.get(&format!("/api/dtmsvr/all?{filter}")).await.json();
        let rows = page["transactions"].as_array().unwrap();
        let gids: Vec<_> = rows.iter().map(|row| row["gid"].as_str().unwrap()).collect();
        assert_eq!((gids.join(" ").as_str(), &page["next_position"]), (expected, &json!("")), "{filter}");
    }
}

#[tokio::test]
async fn headers_of_the_request_are_passed_on_and_their_values_are_masked() {
    let server = TestServer::start().await;
    for (gid, route) in [("g1", "prepare"), ("g2", "submit")] {
        let body = json!({
            "gid": gid, "trans_type": "msg", "query_prepared": "http://127.0.0.1:1/", "custom_data": "{\"delay\":100}",
            "steps": [{ "action": "http://127.0.0.1:1/" }], "passthrough_headers": ["Authorization", "x-absent"],
            "branch_headers": { "x-own": "value" },
        })
        .to_string();
        let head = format!(
            "POST /api/dtmsvr/{route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
             AUTHORIZATION: Bearer secret\r\n\r\n",
            body.len()
        );
        assert_eq!(server.send(head + &body).await.status, 200);
        let record = server.server.query(&escrow_txn::Gid::parse(gid).unwrap()).await.unwrap().unwrap();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [header("Authorization", "Bearer secret"), header("x-own", "value")];
        assert_eq!(record.value.options().branch_headers, expected);
        let shown = server.query(gid).await;
        let masked = json!({ "Authorization": "***", "x-own": "***" });
        assert_eq!(shown["transaction"]["branch_headers"], masked);
        assert!(!shown.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn what_waits_goes_on_at_once_when_an_operator_says_so() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let stalled = async |gid: &str| {
        participant.will_answer(&[500]);
        let body = with(with(saga(&participant, gid), "retry_interval", json!(1000)), "wait_result", json!(true));
        assert_eq!(server.dtm("submit", body).await.status, 425);
    };
    stalled("one").await;
    let reply = server.dtm("resetNextCronTime", json!({ "gid": "one" })).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "dtm_result": "SUCCESS" })));
    server.wait_for("one", "succeed").await;
    assert_eq!(server.dtm("resetNextCronTime", json!({ "gid": "one" })).await.status, 200);

    for gid in ["a", "b", "c"] {
        stalled(gid).await;
    }
    let reset = async |query: &str| {
        let reply = server.get(&format!("/api/dtmsvr/resetCronTime?{query}")).await.json();
        (reply["succeed_count"].as_u64().unwrap(), reply["has_remaining"].as_bool().unwrap())
    };
    assert_eq!(reset("timeout=3000").await, (0, false));
    assert_eq!(reset("limit=2").await, (2, true));
    assert_eq!(reset("").await, (1, false));
    assert_eq!(reset("limit=0").await, (0, false));
    for gid in ["a", "b", "c"] {
        server.wait_for(gid, "succeed").await;
    }
    for query in ["limit=x", "timeout=x"] {
        let refused = server.get(&format!("/api/dtmsvr/resetCronTime?{query}")).await;
        assert_eq!((refused.status, refused.code()), (500, "invalid_parameter"), "{query}");
    }
}

#[tokio::test]
async fn orders_that_come_after_the_beginning_are_refused_and_not_forgotten() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let orders = json!("{\"concurrent\":true,\"orders\":{\"1\":[0]}}");
    for (gid, prepared) in [("bare", json!({ "trans_type": "saga" })), ("whole", saga(&participant, "whole"))] {
        assert_eq!(server.dtm("prepare", with(prepared, "gid", json!(gid))).await.status, 200);
        let refused = server.dtm("submit", with(saga(&participant, gid), "custom_data", orders.clone())).await;
        assert_eq!((refused.status, refused.code()), (409, "definition_mismatch"), "{gid}: {refused:?}");
        assert!(refused.message().contains("orders"), "{refused:?}");
        assert_eq!(server.query(gid).await["transaction"]["status"], "prepared");
    }
    assert_eq!(participant.calls(), [""; 0]);
}
