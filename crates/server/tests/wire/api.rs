//! Routes that look at transactions, and the shape of replies.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Answer, Coordinator, Participant, Reply, Shown, global, msg, saga, tcc_branch, with, xa_branch};

#[tokio::test]
async fn version_and_metrics_answer_and_new_gids_come_with_a_result() {
    let escrow = Coordinator::start().await;
    let version = escrow.get("/api/dtmsvr/version").await;
    assert_eq!((version.status, version.json()["version"].as_str().unwrap().starts_with('v')), (200, true));
    let metrics = escrow.get("/api/metrics").await;
    assert!(metrics.status == 200 && metrics.body.contains("dtm_server_process_total"), "{metrics:?}");
    let mut gids = Vec::new();
    for _ in 0..10 {
        let reply = escrow.get("/api/dtmsvr/newGid").await;
        assert_eq!((reply.status, &reply.json()["dtm_result"]), (200, &json!("SUCCESS")));
        gids.push(reply.json()["gid"].as_str().unwrap().to_owned());
    }
    gids.sort();
    gids.dedup();
    assert_eq!(gids.len(), 10);
}

#[tokio::test]
async fn a_query_shows_what_exists_and_says_so_when_there_is_nothing() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("submit", saga(&participant, "g")).await;
    assert_eq!(escrow.query("g").await.branches().len(), 4);
    for path in ["/api/dtmsvr/query", "/api/dtmsvr/query?gid="] {
        let nameless = escrow.get(path).await;
        assert_eq!((nameless.status, nameless.json()), (500, json!({ "message": "no gid specified" })));
    }
    let unknown = escrow.get("/api/dtmsvr/query?gid=nobody").await;
    assert_eq!((unknown.status, unknown.json()), (200, json!({ "branches": [], "transaction": null })));
}

/// Walks `all` to its end; the gids in the order they came.
async fn walk(escrow: &Coordinator, query: &str) -> Vec<String> {
    let (mut position, mut gids) = (String::new(), Vec::new());
    loop {
        let position_now: String = form_urlencoded::byte_serialize(position.as_bytes()).collect();
        let reply = escrow.get(&format!("/api/dtmsvr/all?{query}&position={position_now}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let page = reply.json();
        let rows = page["transactions"].as_array().unwrap();
        gids.extend(rows.iter().map(|row| row["gid"].as_str().unwrap().to_owned()));
        position = page["next_position"].as_str().unwrap().to_owned();
        if position.is_empty() {
            return gids;
        }
    }
}

#[tokio::test]
async fn all_shows_every_transaction_once_newest_first() {
    let escrow = Coordinator::start().await;
    let gids: Vec<_> = (0..10).map(|number| format!("g{number}")).collect();
    for gid in &gids {
        escrow.accepts("prepare", global(gid, "tcc")).await;
    }
    let newest_first: Vec<_> = gids.iter().rev().cloned().collect();
    for limit in [1, 3, 5, 10, 1000] {
        assert_eq!(walk(&escrow, &format!("limit={limit}")).await, newest_first, "{limit}");
    }
}

#[tokio::test]
async fn all_filters_by_status_type_time_and_business_key() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Failure]);
    escrow.accepts("submit", saga(&participant, "refused")).await;
    escrow.until_status("refused", "failed").await;
    escrow.accepts("submit", with(msg(&participant, "sent"), "business_key", "order-1")).await;
    escrow.until_status("sent", "succeed").await;
    for gid in ["open-1", "open-2"] {
        escrow.accepts("prepare", global(gid, "tcc")).await;
    }
    escrow.accepts("forceStop", json!({ "gid": "open-2" })).await;
    let at = async |gid| escrow.query(gid).await.time("create_time").as_millisecond();
    let (sent, open) = (at("sent").await, at("open-1").await);
    let table: [(String, &[&str]); 12] = [
        ("status=prepared".to_owned(), &["open-1"]),
        ("status=succeed".to_owned(), &["sent"]),
        ("status=failed".to_owned(), &["open-2", "refused"]),
        ("status=aborting".to_owned(), &[]),
        ("transType=tcc".to_owned(), &["open-2", "open-1"]),
        ("transType=xa".to_owned(), &[]),
        ("transType=tcc&status=prepared".to_owned(), &["open-1"]),
        (format!("createTimeStart={sent}&createTimeEnd={sent}"), &["sent"]),
        (format!("createTimeStart={open}"), &["open-2", "open-1"]),
        ("createTimeEnd=1000".to_owned(), &[]),
        ("businessKey=order-1".to_owned(), &["sent"]),
        ("businessKey=order-2".to_owned(), &[]),
    ];
    for (filter, gids) in table {
        for limit in [1, 100] {
            assert_eq!(walk(&escrow, &format!("{filter}&limit={limit}")).await, gids, "{filter}");
        }
    }
    for nonsense in ["limit=x", "createTimeStart=x", "createTimeEnd=1.5", "status=done", "transType=zzz"] {
        let reply = escrow.get(&format!("/api/dtmsvr/all?{nonsense}")).await;
        assert_eq!((reply.status, reply.message().is_empty()), (500, false), "{nonsense}");
    }
}

#[tokio::test]
async fn all_with_a_gid_is_that_one_or_null() {
    let escrow = Coordinator::start().await;
    escrow.accepts("prepare", global("g", "tcc")).await;
    escrow.accepts("prepare", global("other", "tcc")).await;
    let known = escrow.get("/api/dtmsvr/all?gid=g&position=abc").await.json();
    assert_eq!((known["transactions"].as_array().unwrap().len(), &known["transactions"][0]["gid"]), (1, &json!("g")));
    assert_eq!(known["next_position"], "abc");
    let unknown = escrow.get("/api/dtmsvr/all?gid=nobody").await.json();
    assert_eq!(unknown, json!({ "next_position": "", "transactions": null }));
}

#[tokio::test]
async fn a_forced_stop_ends_what_is_unfinished_and_nothing_else() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Ongoing);
    escrow.accepts("submit", saga(&participant, "g")).await;
    escrow.until_waiting("g").await;
    escrow.accepts("forceStop", json!({ "gid": "g" })).await;
    let shown = escrow.query("g").await;
    assert_eq!((shown.status(), shown.ops()), ("failed", vec!["prepared", "succeed", "prepared", "prepared"]));
    assert!(shown.transaction()["rollback_time"].is_string() && shown.transaction()["next_cron_time"].is_null());

    participant.always("in", Answer::Success);
    escrow.accepts("submit", saga(&participant, "done")).await;
    escrow.until_status("done", "succeed").await;
    let message = escrow.refuses("forceStop", json!({ "gid": "done" })).await;
    assert_eq!(message, "global transaction force stop error. status: succeed. error: FAILURE");
    let unknown = escrow.post("forceStop", &json!({ "gid": "nobody" })).await;
    assert_eq!((unknown.status, unknown.message().as_str()), (500, "no TransGlobal with gid: nobody found"));
}

#[tokio::test]
async fn a_forced_stop_does_not_wait_for_a_call_on_its_way_and_its_answer_no_longer_counts() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Held);
    escrow.accepts("submit", with(saga(&participant, "g"), "request_timeout", 60)).await;
    participant.called("out", 1).await;
    escrow.accepts("forceStop", json!({ "gid": "g" })).await;
    assert_eq!(escrow.query("g").await.status(), "failed");
    participant.release("out");
    // Another one through the same participant: by then the answer has come.
    escrow.accepts("submit", with(saga(&participant, "other"), "wait_result", true)).await;
    assert_eq!(escrow.query("g").await.ops(), ["prepared"; 4]);
    assert_eq!(participant.paths(), ["out", "out", "in"]);
}

#[tokio::test]
async fn an_unknown_type_is_an_error_and_others_are_served() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for route in ["prepare", "submit", "abort"] {
        for trans_type in ["zzz", "", "SAGA"] {
            let reply = escrow.post(route, &global("g", trans_type)).await;
            assert_eq!((reply.status, reply.message()), (500, format!("unknow trans type: {trans_type}")), "{route}");
        }
    }
    escrow.accepts("submit", saga(&participant, "g")).await;
    escrow.until_status("g", "succeed").await;
}

#[tokio::test]
async fn every_path_has_its_method_and_nothing_else_is_known() {
    let escrow = Coordinator::start().await;
    let routes = [
        (Method::GET, "/api/dtmsvr/version"),
        (Method::GET, "/api/dtmsvr/newGid"),
        (Method::POST, "/api/dtmsvr/prepare"),
        (Method::POST, "/api/dtmsvr/submit"),
        (Method::POST, "/api/dtmsvr/abort"),
        (Method::POST, "/api/dtmsvr/registerBranch"),
        (Method::POST, "/api/dtmsvr/registerTccBranch"),
        (Method::POST, "/api/dtmsvr/registerXaBranch"),
        (Method::POST, "/api/dtmsvr/prepareWorkflow"),
        (Method::GET, "/api/dtmsvr/query"),
        (Method::GET, "/api/dtmsvr/all"),
        (Method::GET, "/api/dtmsvr/resetCronTime"),
        (Method::POST, "/api/dtmsvr/resetNextCronTime"),
        (Method::POST, "/api/dtmsvr/forceStop"),
        (Method::GET, "/api/dtmsvr/subscribe"),
        (Method::GET, "/api/dtmsvr/unsubscribe"),
        (Method::DELETE, "/api/dtmsvr/topic/t"),
        (Method::GET, "/api/dtmsvr/scanKV"),
        (Method::GET, "/api/dtmsvr/queryKV"),
        (Method::POST, "/api/json-rpc"),
        (Method::GET, "/api/metrics"),
    ];
    for (method, path) in routes {
        for other in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let status = escrow.send(other.clone(), path, "").await.status;
            assert_eq!(status != 404, other == method, "{other} {path}: {status}");
        }
    }
    for path in ["/", "/api", "/api/dtmsvr", "/api/dtmsvr/nope", "/api/dtmsvr/newgid", "/API/dtmsvr/newGid", "/submit"]
    {
        let reply = escrow.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"), "{path}");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    }
    for method in [Method::GET, Method::POST, Method::PUT] {
        assert_eq!(escrow.send(method, "/api/ping", "").await.body, r#"{"msg":"pong"}"#);
    }
    let slash = escrow.get("/api/dtmsvr/query/?gid=g").await;
    assert_eq!((slash.status, slash.header("location")), (301, "/api/dtmsvr/query?gid=g"));
}

#[test]
fn the_default_port_is_dtms() {
    let sources = escrow_server::config::Sources::default();
    assert_eq!(escrow_server::Config::load(&sources).unwrap().listen.port(), 36789);
}

#[tokio::test]
async fn replies_have_dtms_codes_bodies_and_content_type() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("out", &[Answer::Success, Answer::Ongoing, Answer::Failure]);
    let submit = async |gid| escrow.post("submit", &with(saga(&participant, gid), "wait_result", true)).await;
    let is_json = |reply: &Reply| reply.header("content-type") == "application/json; charset=utf-8";
    let done = submit("done").await;
    assert_eq!((done.status, done.body.as_str()), (200, r#"{"dtm_result":"SUCCESS"}"#));
    let ongoing = submit("ongoing").await;
    assert_eq!((ongoing.status, &ongoing.json()["dtm_result"]), (425, &json!("ONGOING")));
    assert!(!ongoing.message().is_empty());
    let failed = submit("failed").await;
    assert_eq!((failed.status, &failed.json()["dtm_result"]), (409, &json!("FAILURE")));
    assert!(failed.message().ends_with(" FAILURE"));
    let error = escrow.post("abort", &global("nobody", "tcc")).await;
    assert_eq!((error.status, error.body.as_str()), (500, r#"{"message":"no TransGlobal with gid: nobody found"}"#));
    assert!([&done, &ongoing, &failed, &error].into_iter().all(is_json));
}

#[tokio::test]
async fn no_200_reply_says_failure_but_in_a_reason_that_others_wrote() {
    const WORD: &str = "FAILURE";
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Raw(409, "no funds"));
    assert!(!escrow.get("/api/dtmsvr/newGid").await.body.contains(WORD));
    for (gid, body) in
        [("refused", saga(&participant, "refused")), ("late", with(saga(&participant, "late"), "timeout_to_fail", 1))]
    {
        if gid == "late" {
            participant.always("in", Answer::Ongoing);
        }
        escrow.accepts("submit", body).await;
        escrow.until_status(gid, "failed").await;
    }
    participant.always("query", Answer::Failure);
    escrow.accepts("prepare", with(msg(&participant, "unsent"), "timeout_to_fail", 1)).await;
    escrow.until_status("unsent", "failed").await;
    escrow.accepts("prepare", global("stopped", "tcc")).await;
    escrow.accepts("forceStop", json!({ "gid": "stopped" })).await;
    for gid in ["refused", "late", "unsent", "stopped"] {
        let shown = escrow.query(gid).await;
        assert!(!shown.reason().is_empty() && !shown.0.to_string().contains(WORD), "{shown:?}");
    }
    assert!(!escrow.get("/api/dtmsvr/all").await.body.contains(WORD));

    // What a client or a participant wrote is shown as it was written.
    escrow.accepts("prepare", global("reason", "tcc")).await;
    escrow.accepts("abort", with(global("reason", "tcc"), "rollback_reason", "total FAILURE")).await;
    assert_eq!(escrow.until_status("reason", "failed").await.reason(), "total FAILURE");
    participant.always("in", Answer::Failure);
    escrow.accepts("submit", saga(&participant, "answer")).await;
    assert!(escrow.until_status("answer", "failed").await.reason().contains(WORD));
}

/// Times are RFC 3339 and ids fit 32 bits; nothing is `null`.
fn check_shape(value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key.ends_with("_time") {
                    value.as_str().unwrap().parse::<Timestamp>().unwrap_or_else(|_| panic!("{key} {value}"));
                }
                if key == "id" {
                    i32::try_from(value.as_i64().unwrap()).unwrap();
                }
                check_shape(value);
            }
        }
        Value::Array(list) => list.iter().for_each(check_shape),
        Value::Null => panic!("a null"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn a_query_has_the_shape_that_strict_clients_parse() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let has = |shown: &Shown, key: &str| !shown.transaction()[key].is_null();
    for (gid, branch) in [("tcc", tcc_branch(&participant, "tcc", "01")), ("xa", xa_branch(&participant, "xa", "01"))] {
        escrow.accepts("prepare", global(gid, gid)).await;
        let shown = escrow.query(gid).await;
        assert_eq!(shown.0["branches"], json!([]), "a list, and not nothing");
        assert!(!has(&shown, "finish_time") && !has(&shown, "rollback_time") && has(&shown, "next_cron_time"));
        escrow.accepts("registerBranch", branch).await;
    }
    participant.always("in", Answer::Failure);
    escrow.accepts("submit", saga(&participant, "saga")).await;
    escrow.accepts("submit", with(msg(&participant, "msg"), "retry_interval", 7)).await;
    for gid in ["tcc", "xa"] {
        escrow.accepts("submit", global(gid, gid)).await;
    }
    for (gid, status) in [("tcc", "succeed"), ("xa", "succeed"), ("saga", "failed"), ("msg", "submitted")] {
        let shown = escrow
            .until(gid, |shown| shown.status() == status && (has(shown, "next_cron_time") || status != "submitted"))
            .await;
        check_shape(&shown.0);
        for key in ["id", "create_time", "update_time", "gid", "trans_type", "status", "concurrent", "protocol"] {
            assert!(has(&shown, key), "{gid} {key}");
        }
        assert_eq!(
            (has(&shown, "finish_time"), has(&shown, "rollback_time")),
            (status == "succeed", status == "failed")
        );
        let keys = ["id", "create_time", "update_time", "gid", "branch_id", "op", "status"];
        for row in shown.branches() {
            assert!(keys.iter().all(|key| !row[key].is_null()), "{row}");
            assert_eq!(row["finish_time"].is_string(), row["status"] != "prepared", "{row}");
        }
        let ids: Vec<_> = shown.branches().iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert!(ids.is_sorted());
    }
    for row in escrow.get("/api/dtmsvr/all").await.json()["transactions"].as_array().unwrap() {
        check_shape(row);
    }
    let saga = escrow.query("saga").await;
    assert_eq!(saga.branches()[0]["bin_data"], "eyJhbW91bnQiOjMwfQ==");
    let options: Value =
        serde_json::from_str(escrow.query("msg").await.transaction()["options"].as_str().unwrap()).unwrap();
    assert_eq!(options, json!({ "retry_interval": 7, "concurrent": false }));
}
