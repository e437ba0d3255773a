//! `escrow serve` as a user, a supervisor or a parent process runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A command in a directory of its own, without the environment of whoever runs the tests.
fn serve(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.env_clear().current_dir(home).arg("serve").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    serve(home, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A coordinator that has said where it is; killed if the test ends early.
struct Running {
    child: Child,
    address: String,
    data: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |before: &str| lines.next().unwrap().unwrap().strip_prefix(before).unwrap().to_owned();
        let (address, data) = (next("listening on http://"), next("data in "));
        Self { child, address, data }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, and what went to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (code, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[cfg(unix)]
#[test]
fn it_says_where_it_is_and_a_signal_stops_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let home = tempfile::tempdir().unwrap();
        let running = Running::start(&mut serve(home.path(), &["--listen", "127.0.0.1:0"]));
        assert!(running.get("/api/ping").ends_with(r#"{"msg":"pong"}"#));
        assert_eq!(Path::new(&running.data), home.path().canonicalize().unwrap().join("escrow-data"));
        assert!(home.path().join("escrow-data/escrow.id").exists());
        running.signal(signal);
        let (code, log) = running.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("started") && log.contains("stopped"), "{log}");
    }
}

#[test]
fn it_stops_when_its_parent_closes_the_standard_input() {
    let home = tempfile::tempdir().unwrap();
    let mut command = serve(home.path(), &["--listen", "127.0.0.1:0", "--exit-on-stdin-close"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    assert!(running.get("/readyz").starts_with("HTTP/1.1 200 "));
    drop(running.child.stdin.take());
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn without_being_asked_to_it_does_not_mind_a_closed_standard_input() {
    let home = tempfile::tempdir().unwrap();
    let running = Running::start(&mut serve(home.path(), &["--listen", "127.0.0.1:0"]));
    assert!(running.get("/readyz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_second_one_on_the_same_directory_is_told_that_there_is_a_first() {
    let home = tempfile::tempdir().unwrap();
    let first = Running::start(&mut serve(home.path(), &["--listen", "127.0.0.1:0"]));
    let second = run(home.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let error = text(&second.stderr);
    assert!(error.contains("error: the store local:./escrow-data cannot be used"), "{error}");
    assert!(error.contains("open already") && error.ends_with(" [store_locked]\n"), "{error}");
    assert!(first.get("/api/ping").ends_with("}"));
}

#[test]
fn a_store_that_is_named_is_used_instead_of_the_data_directory() {
    let home = tempfile::tempdir().unwrap();
    for (store, place, lock) in [
        ("sqlite:kept/other.db", "kept/other.db", "kept/other.lock"),
        ("local:embedded", "embedded", "embedded/store.lock"),
    ] {
        let flags = ["--listen", "127.0.0.1:0", "--exit-on-stdin-close", "--store", store];
        let mut running = Running::start(serve(home.path(), &flags).stdin(Stdio::piped()));
        assert_eq!(Path::new(&running.data), home.path().canonicalize().unwrap().join(place));
        assert!(home.path().join(lock).exists() && !home.path().join("escrow-data").exists());
        drop(running.child.stdin.take());
        assert_eq!(running.end().0, Some(0));
    }
    let mut command = serve(home.path(), &["--listen", "127.0.0.1:0"]);
    let refused = command.env("ESCROW_STORE", "postgres:x").output().unwrap();
    let error =
        "error: store cannot be \"postgres:x\": it must be sqlite:FILE or local:DIR, or empty [invalid_config]\n";
    assert_eq!(text(&refused.stderr), error);
}

#[test]
fn the_settings_in_force_can_be_printed_and_used_again() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("escrow.toml"), "listen = '127.0.0.1:1'\n[http]\nidle_ms = 77\n").unwrap();
    let mut command = serve(home.path(), &["--print-config", "--retry-cap-seconds", "4"]);
    let printed = command.env("ESCROW_HTTP_BODY_MS", "88").env("ESCROW_SERVER", "http://else").output().unwrap();
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let printed = text(&printed.stdout);
    for line in ["listen = \"127.0.0.1:1\"", "idle_ms = 77", "body_ms = 88", "retry_cap_seconds = 4", "calls_max = 512"]
    {
        assert!(printed.lines().any(|found| found == line), "{line} in\n{printed}");
    }
    assert!(!home.path().join("escrow-data").exists());
    std::fs::write(home.path().join("other.toml"), &printed).unwrap();
    assert_eq!(text(&run(home.path(), &["--print-config", "--config", "other.toml"]).stdout), printed);
}

#[test]
fn a_bad_setting_stops_the_start_and_says_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("bad.toml"), "[http]\nidle = 77\n").unwrap();
    for (arguments, expected) in [
        (["--listen", "localhost:1"], "error: listen cannot be \"localhost:1\": it must be an IP address with a port"),
        (
            ["--retry-cap-seconds", "0"],
            "error: transactions.retry_cap_seconds cannot be 0: it must be 1 to 86400 [invalid_config]",
        ),
        (["--log-format", "xml"], "error: log.format cannot be \"xml\": it must be text or json"),
        (["--config", "none.toml"], "error: cannot read none.toml"),
        (["--config", "bad.toml"], "error: bad.toml: unknown field `idle`"),
    ] {
        let refused = run(home.path(), &arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let error = text(&refused.stderr);
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(error.matches(expected.rsplit(": ").next().unwrap()).count(), 1, "{arguments:?}: {error}");
    }
}

#[test]
fn a_json_log_has_one_object_on_every_line() {
    let home = tempfile::tempdir().unwrap();
    let mut command = serve(home.path(), &["--listen", "127.0.0.1:0", "--log-format", "json", "--exit-on-stdin-close"]);
    let mut running = Running::start(command.stdin(Stdio::piped()).env("ESCROW_HTTP_IDLE", "7"));
    drop(running.child.stdin.take());
    let (_, log) = running.end();
    let events: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = events.iter().map(|event| event["fields"]["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["this environment variable is no setting", "started", "stopping", "stopped"]);
    assert_eq!(events[0]["fields"]["name"], "ESCROW_HTTP_IDLE");
}

#[test]
fn without_a_command_the_help_is_shown() {
    let shown = Command::new(env!("CARGO_BIN_EXE_escrow")).output().unwrap();
    let help = text(&shown.stdout) + &text(&shown.stderr);
    assert!(
        ["serve", "demo", "tx", "store", "backup", "restore"].iter().all(|command| help.contains(command)),
        "{help}"
    );
}
