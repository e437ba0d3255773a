//! Whatever a crash leaves behind is opened, and goes on.

use super::*;

/// All of these are there, each once, before and after the next insert.
fn assert_complete(dir: &Path, expected: &[&str]) {
    let check = |archive: &Archive, more: &[&str]| {
        let mut found: Vec<_> = archive.export(None, 99, None).unwrap().into_iter().map(|txn| txn.gid).collect();
        found.retain(|gid| !more.contains(&gid.as_str()));
        assert_eq!(found, expected.iter().map(|name| gid(name)).collect::<Vec<_>>());
        assert!(expected.iter().all(|name| archive.may_hold(&gid(name)) && version(archive, name).is_some()));
        assert_eq!(newest(archive, 99).len(), expected.len() + more.len());
        assert!(archive.check().is_empty(), "{:?}", archive.check());
    };
    let archive = open_at(dir, 3);
    check(&archive, &[]);
    insert(&archive, &["x1", "x2", "x3"], 9, DAY);
    check(&archive, &["x1", "x2", "x3"]);
    drop(archive);
    check(&open_at(dir, 3), &["x1", "x2", "x3"]);
}

/// A closed partition with `a`, `b` and `c`, and a current one with `d`.
fn two_partitions() -> (TempDir, Archive) {
    let (dir, archive) = opened(3);
    insert(&archive, &["a", "b", "c"], 1, DAY);
    insert(&archive, &["d"], 2, DAY);
    (dir, archive)
}

#[test]
fn an_archive_is_opened_as_it_is_after_every_insert() {
    let (dir, archive) = opened(3);
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (index, name) in all.iter().enumerate() {
        insert(&archive, &[name], index as u64, DAY * (1 + index as u64 / 5));
        assert_complete(copy_of(dir.path()).path(), &all[..=index]);
    }
}

#[test]
fn a_partition_whose_filter_was_saved_and_whose_log_was_not_ended_goes_on() {
    let (dir, archive) = opened(3);
    insert(&archive, &["a", "b"], 1, DAY);
    let current = archive.writing().current.clone().unwrap();
    current.save_filter().unwrap();
    assert_complete(copy_of(dir.path()).path(), &["a", "b"]);
    insert(&archive, &["c"], 1, DAY);
    assert_complete(copy_of(dir.path()).path(), &["a", "b", "c"]);
}

#[test]
fn a_partition_that_was_closed_before_the_next_one_was_made_stays_closed() {
    let (dir, archive) = opened(3);
    insert(&archive, &["a", "b"], 1, DAY);
    archive.writing().current.clone().unwrap().close().unwrap();
    let copy = copy_of(dir.path());
    assert_eq!(files(copy.path()), ["1970-01-02-0001.db"]);
    assert_complete(copy.path(), &["a", "b"]);
    assert!(files(copy.path()).contains(&"1970-01-02-0002.db".to_owned()));
}

#[test]
fn an_earlier_partition_that_was_not_closed_is_closed_at_opening() {
    let (dir, archive) = two_partitions();
    // Its first partition is replaced by the same one from before it was closed.
    let copy = copy_of(dir.path());
    drop(archive);
    let (unclosed_dir, unclosed) = opened(3);
    insert(&unclosed, &["a", "b", "c"], 1, DAY);
    for name in files(unclosed_dir.path()) {
        fs::copy(unclosed_dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let log = "1970-01-02-0001.db-wal".to_owned();
    assert!(files(copy.path()).contains(&log));
    drop(open_at(copy.path(), 3));
    assert!(!files(copy.path()).contains(&log));
    assert_complete(copy.path(), &["a", "b", "c", "d"]);
}

#[test]
fn a_partition_that_was_only_half_made_is_made_anew() {
    let (dir, archive) = two_partitions();
    drop(archive);
    fs::write(dir.path().join("1970-01-02-0003.db.new"), b"half of it").unwrap();
    fs::write(dir.path().join("1970-01-02-0003.db.new-journal"), b"").unwrap();
    assert_complete(dir.path(), &["a", "b", "c", "d"]);
}

#[test]
fn a_partition_that_was_made_and_never_written_is_used() {
    let (dir, archive) = two_partitions();
    drop(Current::open(&archive.context, Name { number: 3, day: Day::of(at(DAY)) }).unwrap());
    let copy = copy_of(dir.path());
    assert_complete(copy.path(), &["a", "b", "c", "d"]);
    assert_eq!(open_at(copy.path(), 3).info().partitions, 3);
}

#[test]
fn what_is_left_of_a_removed_partition_is_removed_and_nothing_else() {
    let (dir, archive) = two_partitions();
    drop(archive);
    let stray = ["1970-01-02-0000.db-wal", "1970-01-02-0000.db-shm", "notes.txt", "other.db-wal"];
    stray.iter().for_each(|name| fs::write(dir.path().join(name), b"stray").unwrap());
    assert_complete(dir.path(), &["a", "b", "c", "d"]);
    let found = files(dir.path());
    assert!(found.contains(&"notes.txt".to_owned()) && found.contains(&"other.db-wal".to_owned()), "{found:?}");
    assert!(!found.iter().any(|name| name.starts_with("1970-01-02-0000")), "{found:?}");
}

#[test]
fn a_filter_that_is_damaged_or_stale_is_made_anew() {
    let (dir, archive) = two_partitions();
    drop(archive);
    let database = rusqlite::Connection::open(dir.path().join("1970-01-02-0001.db")).unwrap();
    let saved = || -> Vec<u8> {
        database.query_row("SELECT value FROM meta WHERE key = 'filter'", (), |row| row.get(0)).unwrap()
    };
    let sound = saved();
    let mut stale = crate::database::Meta::read(&database).unwrap();
    stale.set("filter_rows", 2);
    stale.write(&database).unwrap();
    for damage in [
        "SELECT 1",
        "UPDATE meta SET value = x'0102' WHERE key = 'filter'",
        "UPDATE meta SET value = 'text' WHERE key = 'filter'",
        "DELETE FROM meta WHERE key = 'filter'",
    ] {
        database.execute_batch(damage).unwrap();
        let archive = open_at(dir.path(), 3);
        assert!(["a", "b", "c"].iter().all(|name| archive.may_hold(&gid(name))), "{damage}");
        assert!(!archive.may_hold(&gid("z")), "{damage}");
        assert_eq!(saved(), sound, "{damage}");
    }
}
