//! Fields that hold what they should not.

use serde_json::{Value, json};

use super::{Row, saga};
use crate::client::post;
use crate::participant::Participant;

pub(super) fn rows(participant: &Participant) -> Vec<Row> {
    [wrong_types(participant), ids(), headers(participant), urls(), options(participant)]
        .into_iter()
        .flatten()
        .collect()
}

fn wrong_types(participant: &Participant) -> Vec<Row> {
    let table = [
        ("gid", vec![json!(7), json!(true), json!({}), json!(["g"])]),
        ("trans_type", vec![json!(7), json!({}), json!(["saga"])]),
        ("steps", vec![json!("x"), json!(7), json!({}), json!([7]), json!(["x"]), json!([[]])]),
        ("steps", vec![json!([{"action": 7}]), json!([{"action": {}}]), json!([{"compensate": []}])]),
        ("payloads", vec![json!("x"), json!({}), json!([7]), json!([{"amount": 30}]), json!([[]])]),
        ("branches", vec![json!("x"), json!({}), json!([7]), json!([{"branch_id": {}}])]),
        ("custom_data", vec![json!(7), json!({}), json!([])]),
        ("query_prepared", vec![json!(7), json!({})]),
        ("protocol", vec![json!(7), json!({})]),
        ("business_key", vec![json!(7), json!({})]),
        ("wait_result", vec![json!("true"), json!(1), json!({})]),
        ("concurrent", vec![json!("true"), json!(1), json!([])]),
        ("timeout_to_fail", vec![json!("1"), json!(-1), json!(1.5), json!(4_294_967_296_u64), json!({})]),
        ("request_timeout", vec![json!("1"), json!(-1), json!(1e300), json!(u64::MAX)]),
        ("retry_interval", vec![json!("1"), json!(-1), json!(0.1), json!([])]),
        ("retry_limit", vec![json!("1"), json!(-1), json!(true)]),
        ("branch_headers", vec![json!("x"), json!(7), json!(["x"]), json!({"a": 7}), json!({"a": {}})]),
    ];
    let row = |field: &str, value: Value| {
        let body = saga(participant, json!({field: value}));
        Row::submit(format!("{field} is {}", body[field]), body.to_string(), 500, "malformed_body")
    };
    table.into_iter().flat_map(|(field, values)| values.into_iter().map(move |value| row(field, value))).collect()
}

/// Ids that are none, and ids that look as if they would do harm and are mere text.
fn ids() -> Vec<Row> {
    let mut rows = Vec::new();
    for gid in [
        "Robert'); DROP TABLE txn;--",
        "\" OR \"\"=\"",
        "%s%n%x",
        "../../../etc/passwd",
        "<script>alert(1)</script>",
        "${jndi:ldap://evil.example/a}",
        "订单-\u{202e}1",
        "gid with \\ and ' and \"",
        &"单".repeat(128),
    ] {
        let body = json!({"gid": gid, "trans_type": "tcc"});
        // Semicolons are no part of a gid, whoever sends them.
        rows.push(Row::prepared(format!("the gid {gid:?}"), &gid.replace(';', ""), &body));
    }
    for (gid, code) in [
        ("", "no_gid"),
        (";\r\n", "no_gid"),
        ("a\0b", "invalid_gid"),
        ("a\tb", "invalid_gid"),
        ("a\u{1b}[2Jb", "invalid_gid"),
        ("a\u{7f}b", "invalid_gid"),
        ("a\u{85}b", "invalid_gid"),
        (&"x".repeat(129), "invalid_gid"),
        (&"单".repeat(129), "invalid_gid"),
        (&"x".repeat(1_000_000), "invalid_gid"),
    ] {
        let body = json!({"gid": gid, "trans_type": "saga"}).to_string();
        rows.push(Row::submit(format!("the gid {:.20?} of {} bytes", gid, gid.len()), body, 500, code));
    }
    for (branch, status, code) in [
        ("a\r\nx-injected: 1", 500, "invalid_branch_id"),
        ("", 500, "invalid_branch_id"),
        (&"x".repeat(129), 500, "invalid_branch_id"),
        ("' OR 1=1--", 409, "not_found"),
    ] {
        let body = json!({"gid": "nobody", "trans_type": "tcc", "branch_id": branch}).to_string();
        let sent = post("/api/dtmsvr/registerBranch", body);
        rows.push(Row::answered(
            format!("the branch id {:.20?} of {} bytes", branch, branch.len()),
            sent,
            status,
            code,
        ));
    }
    for (trans_type, status, code) in [
        ("", 500, "unknown_trans_type"),
        ("SAGA", 500, "unknown_trans_type"),
        ("saga\0", 500, "unknown_trans_type"),
        (&"x".repeat(1_000_000), 500, "unknown_trans_type"),
        ("workflow", 501, "not_supported"),
    ] {
        for route in ["prepare", "submit", "abort", "registerBranch"] {
            let body = json!({"gid": "g", "trans_type": trans_type, "branch_id": "01"}).to_string();
            let name = format!("{route} of the type {:.20?} of {} bytes", trans_type, trans_type.len());
            rows.push(Row::answered(name, post(&format!("/api/dtmsvr/{route}"), body), status, code));
        }
    }
    rows
}

/// Headers that would break out of their line, or change what a call to a participant is.
fn headers(participant: &Participant) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, value) in [
        ("x", "a\r\nx-injected: 1"),
        ("x", "a\nb"),
        ("x", "a\0b"),
        ("x\r\ny", "a"),
        ("x y", "a"),
        ("x:", "a"),
        ("", "a"),
        ("é", "a"),
        ("Host", "evil.example"),
        ("Content-Length", "7"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("keep-alive", "1"),
        ("Upgrade", "h2c"),
        ("te", "trailers"),
        ("Trailer", "x"),
        ("Expect", "100-continue"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy-Connection", "keep-alive"),
    ] {
        let body = saga(participant, json!({"branch_headers": {name: value}})).to_string();
        rows.push(Row::submit(format!("the branch header {name:?}: {value:?}"), body, 500, "invalid_branch_header"));
    }
    rows
}

/// Addresses that nothing could ever call.
fn urls() -> Vec<Row> {
    let mut rows = Vec::new();
    for url in [
        "ftp://h/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//h/path",
        "h:80/path",
        "http:h",
        "http://",
        "http:///path",
        "http://:80/",
        "http://user@/",
        "http://h:port/",
        "http://h:65536/",
        "http://h/a b",
        "http://h/\r\nx-injected: 1",
        "http://h/\0",
        "http://h h/",
    ] {
        for field in ["action", "compensate"] {
            let body = json!({"gid": "g", "trans_type": "saga", "steps": [{field: url}]}).to_string();
            rows.push(Row::submit(format!("{field} at {url:?}"), body, 500, "unsupported_url"));
        }
        let body = json!({"gid": "g", "trans_type": "msg", "query_prepared": url}).to_string();
        rows.push(Row::submit(format!("query_prepared at {url:?}"), body, 500, "unsupported_url"));
    }
    rows
}

fn options(participant: &Participant) -> Vec<Row> {
    let row = |name: &str, fields: Value, status: u16, code: &'static str| {
        Row::submit(name, saga(participant, fields).to_string(), status, code)
    };
    vec![
        row("an unknown protocol", json!({"protocol": "smtp"}), 500, "unknown_protocol"),
        row("JSON-RPC", json!({"protocol": "json-rpc"}), 501, "not_supported"),
        row("gRPC", json!({"protocol": "grpc"}), 501, "not_supported"),
        row("custom data that is no JSON", json!({"custom_data": "{bad"}), 500, "invalid_custom_data"),
        row("custom data that is a list", json!({"custom_data": "[1]"}), 500, "invalid_custom_data"),
        row(
            "custom data that nests",
            json!({"custom_data": format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))}),
            500,
            "invalid_custom_data",
        ),
        row(
            "a step that waits for itself",
            json!({"custom_data": r#"{"orders":{"0":[0]}}"#}),
            500,
            "invalid_definition",
        ),
        row("a step that waits for none", json!({"custom_data": r#"{"orders":{"0":[7]}}"#}), 500, "invalid_definition"),
        row("a step that is none", json!({"custom_data": r#"{"orders":{"x":[0]}}"#}), 500, "invalid_custom_data"),
        row("a negative step", json!({"custom_data": r#"{"orders":{"-1":[0]}}"#}), 500, "invalid_custom_data"),
        row(
            "a negative delay",
            json!({"trans_type": "msg", "custom_data": r#"{"delay":-1}"#}),
            500,
            "invalid_custom_data",
        ),
        row("a business key with a line break", json!({"business_key": "a\nb"}), 500, "invalid_business_key"),
        row("two payloads for one step", json!({"payloads": ["{}", "{}"]}), 500, "payload_without_step"),
    ]
}
