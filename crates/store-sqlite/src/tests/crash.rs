//! A process that is killed in the middle of its work, and the next one on the same files.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use escrow_store::SystemClock;
use escrow_store::conformance::sample::{claim, loaded, together};

use super::*;

/// Where the child works; only the child has it.
const DIR: &str = "ESCROW_TEST_STORE_DIR";
/// The round it is in, so that each makes transactions of its own.
const ROUND: &str = "ESCROW_TEST_ROUND";

/// Writes without end, and says what was acknowledged, a line each: gid and version.
async fn work(dir: &str) {
    let store = Arc::new(SqliteStore::open(&database(Path::new(dir)), Arc::new(SystemClock)).unwrap());
    let round = env::var(ROUND).unwrap();
    acknowledge("open", Version(0));
    let tasks = (0..8).map(|task| {
        let (store, round) = (Arc::clone(&store), round.clone());
        async move {
            for number in 0.. {
                let name = format!("{round}-{task}-{number}");
                let sample = sample(&name);
                assert!(matches!(store.create(sample.new_txn()).await.unwrap(), Created::New(_)));
                acknowledge(&name, Version::FIRST);
                let version = store.commit(sample.change(Version::FIRST)).await.unwrap();
                acknowledge(&name, version);
                let version = store.commit(sample.committed(start()).change(version)).await.unwrap();
                acknowledge(&name, version);
            }
        }
    });
    together(tasks).await;
}

fn acknowledge(name: &str, version: Version) {
    // One write per line, so that no line is cut in two by the others; the test harness may have begun a line itself.
    let line = format!("\n{name} {}\n", version.0);
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// This test binary once more, running the named test of this file with a directory to work in.
fn start_child(test: &str, dir: &Path, round: usize) -> (Child, impl Iterator<Item = (String, u64)>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1", &format!("tests::crash::{test}")])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // What the test harness says has another form; a last line may be cut short, and then says nothing.
    let parse = |line: String| {
        let (name, version) = line.split_once(' ')?;
        Some((name.to_owned(), version.parse().ok()?))
    };
    (child, lines.filter_map(parse))
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    if let Ok(dir) = env::var(DIR) {
        return work(&dir).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        let (mut child, mut lines) = start_child("what_was_acknowledged_survives_a_kill", dir.path(), round);
        acknowledged.extend(lines.by_ref().take(500));
        child.kill().unwrap();
        // Said before the kill, and read after it.
        acknowledged.extend(lines);
        child.wait().unwrap();
    }
    acknowledged.remove("open").unwrap();
    assert!(acknowledged.len() > 300);

    let store = SqliteStore::open(&database(dir.path()), Arc::new(SystemClock)).unwrap();
    for (name, version) in &acknowledged {
        let stored = loaded(&store, &gid(name)).await;
        assert!(stored.version.0 >= *version, "{name} was acknowledged at {version} and is at {:?}", stored.version);
    }
    let (due, _) = claim(&store, 1_000).await;
    for name in due {
        let stored = loaded(&store, &gid(&name)).await;
        assert!(stored.version < Version(3), "what is due was in flight");
    }
}

#[tokio::test]
async fn another_process_is_kept_out() {
    if let Ok(dir) = env::var(DIR) {
        return work(&dir).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut lines) = start_child("another_process_is_kept_out", dir.path(), 0);
    assert_eq!(lines.next(), Some(("open".to_owned(), 0)));
    let error = SqliteStore::open(&database(dir.path()), Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    SqliteStore::open(&database(dir.path()), Arc::new(SystemClock)).unwrap();
}
