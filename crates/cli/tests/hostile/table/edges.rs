//! What is as large as it may be, and what is one larger.

use serde_json::{Value, json};

use super::Row;
use crate::client::post;

const MIB: usize = 1024 * 1024;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // `prepare` keeps a message as it is and calls nobody before its time.
    let mut edge = |name: &str, limit: usize, fields: &dyn Fn(usize) -> Value, status: u16, code: &'static str| {
        let message = |gid: &str, count: usize| {
            let mut body = json!({"gid": gid, "trans_type": "msg", "query_prepared": "http://h/q",
                "timeout_to_fail": 86_400});
            body.as_object_mut().unwrap().extend(fields(count).as_object().unwrap().clone());
            body
        };
        let gid = format!("{name} at the limit");
        rows.push(Row::prepared(gid.clone(), &gid, &message(&gid, limit)));
        let past = post("/api/dtmsvr/prepare", message("past", limit + 1).to_string());
        rows.push(Row::answered(format!("{name} past the limit"), past, status, code));
    };
    let url = |bytes: usize| format!("http://h/{}", "x".repeat(bytes - "http://h/".len()));
    edge("steps", 1000, &|count| json!({"steps": vec![json!({"action": ""}); count]}), 413, "too_large");
    edge("an action", 2048, &|count| json!({"steps": [{"action": url(count)}]}), 413, "too_large");
    edge("query_prepared", 2048, &|count| json!({"query_prepared": url(count)}), 413, "too_large");
    edge(
        "a payload",
        2 * MIB,
        &|count| json!({"steps": [{"action": ""}], "payloads": ["x".repeat(count)]}),
        413,
        "too_large",
    );
    edge(
        "all payloads",
        4 * MIB,
        &|count| {
            let payloads = ["x".repeat(2 * MIB), "x".repeat(MIB), "x".repeat(count - 3 * MIB)];
            json!({"steps": vec![json!({"action": ""}); 3], "payloads": payloads})
        },
        413,
        "too_large",
    );
    edge("a business key", 128, &|count| json!({"business_key": "单".repeat(count)}), 500, "invalid_business_key");
    edge(
        "custom data",
        64 * 1024,
        &|count| json!({"custom_data": format!("{{\"x\":\"{}\"}}", "x".repeat(count - 8))}),
        413,
        "too_large",
    );
    let headers = |count: usize| (0..count).map(|number| (format!("x{number}"), json!("y"))).collect();
    edge("branch headers", 32, &|count| json!({"branch_headers": Value::Object(headers(count))}), 413, "too_large");
    edge("a branch header", 8191, &|count| json!({"branch_headers": {"x": "y".repeat(count)}}), 413, "too_large");
    edge("seconds", u32::MAX as usize, &|count| json!({"retry_interval": count}), 500, "malformed_body");
    rows.push(Row::submit("a hundred thousand steps", many_steps(), 413, "too_large"));
    rows
}

fn many_steps() -> String {
    json!({"gid": "g", "trans_type": "saga", "steps": vec![json!({}); 100_000]}).to_string()
}
