use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, ErrorCode};

use super::*;

const PATH: &str = "/d/rows.db";

/// A connection as the store uses it on this disk.
fn open(disk: &SimDisk) -> rusqlite::Result<Connection> {
    let connection = disk.connect(Path::new(PATH))?;
    let mode: String = connection.query_row("PRAGMA locking_mode=EXCLUSIVE", [], |row| row.get(0))?;
    assert_eq!(mode, "exclusive");
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    assert_eq!(mode, "wal");
    connection
        .execute_batch("PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, x BLOB)")?;
    Ok(connection)
}

fn insert(connection: &Connection, ids: Range<i64>) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for id in ids {
        transaction.prepare_cached("INSERT INTO rows VALUES (?1, zeroblob(300))")?.execute([id])?;
    }
    transaction.commit()
}

fn ids(connection: &Connection) -> Vec<i64> {
    let mut statement = connection.prepare("SELECT id FROM rows ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn assert_sound(connection: &Connection) {
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

fn is_io_error(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen))
}

/// Inserts ten rows at a time until the power goes; returns how many are known to be there, and how many may be.
fn insert_until_power_goes(disk: &SimDisk, first: i64, rng: &mut ChaCha8Rng) -> (i64, i64) {
    let mut next = first;
    let Ok(mut connection) = open(disk) else { return (next, next) };
    loop {
        if insert(&connection, next..next + 10).is_err() {
            return (next, next + 10);
        }
        next += 10;
        if rng.random_bool(0.1) && connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").is_err() {
            return (next, next);
        }
        if rng.random_bool(0.1) {
            drop(connection);
            match open(disk) {
                Ok(opened) => connection = opened,
                Err(_) => return (next, next),
            }
        }
    }
}

#[test]
fn what_sqlite_committed_survives_every_cut_and_nothing_else_appears() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut disk = disk();
        let mut known = 0;
        for round in 0..3 {
            disk.power_off_at(rng.random_range(1..80));
            let (committed, attempted) = insert_until_power_goes(&disk, known, &mut rng);
            disk = disk.after_power_cut(rng.random());
            if rng.random_bool(0.2) {
                disk = disk.after_kill();
            }
            let connection = open(&disk).unwrap();
            assert_sound(&connection);
            let found = ids(&connection);
            known = found.len() as i64;
            assert_eq!(found, (0..known).collect::<Vec<_>>(), "seed {seed}, round {round}");
            assert!(known == committed || known == attempted, "seed {seed}, round {round}: {committed}, {known}");
            kept += i64::from(known > committed);
            lost += i64::from(known < attempted);
        }
    }
    assert!(kept > 10 && lost > 10, "{kept} kept, {lost} lost");
}

#[test]
fn a_commit_that_was_not_synced_is_lost_by_some_cuts() {
    let disk = disk();
    let connection = open(&disk).unwrap();
    insert(&connection, 0..1).unwrap();
    connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
    insert(&connection, 1..2).unwrap();
    let found: Vec<usize> = (0..100).map(|seed| ids(&open(&disk.after_power_cut(seed)).unwrap()).len()).collect();
    assert!(found.contains(&1) && found.contains(&2) && found.iter().all(|&rows| rows > 0));
}

#[test]
fn sqlite_syncs_each_commit_and_the_operations_are_the_same_every_time() {
    let run = || {
        let disk = disk();
        let connection = open(&disk).unwrap();
        let before = disk.syncs();
        for first in (0..400).step_by(10) {
            insert(&connection, first..first + 10).unwrap();
        }
        assert!(disk.syncs() - before >= 40);
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM rows WHERE id % 3 = 0").unwrap();
        drop(connection);
        (disk.operations(), disk.syncs(), disk.bytes_written(), disk.names("/d"))
    };
    let first = run();
    assert_eq!(first.3, ["rows.db"], "the log is gone once the database is closed");
    assert_eq!(first, run());
}

#[test]
fn a_full_disk_is_a_full_database_that_goes_on_once_there_is_room() {
    let disk = disk();
    let connection = open(&disk).unwrap();
    insert(&connection, 0..10).unwrap();
    disk.set_capacity(Some(disk.used() + 1000));
    let error = insert(&connection, 10..20).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    assert_eq!(ids(&connection).len(), 10);
    disk.set_capacity(None);
    insert(&connection, 10..20).unwrap();
    drop(connection);
    let connection = open(&disk).unwrap();
    assert_eq!(ids(&connection).len(), 20);
    assert_sound(&connection);
}

#[test]
fn a_failed_sync_and_a_disk_without_power_are_io_errors() {
    let disk = disk();
    let connection = open(&disk).unwrap();
    disk.fail_sync(1);
    let error = insert(&connection, 0..10).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
    disk.power_off();
    let error = insert(&connection, 0..10).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
    assert!(disk.connect(Path::new(PATH)).is_err() || open(&disk).is_err());
}

#[test]
fn every_operation_of_making_and_closing_a_database_can_be_the_last_one() {
    let whole = |disk: &SimDisk| open(disk).and_then(|connection| insert(&connection, 0..10));
    let counted = disk();
    whole(&counted).unwrap();
    let operations = counted.operations();
    assert!(operations > 20, "{operations}");
    for last in 2..=operations {
        let disk = disk();
        disk.power_off_at(last - 1);
        let done = whole(&disk);
        assert!(disk.is_off(), "the operations are the same each time");
        assert!(done.as_ref().err().is_none_or(is_io_error), "{last}: {done:?}");
        for seed in 0..10 {
            let connection = open(&disk.after_power_cut(seed)).unwrap();
            assert_sound(&connection);
            let rows = ids(&connection).len();
            assert!(rows == 10 || rows == 0 && done.is_err(), "{last}, {seed}: {rows} rows after {done:?}");
        }
    }
}

#[test]
fn with_a_rollback_journal_that_is_deleted_a_commit_is_whole_or_rolled_back() {
    let prepared = disk();
    let connection = prepared.connect(Path::new(PATH)).unwrap();
    connection.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, x BLOB)").unwrap();
    prepared.sync_dir(Path::new("/d")).unwrap();
    drop(connection);
    let whole = |disk: &SimDisk| {
        let connection = disk.connect(Path::new(PATH))?;
        connection.execute_batch("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL")?;
        insert(&connection, 0..10)
    };
    let counted = prepared.snapshot();
    whole(&counted).unwrap();
    assert_eq!(counted.names("/d"), ["rows.db"]);
    let (mut kept, mut rolled_back) = (0, 0);
    for last in 1..=counted.operations() - prepared.operations() {
        let disk = prepared.snapshot();
        disk.power_off_at(last);
        let done = whole(&disk);
        assert!(done.as_ref().err().is_none_or(is_io_error), "{last}: {done:?}");
        for seed in 0..10 {
            let connection = open(&disk.after_power_cut(seed)).unwrap();
            assert_sound(&connection);
            let rows = ids(&connection).len();
            assert!(rows == 0 || rows == 10, "{last}, {seed}: {rows} rows");
            kept += u32::from(rows == 10);
            rolled_back += u32::from(rows == 0);
        }
    }
    assert!(kept > 0 && rolled_back > 0, "{kept} kept, {rolled_back} rolled back");
}

#[test]
fn a_second_connection_finds_the_database_locked() {
    let disk = disk();
    let first = open(&disk).unwrap();
    insert(&first, 0..1).unwrap();
    let error = open(&disk).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    drop(first);
    assert_eq!(ids(&open(&disk).unwrap()), [0]);
}

#[test]
fn what_sqlite_sorts_on_the_side_is_not_on_the_disk() {
    let disk = disk();
    let connection = open(&disk).unwrap();
    insert(&connection, 0..2000).unwrap();
    let before = (disk.operations(), disk.names("/d"));
    connection.execute_batch("PRAGMA cache_size=10; PRAGMA temp_store=FILE").unwrap();
    let sorted: i64 = connection
        .query_row(
            "SELECT count(*) FROM (SELECT hex(x), id FROM rows ORDER BY hex(x) DESC, -id LIMIT 1999)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sorted, 1999);
    assert_eq!((disk.operations(), disk.names("/d")), before);
}

#[test]
fn a_disk_is_forgotten_once_neither_handle_nor_connection_is_left() {
    let disk = disk();
    let number = disk.shared.number;
    let connection = open(&disk).unwrap();
    disk.power_off();
    drop(disk);
    assert!(super::super::sqlite::knows(number), "the connection holds it");
    drop(connection);
    assert!(!super::super::sqlite::knows(number));
}

#[test]
fn disks_do_not_see_each_others_databases() {
    let (one, two) = (disk(), disk());
    insert(&open(&one).unwrap(), 0..5).unwrap();
    insert(&open(&two).unwrap(), 0..7).unwrap();
    let copy = one.snapshot();
    insert(&open(&one).unwrap(), 5..6).unwrap();
    assert_eq!(ids(&open(&one).unwrap()).len(), 6);
    assert_eq!(ids(&open(&two).unwrap()).len(), 7);
    assert_eq!(ids(&open(&copy).unwrap()).len(), 5);
}
