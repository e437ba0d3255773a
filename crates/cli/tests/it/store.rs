//! `escrow store` on what a coordinator has left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::coordinator::Coordinator;

fn escrow(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_escrow")).env_clear().current_dir(home).args(arguments).output().unwrap()
}

/// One request, and its whole response.
fn exchange(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn copy(home: &Path, from: &str, to: &str) -> Output {
    escrow(home, &["store", "copy", from, to])
}

#[test]
fn a_store_is_copied_once_its_coordinator_has_ended_and_the_copy_is_served() {
    let home = tempfile::tempdir().unwrap();
    let (from, to) = ("sqlite:data/escrow.db", "sqlite:copies/one.db");
    let running = Coordinator::start(home.path(), "127.0.0.1:0");
    let body = r#"{"gid":"kept","trans_type":"tcc","timeout_to_fail":86400}"#;
    let prepared = exchange(&running.address, "POST", "/api/dtmsvr/prepare", body);
    assert!(prepared.starts_with("HTTP/1.1 200 "), "{prepared}");
    let refused = copy(home.path(), from, to);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("open already") && error.ends_with(" [store_locked]\n"), "{error}");
    drop(running);

    let copied = copy(home.path(), from, to);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let expected = "copied sqlite:data/escrow.db to sqlite:copies/one.db, and compared:\n\
                    1 transaction, 1 of them unfinished; 1 setting\n";
    assert_eq!(text(&copied.stdout), expected);
    let again = text(&copy(home.path(), from, to).stderr);
    assert_eq!(
        again,
        "error: the store sqlite:copies/one.db is not empty: a copy goes into a new one [copy_refused]\n"
    );

    let running = Coordinator::start_on(home.path(), "127.0.0.1:0", &["--store", to]);
    let shown = exchange(&running.address, "GET", "/api/dtmsvr/query?gid=kept", "");
    assert!(shown.contains(r#""status":"prepared""#), "{shown}");
}

#[test]
fn what_is_no_store_or_not_there_is_told() {
    let home = tempfile::tempdir().unwrap();
    let error = text(&copy(home.path(), "sqlite:none.db", "sqlite:copy.db").stderr);
    assert_eq!(error, "error: there is no store sqlite:none.db [copy_refused]\n");
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
    let error = text(&copy(home.path(), "data", "sqlite:copy.db").stderr);
    assert!(error.contains("\"data\" is no store: it must be sqlite:FILE or local:DIR"), "{error}");
}
