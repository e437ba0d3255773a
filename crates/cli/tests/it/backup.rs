//! A backup of a coordinator under load, the store that is restored from it, and what is on hold there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::coordinator::Coordinator;
use crate::escrow::{escrow, post, prepare, refused, status, succeed, text};
use crate::load::{Load, Participant};

const LISTEN: &str = "127.0.0.1:0";
const CLIENTS: usize = 16;
/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);
const HINT: &str = "everything unfinished is on hold; once it was looked at: escrow tx release --all, or GID\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_under_load_is_in_the_store_that_is_restored() {
    let home = tempfile::tempdir().unwrap();
    let participant = Participant::start().await;
    let running = Coordinator::start(home.path(), LISTEN);
    let load = Arc::new(Load::new(&running.address, participant.address));
    let clients = load.start(CLIENTS);
    load.wait_for(400, PATIENCE).await;

    let promised = load.promises();
    let at_home = home.path().to_owned();
    let backed_up = tokio::task::spawn_blocking(move || succeed(&at_home, &["backup", "data", "backup"]));
    let backed_up = backed_up.await.unwrap();
    assert!(backed_up.starts_with("backed up data to backup: "), "{backed_up}");
    load.wait_for(load.acknowledged() + 200, PATIENCE).await;
    load.stop(clients).await;
    let verdict = load.verdict(&participant, PATIENCE).await;
    assert_eq!((verdict.lost, verdict.contradictory), (vec![], vec![]), "of the coordinator that was backed up");
    drop(running);

    succeed(home.path(), &["restore", "backup", "restored"]);
    let running = serve_restored(home.path());
    for gid in promised.keys() {
        assert_ne!(status(&running.address, gid), "", "{gid} is not in the backup");
    }
    let released = succeed(home.path(), &["tx", "release", "--all", "--server", &url(&running)]);
    assert!(released.starts_with("released "), "{released}");
    let load = Load::new(&running.address, participant.address);
    let verdict = load.verdict_on(promised, &participant, PATIENCE).await;
    assert_eq!((verdict.lost, verdict.contradictory), (vec![], vec![]), "of the one that was restored");
    assert!(verdict.succeeded > 0 && verdict.failed > 0, "{} {}", verdict.succeeded, verdict.failed);
}

fn serve_restored(home: &Path) -> Coordinator {
    Coordinator::start_on(home, LISTEN, &["--data", "restored"])
}

fn url(running: &Coordinator) -> String {
    format!("http://{}", running.address)
}

/// A saga of one step, whose answer is waited for for long.
fn saga(participant: &Participant, gid: &str, behaviour: &str) -> Value {
    let url = |path: &str| format!("http://{}/{path}", participant.address);
    json!({"gid": gid, "trans_type": "saga", "steps": [{"action": url(behaviour), "compensate": url("ok")}],
        "payloads": ["{}"], "request_timeout": 600})
}

fn submit(running: &Coordinator, saga: &Value) {
    let reply = post(&running.address, "submit", saga);
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

fn wait_for(running: &Coordinator, gid: &str, expected: &str) {
    let until = Instant::now() + PATIENCE;
    while status(&running.address, gid) != expected {
        assert!(Instant::now() < until, "{gid} is {}", status(&running.address, gid));
        std::thread::yield_now();
    }
}

/// A store, restored from a backup, that holds `owed-1` to `owed-3`, sagas that were being driven, `waiting`, which has not been
/// decided, and `ended`.
async fn restored(home: &Path, participant: &Participant) -> Coordinator {
    let running = Coordinator::start(home, LISTEN);
    for number in 1..=3 {
        submit(&running, &saga(participant, &format!("owed-{number}"), "gated"));
    }
    prepare(&running.address, "waiting");
    submit(&running, &saga(participant, "ended", "ok"));
    wait_for(&running, "ended", "succeed");
    participant.wait_for_calls(4, PATIENCE).await;
    succeed(home, &["backup", "data", "backup"]);
    drop(running);
    let told = succeed(home, &["restore", "backup", "restored"]);
    let expected = "restored backup to restored: 4 unfinished transactions, 1 finished transaction and 1 setting\n";
    assert_eq!(told, format!("{expected}{HINT}"));
    serve_restored(home)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_hold_drives_nothing_until_it_is_released_and_then_is_driven_at_once() {
    let home = tempfile::tempdir().unwrap();
    let participant = Participant::start().await;
    let running = restored(home.path(), &participant).await;
    let calls = participant.calls();

    for held in [saga(&participant, "owed-1", "gated"), json!({"gid": "waiting", "trans_type": "tcc"})] {
        let reply = post(&running.address, "submit", &held);
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nx-escrow-error: on_hold\r\n"), "{reply}");
        assert!(body.contains(&format!("escrow tx release {}", held["gid"].as_str().unwrap())), "{body}");
    }
    // New ones are driven, and whatever would be driven at a start comes before them.
    for number in 0..20 {
        submit(&running, &saga(&participant, &format!("new-{number}"), "ok"));
        wait_for(&running, &format!("new-{number}"), "succeed");
    }
    assert_eq!(participant.calls(), calls + 20);
    assert_eq!(status(&running.address, "owed-1"), "submitted");

    participant.open_gate();
    let release = |which: &str| escrow(home.path(), &["tx", "release", which, "--server", &url(&running)]);
    assert_eq!(text(&release("owed-1").stdout), "released owed-1\n");
    wait_for(&running, "owed-1", "succeed");
    assert_eq!(participant.calls(), calls + 21, "the others still wait");
    let again = release("owed-1");
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(1), "owed-1 is not on hold\n".to_owned()));
    assert_eq!(text(&release("--all").stdout), "released 3 transactions\n");
    wait_for(&running, "owed-2", "succeed");
    wait_for(&running, "owed-3", "succeed");
    submit(&running, &json!({"gid": "waiting", "trans_type": "tcc"}));
    wait_for(&running, "waiting", "succeed");
    assert_eq!(text(&release("--all").stdout), "released 0 transactions\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_survive_a_kill_and_so_do_releases() {
    let home = tempfile::tempdir().unwrap();
    let participant = Participant::start().await;
    let running = restored(home.path(), &participant).await;
    participant.open_gate();
    succeed(home.path(), &["tx", "release", "owed-1", "--server", &url(&running)]);
    drop(running);
    let running = serve_restored(home.path());
    wait_for(&running, "owed-1", "succeed");
    let reply = post(&running.address, "submit", &saga(&participant, "owed-2", "gated"));
    assert!(reply.contains("on_hold"), "{reply}");
}

#[test]
fn a_backup_is_no_store_and_a_store_is_no_backup_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    drop(Coordinator::start(home, LISTEN));
    succeed(home, &["backup", "data", "backup"]);
    for (arguments, error) in [
        (&["backup", "data", "backup"][..], "error: backup is not empty [not_empty]\n"),
        (&["restore", "backup", "data"], "error: data is not empty [not_empty]\n"),
        (&["restore", "data", "new"], "error: data holds no whole backup [not_a_backup]\n"),
        (&["restore", "none", "new"], "error: none holds no whole backup [not_a_backup]\n"),
        (&["backup", "none", "new"], "error: none is no store of this program [not_a_store]\n"),
        (
            &["serve", "--listen", LISTEN, "--data", "backup"],
            "error: the store local:backup cannot be used: backup is a backup, and no store: make one of it with `escrow \
             restore backup DIR` [not_a_store]\n",
        ),
    ] {
        assert_eq!(refused(home, arguments), error);
        assert!(!home.join("new").exists(), "{arguments:?}");
    }
    let told = succeed(home, &["restore", "backup", "restored"]);
    assert_eq!(told, "restored backup to restored: 0 unfinished transactions, 0 finished transactions and 1 setting\n");
}
