use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{Participant, TestServer};

async fn subscribe(server: &TestServer, topic: &str, url: &str) {
    let query: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("topic", topic).append_pair("url", url).finish();
    let reply = server.get(&format!("/api/dtmsvr/subscribe?{query}")).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "dtm_result": "SUCCESS" })));
}

async fn delete(server: &TestServer, path: &str) -> u16 {
    let request = format!("DELETE /api/dtmsvr/topic/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    server.send(request).await.status
}

fn message(gid: &str, topic: &str) -> Value {
    json!({ "gid": gid, "trans_type": "msg", "steps": [{ "action": format!("topic://{topic}") }], "payloads": ["{}"] })
}

#[tokio::test]
async fn a_repeated_submit_is_the_same_when_all_subscribers_have_left_and_after_a_restart() {
    let server = TestServer::start().await;
    let participant = Participant::start().await;
    participant.will_answer(&[500, 500, 500]);
    subscribe(&server, "paid", &participant.url("a")).await;
    subscribe(&server, "paid", &participant.url("b")).await;
    let submit = || message("g", "paid");
    assert_eq!(server.dtm("submit", submit()).await.status, 200);
    assert_eq!(delete(&server, "paid").await, 200);
    assert_eq!(server.dtm("submit", submit()).await.status, 200);
    let server = TestServer::on(server.stop().await, &[]).await.unwrap();
    assert_eq!(server.dtm("submit", submit()).await.status, 200);
    let other = server.dtm("submit", message("g", "sent")).await;
    assert_eq!((other.status, other.code()), (409, "definition_mismatch"));
    let new = server.dtm("submit", message("new", "paid")).await;
    assert_eq!((new.status, new.code()), (500, "topic_not_found"));
    assert_eq!(server.query("new").await["transaction"], json!(null));
}

#[tokio::test]
async fn topics_survive_a_restart_and_nothing_else_that_is_kept_is_shown() {
    let server = TestServer::start().await;
    subscribe(&server, "订单 1/2", "http://me:secret@ledger/paid").await;
    let server = TestServer::on(server.stop().await, &[]).await.unwrap();
    let shown = server.get("/api/dtmsvr/queryKV?cat=topics").await;
    assert!(!shown.body.contains("secret"), "{}", shown.body);
    let entry = &shown.json()["kv"][0];
    assert_eq!((&entry["k"], &entry["version"]), (&json!("订单 1/2"), &json!(1)));
    assert_eq!(entry["v"], r#"[{"url":"http://***@ledger/paid","remark":""}]"#);
    for query in ["scanKV?cat=coordinator", "scanKV?cat=", "scanKV", "scanKV?cat=setting"] {
        let nothing = server.get(&format!("/api/dtmsvr/{query}")).await.json();
        assert_eq!(nothing, json!({ "kv": [], "next_position": "" }), "{query}");
    }
    for query in ["queryKV?cat=coordinator&key=epoch", "queryKV"] {
        assert_eq!(server.get(&format!("/api/dtmsvr/{query}")).await.json(), json!({ "kv": [] }), "{query}");
    }
    assert_eq!(delete(&server, "%E8%AE%A2%E5%8D%95%201%2F2").await, 200);
    assert_eq!(delete(&server, "%E8%AE%A2%E5%8D%95%201%2F2").await, 500);
    assert_eq!(server.get("/api/dtmsvr/queryKV?cat=topics").await.json(), json!({ "kv": [] }));
}

#[tokio::test]
async fn what_is_told_to_everybody_is_too_much_at_once_past_a_thousand_topics() {
    let server = TestServer::start().await;
    let subscribe = |number: usize| {
        let query = format!("/api/dtmsvr/subscribe?topic=t{number:04}&url=http://a/");
        async { assert_eq!(server.get(&{ query }).await.status, 200) }
    };
    stream::iter(0..1_000).map(subscribe).buffer_unordered(50).collect::<()>().await;
    assert_eq!(server.get("/api/dtmsvr/queryKV?cat=topics").await.json()["kv"].as_array().unwrap().len(), 1_000);
    let page = server.get("/api/dtmsvr/scanKV?cat=topics&limit=100000").await.json();
    assert_eq!((page["kv"].as_array().unwrap().len(), &page["next_position"]), (1_000, &json!("")));
    subscribe(1_000).await;
    let refused = server.get("/api/dtmsvr/queryKV?cat=topics").await;
    assert_eq!((refused.status, refused.code()), (413, "too_large"));
    let page = server.get("/api/dtmsvr/scanKV?cat=topics&limit=100000").await.json();
    assert_eq!((page["kv"].as_array().unwrap().len(), &page["next_position"]), (1_000, &json!("t0999")));
}
