//! Requests for other hosts, and of other pages.

use super::Row;

pub(super) fn rows() -> Vec<Row> {
    let with = |lines: &str| format!("POST /api/dtmsvr/forceStop HTTP/1.1\r\ncontent-length: 0\r\n{lines}\r\n");
    let mut rows = vec![
        Row::answered("no host", with(""), 400, "bad_host"),
        Row::answered("two hosts", with("host: localhost\r\nhost: localhost\r\n"), 400, "bad_host"),
        Row::answered("a host that is no text", with("host: local\u{ff}host\r\n"), 400, "bad_host"),
        Row::answered(
            "a proxy's request with another host inside",
            "GET http://localhost/api/ping HTTP/1.1\r\nhost: evil.example\r\n\r\n",
            421,
            "unknown_host",
        ),
    ];
    for host in ["", ":36789", "localhost:99999", "localhost:x", "[::1", "a:b:c"] {
        rows.push(Row::answered(format!("a host of {host:?}"), with(&format!("host: {host}\r\n")), 400, "bad_host"));
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost,evil.example",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::ffff:8.8.8.8]",
        "169.254.169.254",
    ] {
        rows.push(Row::answered(
            format!("a host of {host:?}"),
            with(&format!("host: {host}\r\n")),
            421,
            "unknown_host",
        ));
    }
    for origin in ["http://evil.example", "http://localhost:3000", "null", "", "file://", "http://localhost.evil"] {
        let lines = format!("host: localhost\r\norigin: {origin}\r\n");
        rows.push(Row::answered(format!("an origin of {origin:?}"), with(&lines), 403, "foreign_origin"));
    }
    let two = "host: localhost\r\norigin: http://localhost\r\norigin: http://evil.example\r\n";
    rows.push(Row::answered("two origins", with(two), 403, "foreign_origin"));
    rows
}
