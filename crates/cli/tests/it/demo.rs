//! The demo as a user runs it: the built binary, which starts itself again as the coordinator.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn escrow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.stdin(Stdio::null());
    command
}

fn demo(arguments: &[&str]) -> Output {
    escrow().arg("demo").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The number that stands first on the line of this name.
fn number(report: &str, name: &str) -> u64 {
    let line = report.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in:\n{report}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many violations the table shows for a check.
fn violations(report: &str, check: &str) -> u64 {
    let found = report.lines().find_map(|line| line.strip_prefix(&format!("{check} is violated ")));
    found.map_or(0, |rest| rest.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn three_hundred_orders_in_rough_weather_leave_sound_books() {
    let run = demo(&["--orders", "300", "--seed", "7", "--chaos", "high"]);
    let report = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{report}\n{}", text(&run.stderr));
    assert!(report.contains("0 violations"), "{report}");
    assert_eq!(number(&report, "orders"), 300);
    assert!(number(&report, "kills") >= 3, "{report}");
    assert!(number(&report, "faults") > 100, "{report}");
}

/// A Try that comes after its cancel reserves what nobody will ever post or free, unless the barrier turns it away.
#[test]
fn without_the_barrier_late_tries_break_the_books() {
    let run = demo(&["--orders", "200", "--seed", "1", "--chaos", "high", "--barrier", "off"]);
    let report = text(&run.stdout);
    assert_eq!(run.status.code(), Some(1), "{report}\n{}", text(&run.stderr));
    assert!(report.contains("NOT SOUND"), "{report}");
    let stuck = ["P4", "P6", "T2"].map(|check| violations(&report, check));
    assert!(stuck.iter().any(|violations| *violations > 0), "{report}");
}

#[test]
fn kept_records_can_be_opened_and_looked_at_as_the_demo_says() {
    let dir = tempfile::tempdir().unwrap();
    let keep = dir.path().join("kept");
    let run = demo(&["--orders", "20", "--chaos", "off", "--keep", keep.to_str().unwrap()]);
    let report = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{report}\n{}", text(&run.stderr));
    assert!(keep.join("pay_order.db").exists());

    let data = command_line(&report, "serve --data ");
    let gid = command_line(&report, "tx show ");
    let (_coordinator, url) = serve(Path::new(&data)).unwrap();
    let shown = escrow().args(["tx", "show", &gid, "--server", &url]).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("succeed"), "{}", text(&shown.stdout));
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "data").unwrap();
    let run = demo(&["--orders", "1", "--keep", dir.path().to_str().unwrap()]);
    assert_ne!(run.status.code(), Some(0));
    assert!(text(&run.stderr).contains("is not empty"), "{}", text(&run.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// However the demo ends, its coordinator ends too, and gives its data free.
#[test]
fn a_killed_demo_leaves_no_coordinator_behind() {
    let dir = tempfile::tempdir().unwrap();
    let keep = dir.path().join("kept");
    let mut demo = escrow()
        .args(["demo", "--orders", "5000", "--chaos", "off", "--keep", keep.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(demo.stderr.take().unwrap()).lines();
    progress.find(|line| line.as_ref().unwrap().contains("orders done")).unwrap().unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match serve(&keep.join("coordinator")) {
            Some(_) => break,
            None => assert!(Instant::now() < deadline, "the coordinator still holds its data"),
        }
    }
}

/// What nobody asked to keep is not left behind, whoever ends the demo and while it does what.
#[test]
fn an_interrupted_demo_removes_its_databases() {
    for (signal, seen) in [("INT", "1 of 10 orders done"), ("TERM", "waiting for rest")] {
        let home = tempfile::tempdir().unwrap();
        let mut demo = escrow()
            .args(["demo", "--orders", "10", "--chaos", "off"])
            .env("TMPDIR", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(demo.stderr.take().unwrap()).lines();
        progress.find(|line| line.as_ref().unwrap().starts_with(seen)).unwrap().unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), &demo.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(demo.wait().unwrap().code(), Some(1), "{signal}");
        assert_eq!(progress.last().unwrap().unwrap(), "error: interrupted");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "{signal}");
    }
}

/// What follows `command` of this executable on the line that shows it.
fn command_line(report: &str, command: &str) -> String {
    let start = format!("{} {command}", env!("CARGO_BIN_EXE_escrow"));
    let found = report.lines().find_map(|line| line.trim().strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {start:?} in:\n{report}")).to_owned()
}

/// A coordinator that is killed when the test is over.
struct Coordinator {
    child: Child,
    /// Open as long as it runs: it may have more to say.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a coordinator on this data; `None`: it does not start.
fn serve(data: &Path) -> Option<(Coordinator, String)> {
    let mut child = escrow()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = output.by_ref().map_while(Result::ok).find(|line| line.contains("listening on "));
    let coordinator = Coordinator { child, _output: output };
    let (_, url) = line.as_deref()?.split_once("listening on ")?;
    Some((coordinator, url.trim().to_owned()))
}
