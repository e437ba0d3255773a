//! A real `escrow serve` whose disk fails one sync: it ends, and loses nothing that it acknowledged.
//!
//! A small library, compiled here and preloaded into the process, lets one `fsync` or `fdatasync` fail with EIO. Like a real
//! disk it fails once: the next sync of the same file succeeds, whatever was lost.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)] // The figures go into notes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::coordinator::{Coordinator, Ended, serve};
use crate::escrow::{ask, prepare, status, succeed};
use crate::load::{Load, Participant};

const CLIENTS: usize = 32;
/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The library that lets a sync fail, compiled once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("failing_sync.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/syncs/failing_sync.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
        let compiled = compiler.output().expect("a C compiler, which the build needs too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        (dir, library)
    });
    library
}

/// Which sync fails: the `number`-th one of files whose path contains `path`.
#[derive(Clone, Copy, Debug)]
struct Failing {
    path: &'static str,
    number: u64,
}

impl Failing {
    /// Makes it so for a process. The file that says that it was so is named.
    fn prepare(self, command: &mut Command, home: &Path) -> PathBuf {
        let said = home.join("said");
        let _ = std::fs::remove_file(&said);
        command.env("LD_PRELOAD", library()).env("FAILING_SYNC_PATH", self.path);
        command.env("FAILING_SYNC_NUMBER", self.number.to_string()).env("FAILING_SYNC_SAID", &said);
        command.stderr(Stdio::piped());
        said
    }
}

/// It ended by itself, and told why.
fn assert_store_failed(ended: &Ended, failing: Failing) {
    assert_eq!(ended.code, Some(1), "{failing:?}: {}", ended.log);
    let expected = "error: the store in data has failed: it takes no more writes until the next start [store_failed]\n";
    assert!(ended.log.ends_with(expected), "{failing:?}: {}", ended.log);
    assert!(!ended.log.contains("panicked"), "{failing:?}: {}", ended.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_under_load_ends_the_process_and_loses_nothing_acknowledged() {
    let cases = [("/data/log/", [20, 47, 111, 260]), ("/data/archive/", [1, 2, 4, 7])];
    let cases = cases.into_iter().flat_map(|(path, numbers)| numbers.map(|number| Failing { path, number }));
    let mut running: JoinSet<()> = cases.map(fails_under_load).collect();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

async fn fails_under_load(failing: Failing) {
    let home = tempfile::tempdir().unwrap();
    let participant = Participant::start().await;
    let mut command = serve(home.path(), "127.0.0.1:0", &["--data", "data"]);
    let said = failing.prepare(&mut command, home.path());
    let failed = Coordinator::try_start(&mut command).unwrap_or_else(|ended| panic!("{failing:?}: {ended:?}"));
    let address = failed.address.clone();
    let load = Arc::new(Load::new(&address, participant.address));
    let clients = load.start(CLIENTS);
    let ended = tokio::task::spawn_blocking(move || failed.end());
    let ended =
        tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{failing:?}: it goes on")).unwrap();
    assert_store_failed(&ended, failing);
    let before = load.acknowledged();

    let (at, listen) = (home.path().to_owned(), address);
    let restarted = tokio::task::spawn_blocking(move || Coordinator::start(&at, &listen)).await.unwrap();
    load.wait_for(before + 100, PATIENCE).await;
    load.stop(clients).await;
    let verdict = load.verdict(&participant, PATIENCE).await;
    let place = std::fs::read_to_string(said).unwrap();
    println!("{failing:?}: {place} failed after {before} acknowledged, {} when it ended", load.acknowledged());
    assert!(verdict.lost.is_empty(), "{failing:?}: lost {:?}", verdict.lost);
    assert!(verdict.contradictory.is_empty(), "{failing:?}: {:#?}", verdict.contradictory);
    drop(restarted);
}

/// What a coordinator has left, and what is done to the store before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Killed,
    Restored,
}

const KEPT: [&str; 3] = ["kept-1", "kept-2", "kept-3"];

#[test]
fn whichever_sync_of_a_new_store_fails_nothing_acknowledged_is_lost() {
    every_sync_fails_once(Before::Nothing, &[]);
}

#[test]
fn whichever_sync_after_a_kill_fails_nothing_acknowledged_is_lost() {
    every_sync_fails_once(Before::Killed, &KEPT);
}

#[test]
fn whichever_sync_after_a_restore_fails_nothing_is_lost_and_holds_can_be_released() {
    every_sync_fails_once(Before::Restored, &KEPT);
}

/// Runs a coordinator on the same store again and again, until every sync from its start to its stop has failed in one of the
/// runs.
fn every_sync_fails_once(before: Before, kept: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if before != Before::Nothing {
        let running = Coordinator::start(home, "127.0.0.1:0");
        kept.iter().for_each(|gid| prepare(&running.address, gid));
        let ended = json!({"gid": "ended", "trans_type": "tcc"});
        for route in ["prepare", "submit"] {
            assert!(ask(&running.address, route, &ended).unwrap().starts_with("HTTP/1.1 200 "));
        }
        if before == Before::Restored {
            succeed(home, &["backup", "data", "backup"]);
        }
        drop(running);
        std::fs::rename(home.join("data"), home.join("left")).unwrap();
    }
    let mut ends = [0, 0, 0];
    for number in 1.. {
        let _ = std::fs::remove_dir_all(home.join("data"));
        match before {
            Before::Nothing => {}
            Before::Killed => copy_dir(&home.join("left"), &home.join("data")),
            Before::Restored => drop(succeed(home, &["restore", "backup", "data"])),
        }
        match run_once(home, Failing { path: "/data", number }, kept) {
            End::NotHit => break,
            End::Refused => ends[0] += 1,
            End::Failed => ends[1] += 1,
            End::Stopped => ends[2] += 1,
        }
    }
    let [refused, failed, stopped] = ends;
    println!("{before:?}: one sync failed: {refused} starts refused, {failed} ended, {stopped} stopped all the same");
    // Which of the later ones is hit depends on what the coordinator's threads do first.
    assert!(refused > 0 && failed + stopped > 0, "{ends:?}");
}

/// How a run ended whose sync failed.
enum End {
    /// There were not so many syncs.
    NotHit,
    Refused,
    Failed,
    /// It was stopping already.
    Stopped,
}

fn run_once(home: &Path, failing: Failing, kept: &[&str]) -> End {
    let mut command = serve(home, "127.0.0.1:0", &["--data", "data", "--exit-on-stdin-close"]);
    let said = failing.prepare(command.stdin(Stdio::piped()), home);
    let mut acknowledged = kept.to_vec();
    let end = match Coordinator::try_start(&mut command) {
        Err(ended) => {
            assert_eq!(ended.code, Some(1), "{failing:?}: {}", ended.log);
            assert!(ended.log.ends_with(" [store_unusable]\n"), "{failing:?}: {}", ended.log);
            End::Refused
        }
        Ok(mut running) => {
            let late = json!({"gid": "late", "trans_type": "tcc", "timeout_to_fail": 86400});
            if ask(&running.address, "prepare", &late).is_ok_and(|reply| reply.starts_with("HTTP/1.1 200 ")) {
                acknowledged.push("late");
            }
            // It may have ended by now.
            let _ = ask(&running.address, "releaseAllHeld", &json!({}));
            running.close_stdin();
            let ended = running.end();
            match ended.code {
                Some(0) if said.exists() => End::Stopped,
                Some(0) => End::NotHit,
                _ => {
                    assert_store_failed(&ended, failing);
                    End::Failed
                }
            }
        }
    };
    let running = Coordinator::start(home, "127.0.0.1:0");
    for gid in acknowledged {
        assert_eq!(status(&running.address, gid), "prepared", "{failing:?}");
    }
    if !kept.is_empty() {
        assert_eq!(status(&running.address, "ended"), "succeed", "{failing:?}");
    }
    ask(&running.address, "releaseAllHeld", &json!({})).unwrap();
    for gid in kept {
        let reply = ask(&running.address, "submit", &json!({"gid": gid, "trans_type": "tcc"})).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "), "{failing:?}: {reply}");
    }
    drop(running);
    succeed(home, &["store", "check", "data"]);
    end
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &copy),
            false => drop(std::fs::copy(entry.path(), copy).unwrap()),
        }
    }
}
