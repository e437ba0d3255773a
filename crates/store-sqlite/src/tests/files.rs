//! What is opened, what is refused, and who may read it.

use std::fs;

use escrow_store::SystemClock;

use super::*;

fn open(dir: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&database(dir), Arc::new(SystemClock))
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { path } if *path == dir.path().join("escrow.lock")), "{error:?}");
    drop(first);
    open(dir.path()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_is_open_cannot_be_opened_again_by_removing_its_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    fs::remove_file(dir.path().join("escrow.lock")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { path } if *path == database(dir.path())), "{error:?}");
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_database_that_is_gone_or_empty_is_never_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let kept = fs::read(database(dir.path())).unwrap();
    for step in ["emptied", "removed"] {
        match step {
            "emptied" => drop(fs::File::create(database(dir.path())).unwrap()),
            _ => fs::remove_file(database(dir.path())).unwrap(),
        }
        for _ in 0..2 {
            let error = open(dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::DatabaseGone { .. }), "{step}: {error:?}");
        }
    }
    fs::write(database(dir.path()), kept).unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(database(dir.path())).unwrap();
    fs::remove_file(dir.path().join("escrow.lock")).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn databases_of_one_directory_are_stores_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&dir.path().join(name), Arc::new(SystemClock));
    let (_one, _two) = (open("one.db").unwrap(), open("two.db").unwrap());
    assert!(matches!(open("two.db"), Err(OpenError::Locked { path }) if path == dir.path().join("two.lock")));
}

#[test]
fn a_name_that_leaves_none_for_the_lock_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("escrow.lock"), dir.path().join("..")] {
        let error = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap_err();
        assert!(matches!(error, OpenError::BadName { .. }), "{error:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn files_belong_to_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("not/there/yet");
    let _store = open(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "the database, its log, the lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let database = Connection::open(database(dir.path())).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, known: 1, .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("has schema version 99; this program knows schemas up to 1: start the version that wrote it")
    );
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let other = Connection::open(database(dir.path())).unwrap();
    other.execute_batch("CREATE TABLE diary (day TEXT)").unwrap();
    drop(other);
    let before = fs::read(database(dir.path())).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::NotAStore { .. })));
    assert!(fs::read(database(dir.path())).unwrap() == before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let text = "a diary, and no database\n".repeat(1_000);
    fs::write(database(dir.path()), &text).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(database(dir.path())).unwrap(), text);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("store")).unwrap_err();
    assert!(matches!(&error, OpenError::Io { path, .. } if *path == file.join("store")), "{error:?}");
}

#[tokio::test]
async fn commits_are_synced_and_the_log_is_never_checkpointed_behind_our_back() {
    let subject = Sqlite::tuned(Tuning::default());
    let pragma = |name: &'static str| {
        subject.store.write(0, move |connection, _| {
            connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        })
    };
    assert_eq!(pragma("journal_mode").await.unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").await.unwrap(), 2.into());
    assert_eq!(pragma("wal_autocheckpoint").await.unwrap(), 0.into());
}
