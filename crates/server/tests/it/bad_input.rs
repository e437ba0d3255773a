use serde_json::json;

use crate::support::TestServer;

const BODIES: [&str; 6] = ["prepare", "submit", "abort", "registerBranch", "registerTccBranch", "forceStop"];

/// Sends a body to every route that takes one; each must refuse it with an error that has a code and a message.
async fn is_refused_everywhere(server: &TestServer, body: &[u8]) {
    for route in BODIES {
        let reply = server.post(&format!("/api/dtmsvr/{route}"), body).await;
        assert!((400..=599).contains(&reply.status), "{route}: {reply:?}");
        assert!(!reply.code().is_empty() && reply.code() != "internal", "{route}: {reply:?}");
        assert!(!reply.message().is_empty() && reply.message().len() < 1000, "{route}: {reply:?}");
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_by_every_route() {
    let server = TestServer::start().await;
    let bodies: [&[u8]; 12] = [
        b"",
        b"{bad",
        b"null",
        b"[]",
        b"7",
        b"\"text\"",
        b"{\"gid\":\"g\"",
        b"{\"gid\":\"g\"}}",
        b"{\"gid\":\"\xff\xfe\"}",
        b"\0\0\0\0",
        b"{\"gid\":\"\\ud800\"}",
        b"{\"gid\":1e999}",
    ];
    for body in bodies {
        is_refused_everywhere(&server, body).await;
    }
    assert_eq!(server.post("/api/dtmsvr/prepare", "{bad").await.status, 500);
    assert_eq!(server.post("/api/dtmsvr/registerBranch", "{bad").await.status, 400);
}

#[tokio::test]
async fn deep_nesting_is_refused_or_passed_over_and_harms_nobody() {
    let server = TestServer::start().await;
    for depth in [200, 100_000, 1_000_000] {
        let deep = format!("{{\"gid\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        is_refused_everywhere(&server, deep.as_bytes()).await;
        let unknown_key = format!("{{\"gid\":\"\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        is_refused_everywhere(&server, unknown_key.as_bytes()).await;
    }
    assert_eq!(server.get("/api/ping").await.status, 200);
}

#[tokio::test]
async fn nulls_are_nothing_and_an_empty_gid_is_refused() {
    let server = TestServer::start().await;
    is_refused_everywhere(&server, b"{\"gid\":null,\"trans_type\":null,\"steps\":null,\"branch_id\":null}").await;
    is_refused_everywhere(&server, b"{\"gid\":\"\",\"trans_type\":\"tcc\",\"branch_id\":\"01\"}").await;
    is_refused_everywhere(&server, b"{\"gid\":\";\\n\\r\",\"trans_type\":\"tcc\",\"branch_id\":\"01\"}").await;
    is_refused_everywhere(&server, b"{\"gid\":\"a\\u0000b\",\"trans_type\":\"tcc\",\"branch_id\":\"01\"}").await;
    let null_laden = json!({
        "gid": "g", "trans_type": "tcc", "steps": null, "payloads": null, "custom_data": null, "query_prepared": null,
        "branch_headers": null, "wait_result": null, "timeout_to_fail": null, "concurrent": null, "req_extra": null,
    });
    assert_eq!(server.dtm("prepare", null_laden).await.status, 200);
}

#[tokio::test]
async fn an_unknown_type_is_named() {
    let server = TestServer::start().await;
    for route in ["prepare", "submit", "abort", "registerBranch"] {
        let reply = server.dtm(route, json!({ "gid": "g", "trans_type": "zzz", "branch_id": "01" })).await;
        assert_eq!((reply.status, reply.code()), (500, "unknown_trans_type"), "{route}");
        assert_eq!(reply.message(), "unknow trans type: zzz");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_nothing_of_it_is_kept() {
    let server = TestServer::start().await;
    let steps = |count: usize| vec![json!({ "action": "", "compensate": "" }); count];
    let table = [
        json!({ "gid": "x".repeat(129), "trans_type": "saga" }),
        json!({ "gid": "big", "trans_type": "saga", "steps": steps(1001) }),
        json!({ "gid": "big", "trans_type": "saga", "steps": steps(1), "payloads": ["x".repeat(2 * 1024 * 1024 + 1)] }),
        json!({ "gid": "big", "trans_type": "saga", "steps": [{ "action": "http://h/".to_owned() + &"x".repeat(2048) }] }),
        json!({ "gid": "big", "trans_type": "saga", "business_key": "x".repeat(129) }),
        json!({ "gid": "big", "trans_type": "saga", "steps": steps(100_000) }),
    ];
    for body in table {
        let reply = server.dtm("submit", body).await;
        let expected = if reply.code().starts_with("invalid_") { 500 } else { 413 };
        assert_eq!(reply.status, expected, "{reply:?}");
        assert!(!reply.code().is_empty() && reply.message().len() < 1000, "{reply:?}");
    }
    assert_eq!(server.query("big").await["transaction"], json!(null));
}

#[tokio::test]
async fn hostile_query_strings_are_refused_or_find_nothing() {
    let server = TestServer::start().await;
    for query in [
        "all?limit=0",
        "all?limit=-1",
        "all?limit=x",
        "all?limit=99999999999999999999",
        "all?position=x",
        "query?gid=%00",
    ] {
        let reply = server.get(&format!("/api/dtmsvr/{query}")).await;
        assert!(reply.status >= 400 && !reply.code().is_empty(), "{query}: {reply:?}");
    }
    for query in ["query?gid='%20OR%201=1--", "query?gid=%25", "query?gid=%zz", "all?limit=1000000", "all?x=%ff"] {
        let reply = server.get(&format!("/api/dtmsvr/{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn others_are_served_while_bad_input_pours_in() {
    let server = TestServer::start().await;
    let deep = "[".repeat(100_000);
    let bad = async {
        for _ in 0..50 {
            server.post("/api/dtmsvr/submit", &deep).await;
        }
    };
    let good = async {
        for number in 0..50 {
            let reply = server.dtm("prepare", json!({ "gid": format!("g{number}"), "trans_type": "tcc" })).await;
            assert_eq!(reply.status, 200);
        }
    };
    tokio::join!(bad, good);
}
