//! A write-ahead log that a crash has cut, and one that is damaged.

use std::fs::{self, OpenOptions};
use std::io::Write;

use escrow_store::SystemClock;

use super::*;

const COMMITS: usize = 6;

/// The files of a store whose process was killed after its last answer.
async fn killed() -> TempDir {
    let subject = Sqlite::tuned(Tuning::default());
    let store = subject.store();
    for number in 0..COMMITS {
        sample(&number.to_string()).create(&*store).await;
    }
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(subject.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn open(dir: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&database(dir), Arc::new(SystemClock))
}

fn log(dir: &TempDir) -> PathBuf {
    dir.path().join("escrow.db-wal")
}

fn index(dir: &TempDir) -> PathBuf {
    dir.path().join("escrow.db-shm")
}

/// The transactions that are there when the store is opened; what was acknowledged first comes first.
async fn survivors(dir: &TempDir) -> Result<usize, OpenError> {
    let store = open(dir.path())?;
    let mut survivors = 0;
    for number in 0..COMMITS {
        if store.load(&gid(&number.to_string())).await.unwrap().is_some() {
            assert_eq!(survivors, number);
            survivors += 1;
        }
    }
    Ok(survivors)
}

/// Flips bytes all over the log, one at a time.
async fn flip_each(dir: &TempDir, mut expect: impl FnMut(usize, Result<usize, OpenError>)) {
    let (whole, database) = (fs::read(log(dir)).unwrap(), fs::read(database(dir.path())).unwrap());
    let index = fs::read(index(dir)).ok();
    // Every page several times, at different places of it, and each byte of the header.
    for at in (0..32).chain((32..whole.len()).step_by(997)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(log(dir), flipped).unwrap();
        expect(at, survivors(dir).await);
        fs::write(self::database(dir.path()), &database).unwrap();
        match &index {
            Some(index) => fs::write(self::index(dir), index).unwrap(),
            None => drop(fs::remove_file(self::index(dir))),
        }
    }
}

#[tokio::test]
async fn a_log_that_is_whole_is_opened_with_or_without_its_index() {
    assert_eq!(survivors(&killed().await).await.unwrap(), COMMITS);
    let dir = killed().await;
    fs::remove_file(index(&dir)).unwrap();
    assert_eq!(survivors(&dir).await.unwrap(), COMMITS);
}

#[tokio::test]
async fn what_a_crash_leaves_behind_the_last_commit_is_no_damage() {
    for bytes in [1, 24, 4_000, 4_120, 9_000] {
        let dir = killed().await;
        OpenOptions::new().append(true).open(log(&dir)).unwrap().write_all(&vec![7; bytes]).unwrap();
        assert_eq!(survivors(&dir).await.unwrap(), COMMITS);
    }
}

#[tokio::test]
async fn a_log_that_is_damaged_or_cut_after_a_kill_stops_the_start() {
    let dir = killed().await;
    let is_refused = |at, opened: Result<usize, OpenError>| match opened {
        Err(OpenError::LogDamaged { offset, .. }) => assert!(offset <= at as u64, "byte {at}: told {offset}"),
        // The salts in the header say which index belongs to the log.
        Ok(survivors) => assert!(survivors == COMMITS || (16..24).contains(&at), "byte {at}: {survivors} left"),
        Err(other) => panic!("byte {at}: {other:?}"),
    };
    flip_each(&dir, is_refused).await;

    let length = fs::metadata(log(&dir)).unwrap().len();
    for kept in [length - 1, length - 4_120, length / 2, 5_000] {
        let dir = killed().await;
        OpenOptions::new().write(true).open(log(&dir)).unwrap().set_len(kept).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::LogDamaged { .. }), "{kept} of {length} bytes: {error:?}");
    }
}

#[tokio::test]
async fn without_an_index_no_more_than_the_last_commit_can_be_taken_for_one_under_way() {
    let dir = killed().await;
    fs::remove_file(index(&dir)).unwrap();
    let mut refused = 0;
    let at_most_one_is_lost = |at, opened: Result<usize, OpenError>| match opened {
        Err(OpenError::LogDamaged { .. }) => refused += 1,
        Ok(survivors) => assert!(survivors + 1 >= COMMITS || (16..24).contains(&at), "byte {at}: {survivors} left"),
        Err(other) => panic!("byte {at}: {other:?}"),
    };
    flip_each(&dir, at_most_one_is_lost).await;
    assert!(refused > 50, "{refused} refused");
}
