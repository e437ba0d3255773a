//! Paths and query strings.

use super::Row;
use crate::client::{get, post};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in [
        "/",
        "//api/dtmsvr/newGid",
        "/api//dtmsvr/newGid",
        "/api/dtmsvr/../dtmsvr/newGid",
        "/api/dtmsvr/../../../etc/passwd",
        "/api/dtmsvr/%2e%2e/newGid",
        "/api/dtmsvr/new%47id",
        "/api/dtmsvr/newGid%00",
        "/api/dtmsvr/newGid;x=y",
        "/api/dtmsvr/newgid",
        "/API/dtmsvr/newGid",
        "/api/dtmsvr/topic/a/b",
    ] {
        rows.push(Row::answered(format!("the path {path}"), get(path), 404, ""));
    }
    for (method, path) in [("GET", "submit"), ("PUT", "submit"), ("POST", "query"), ("DELETE", "newGid")] {
        let sent = format!("{method} /api/dtmsvr/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        rows.push(Row::answered(format!("{method} of {path}"), sent, 404, ""));
    }
    rows.push(Row::answered("a body nobody asked for", post("/api/dtmsvr/nowhere", "{}".repeat(100_000)), 404, ""));
    let long = |bytes: usize| get(&format!("/api/ping?{}", "x".repeat(bytes - "/api/ping?".len())));
    rows.push(Row::answered("a URL of 8 KiB", long(8192), 200, ""));
    rows.push(Row::answered("a URL of 8 KiB and a byte", long(8193), 414, "too_large"));
    for (query, status, code) in [
        ("query", 500, "no_gid"),
        ("query?gid=", 500, "no_gid"),
        ("query?gid=%00", 500, "invalid_gid"),
        ("query?gid=a%0d%0aset-cookie:%20x", 200, ""),
        ("query?gid=%1b[2J", 500, "invalid_gid"),
        ("query?gid=%zz", 200, ""),
        ("query?gid=%ff%fe", 200, ""),
        ("query?gid='%20OR%201=1--", 200, ""),
        ("query?gid=g&gid=h", 200, ""),
        ("all?limit=0", 500, "invalid_parameter"),
        ("all?limit=-1", 500, "invalid_parameter"),
        ("all?limit=99999999999999999999", 500, "invalid_parameter"),
        ("all?limit=1%00", 500, "invalid_parameter"),
        ("all?position=x", 500, "invalid_parameter"),
        ("all?position=%ff", 500, "invalid_parameter"),
    ] {
        let sent = get(&format!("/api/dtmsvr/{query}"));
        rows.push(Row::answered(format!("the query {query}"), sent, status, code));
    }
    let long = get(&format!("/api/dtmsvr/query?gid={}", "x".repeat(129)));
    rows.push(Row::answered("a query for a gid of 129 characters", long, 500, "invalid_gid"));
    rows
}
