//! The binary and its HTTP API, as a script uses them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs a command in a directory, without the environment of whoever runs the tests and without anybody at the terminal.
pub(crate) fn escrow(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.env_clear().current_dir(home).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a command printed that succeeded.
pub(crate) fn succeed(home: &Path, arguments: &[&str]) -> String {
    let output = escrow(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command told that ended with exit code 1.
pub(crate) fn refused(home: &Path, arguments: &[&str]) -> String {
    let output = escrow(home, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One request, and its whole response.
pub(crate) fn exchange(address: &str, method: &str, path: &str, body: &str) -> String {
    try_exchange(address, method, path, body).unwrap()
}

/// The same, of a coordinator that may be ending.
fn try_exchange(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

/// A request below `/api/dtmsvr/`, and its whole response.
pub(crate) fn post(address: &str, route: &str, body: &Value) -> String {
    ask(address, route, body).unwrap()
}

/// The same, of a coordinator that may be ending.
pub(crate) fn ask(address: &str, route: &str, body: &Value) -> std::io::Result<String> {
    try_exchange(address, "POST", &format!("/api/dtmsvr/{route}"), &body.to_string())
}

/// A transaction that waits for its decision for a day.
pub(crate) fn prepare(address: &str, gid: &str) {
    let body = serde_json::json!({"gid": gid, "trans_type": "tcc", "timeout_to_fail": 86400});
    let reply = post(address, "prepare", &body);
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

/// The status of a transaction; empty if nobody knows it.
pub(crate) fn status(address: &str, gid: &str) -> String {
    let reply = exchange(address, "GET", &format!("/api/dtmsvr/query?gid={gid}"), "");
    let body: Value = serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap();
    body["transaction"]["status"].as_str().unwrap_or_default().to_owned()
}
