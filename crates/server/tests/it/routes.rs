use serde_json::json;

use crate::support::{Participant, TestServer};

#[tokio::test]
async fn the_small_routes_answer_what_clients_expect() {
    let server = TestServer::start().await;
    let version = server.get("/api/dtmsvr/version").await;
    assert_eq!((version.status, version.json()), (200, json!({ "version": concat!("v", env!("CARGO_PKG_VERSION")) })));
    assert_eq!(version.headers["content-type"], "application/json; charset=utf-8");
    for method in ["GET", "POST", "PUT"] {
        let pong = server.send(format!("{method} /api/ping HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        assert_eq!(pong.await.json(), json!({ "msg": "pong" }));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn only_what_is_on_hold_is_released_and_a_request_without_a_gid_releases_nothing() {
    let server = TestServer::start().await;
    for (route, body) in [("releaseHeld", json!({ "gid": "g" })), ("releaseAllHeld", json!({}))] {
        let released = server.dtm(route, body).await;
        assert_eq!((released.status, released.json()), (200, json!({ "released_count": 0 })), "{route}");
    }
    let nameless = server.dtm("releaseHeld", json!({ "all": true })).await;
    assert_eq!((nameless.status, nameless.code()), (500, "no_gid"));
}

#[tokio::test]
async fn new_gids_are_all_different_and_short_enough_for_an_xid() {
    let server = TestServer::start().await;
    let mut gids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let reply = server.get("/api/dtmsvr/newGid").await.json();
        assert_eq!(reply["dtm_result"], "SUCCESS");
        gids.insert(reply["gid"].as_str().unwrap().to_owned());
    }
    assert_eq!(gids.len(), 20);
    assert!(gids.iter().all(|gid| gid.len() == 26));
}

#[tokio::test]
async fn an_unknown_gid_is_no_transaction() {
    let server = TestServer::start().await;
    assert_eq!(server.query("no-such-gid").await, json!({ "branches": [], "transaction": null }));
    let all = server.get("/api/dtmsvr/all?gid=no-such-gid").await.json();
    assert_eq!(all, json!({ "next_position": "", "transactions": null }));
    let nameless = server.get("/api/dtmsvr/query").await;
    assert_eq!((nameless.status, nameless.json()), (500, json!({ "message": "no gid specified" })));
    for (route, status, message) in [
        ("abort", 500, "no TransGlobal with gid: no-such-gid found"),
        ("forceStop", 500, "no TransGlobal with gid: no-such-gid found"),
        ("registerBranch", 409, "no trans with gid: no-such-gid status: prepared found FAILURE"),
        ("submit", 409, "no prepared tcc with gid: no-such-gid found, cannot submit. FAILURE"),
    ] {
        let body = json!({ "gid": "no-such-gid", "trans_type": "tcc", "branch_id": "01", "confirm": "", "cancel": "" });
        let reply = server.dtm(route, body).await;
        assert_eq!((reply.status, reply.message().as_str()), (status, message), "{route}");
    }
}

#[tokio::test]
async fn what_is_not_there_yet_says_so() {
    let server = TestServer::start().await;
    for path in ["/api/dtmsvr/prepareWorkflow", "/api/json-rpc"] {
        let reply = server.post(path, "{}").await;
        assert_eq!((reply.status, reply.code()), (501, "not_supported"), "{path}");
        assert!(reply.message().ends_with(" is not supported yet"), "{reply:?}");
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_404_and_a_slash_too_many_is_redirected() {
    let server = TestServer::start().await;
    for path in ["/", "/api/dtmsvr/nope", "/api/dtmsvr/submit", "/admin"] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"), "{path}");
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
    }
    assert_eq!(server.post("/api/dtmsvr/version", "").await.status, 404);
    let redirect = server.get("/api/dtmsvr/query/?gid=a%20b").await;
    assert_eq!((redirect.status, redirect.headers["location"].as_str()), (301, "/api/dtmsvr/query?gid=a%20b"));
}

#[tokio::test]
async fn the_metrics_count_requests_calls_and_transactions() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    let body = json!({
        "gid": "g", "trans_type": "saga", "wait_result": true,
        "steps": [{ "action": participant.url("a"), "compensate": participant.url("c") }], "payloads": ["{}"],
    });
    assert_eq!(server.dtm("submit", body).await.status, 200);
    for path in ["/metrics", "/api/metrics"] {
        let reply = server.get(path).await;
        assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        for line in [
            r#"dtm_server_process_total{type="http",api="submit",status="ok"} 1"#,
            r#"dtm_transaction_process_total{model="saga",status="succeed"} 1"#,
            r#"dtm_branch_process_total{model="saga",branchtype="action",status="ok"} 1"#,
            r#"escrow_transactions_finished_total{pattern="saga",status="committed"} 1"#,
            "escrow_connections_open 1",
        ] {
            assert!(reply.body.lines().any(|found| found == line), "{line} in\n{}", reply.body);
        }
    }
}
