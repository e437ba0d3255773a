use std::fs;

use rusqlite::params;
use tempfile::TempDir;

use super::*;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;

const STORE: StoreId = StoreId(7);

const FIRST: &str =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT; CREATE TABLE item (value BLOB);";

const SCHEMA: Schema = Schema { application_id: 77, migrations: &[FIRST], counts: &[], page_bytes: 4096 };

fn open_on(disk: &Arc<dyn Disk>, path: &Path) -> Result<(Database, Arc<AtomicU64>), OpenError> {
    let syncs = Arc::default();
    Ok((Database::open(disk, path, STORE, &SCHEMA, &syncs)?, syncs))
}

fn opened() -> (TempDir, Database, Arc<AtomicU64>) {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (database, syncs) = open_on(&disk, &dir.path().join("a.db")).unwrap();
    (dir, database, syncs)
}

fn simulated(disk: &SimDisk) -> Result<Database, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    disk.create_dir(Path::new("dir")).unwrap();
    open_on(&disk, Path::new("dir/a.db")).map(|(database, _)| database)
}

fn put(database: &Database, bytes: usize) -> Result<(), Failure> {
    database.write(|connection| {
        connection.execute("INSERT INTO item (value) VALUES (?1)", params![vec![7_u8; bytes]]).map(drop)
    })
}

fn count(database: &Database, turn: Turn) -> i64 {
    let count = |connection: &Connection| {
        let count = connection.query_row("SELECT count(*) FROM item", (), |row| row.get(0));
        count.map_err(|error| Failure::of(error).into())
    };
    database.read(turn, count).unwrap()
}

#[test]
fn a_write_that_fails_halfway_leaves_nothing_and_the_next_one_goes_on() {
    let (_dir, database, _) = opened();
    let failed = database.write(|connection| {
        connection.execute("INSERT INTO item (value) VALUES (x'00')", ())?;
        connection.execute("no SQL", ()).map(drop)
    });
    assert!(matches!(failed, Err(Failure::Sqlite(_))), "{failed:?}");
    assert_eq!(count(&database, Turn::LookUp), 0);
    put(&database, 1).unwrap();
    assert_eq!((count(&database, Turn::LookUp), count(&database, Turn::List)), (1, 1));
}

#[test]
fn a_look_up_waits_for_no_list_and_no_read_for_a_write() {
    let (_dir, database, _) = opened();
    put(&database, 1).unwrap();
    let inside = database.write(|connection| {
        connection.execute("INSERT INTO item (value) VALUES (x'00')", ())?;
        let found = database.read(Turn::List, |_| Ok(count(&database, Turn::LookUp)));
        Ok(found.unwrap())
    });
    assert_eq!(inside.unwrap(), 1, "what is not committed is not seen");
}

#[test]
fn readers_cannot_write() {
    let (_dir, database, _) = opened();
    let written = database.read(Turn::List, |connection| Ok(connection.execute("DELETE FROM item", ()))).unwrap();
    assert!(written.is_err());
}

#[test]
fn the_write_ahead_log_is_carried_over_when_it_is_long_and_every_sync_is_counted() {
    let (dir, database, syncs) = opened();
    let log = || fs::metadata(dir.path().join("a.db-wal")).unwrap().len();
    let before = syncs.load(Relaxed);
    put(&database, 1_000).unwrap();
    assert_eq!(syncs.load(Relaxed) - before, COMMIT_SYNCS);
    for _ in 0..24 {
        put(&database, 2 * 1024 * 1024).unwrap();
    }
    assert!(log() < 2 * CHECKPOINT_BYTES.unsigned_abs(), "{}", log());
    let checkpoints = syncs.load(Relaxed) - before - 25 * COMMIT_SYNCS;
    let each = CHECKPOINT_SYNCS + RESTART_SYNCS;
    assert!((2 * each..=4 * each).contains(&checkpoints), "{checkpoints}");
}

#[test]
fn what_is_settled_does_not_depend_on_the_write_ahead_log() {
    let (dir, database, _) = opened();
    put(&database, 1).unwrap();
    database.settle().unwrap();
    let copy = dir.path().join("copy.db");
    fs::copy(database.path(), &copy).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (copy, _) = open_on(&disk, &copy).unwrap();
    assert_eq!(count(&copy, Turn::LookUp), 1);
}

#[test]
fn a_closed_database_is_one_file_that_can_be_read_even_when_it_is_gone() {
    let (dir, database, _) = opened();
    put(&database, 1).unwrap();
    assert_eq!(count(&database, Turn::LookUp), 1);
    database.close().unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), ["a.db"]);
    fs::remove_file(database.path()).unwrap();
    assert_eq!((count(&database, Turn::LookUp), count(&database, Turn::List)), (1, 1));
    assert_eq!(RealDisk.list(dir.path()).unwrap(), [""; 0]);
}

#[test]
fn an_older_schema_is_brought_to_the_newest_and_keeps_what_it_holds() {
    let (dir, database, syncs) = opened();
    put(&database, 1).unwrap();
    drop(database);
    const BOTH: [&str; 2] = [FIRST, "CREATE TABLE more (value INTEGER) STRICT"];
    let newer = Schema { migrations: &BOTH, ..SCHEMA };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    for _ in 0..2 {
        let database = Database::open(&disk, &dir.path().join("a.db"), STORE, &newer, &syncs).unwrap();
        assert_eq!(count(&database, Turn::LookUp), 1);
        database.write(|connection| connection.execute("INSERT INTO more VALUES (1)", ())).unwrap();
    }
    let older = open_on(&disk, &dir.path().join("a.db"));
    assert!(matches!(older, Err(OpenError::NewerSchema { found: 2, known: 1, .. })), "{older:?}");
}

#[test]
fn a_database_on_a_full_disk_is_opened_and_read_and_written_once_there_is_room() {
    let disk = SimDisk::new(3);
    let database = simulated(&disk).unwrap();
    (0..20).for_each(|_| put(&database, 5_000).unwrap());
    // The write-ahead log holds them all, and the disk ends where it ends now.
    let disk = disk.after_kill();
    disk.set_capacity(Some(disk.used()));
    let database = simulated(&disk).unwrap();
    assert_eq!(count(&database, Turn::LookUp), 20);
    assert!(matches!(put(&database, 1), Err(Failure::Full(_))));
    assert!(matches!(database.settle(), Err(Failure::Full(_))));
    disk.set_capacity(None);
    put(&database, 1).unwrap();
    assert_eq!(count(&database, Turn::LookUp), 21);
}

#[test]
fn after_a_failed_sync_every_write_fails_and_reads_go_on() {
    let disk = SimDisk::new(4);
    let database = simulated(&disk).unwrap();
    put(&database, 1).unwrap();
    disk.fail_sync(1);
    assert!(matches!(put(&database, 1), Err(Failure::Failed(_))));
    for _ in 0..2 {
        assert!(matches!(put(&database, 1), Err(Failure::Failed(_))));
        assert!(matches!(database.settle(), Err(Failure::Failed(_))));
    }
    assert_eq!(count(&database, Turn::LookUp), 1);
}

#[test]
fn a_database_that_is_not_made_yet_is_never_found_half_made() {
    let whole = SimDisk::new(0);
    simulated(&whole).unwrap();
    for nth in 1..=whole.operations() {
        let disk = SimDisk::new(nth);
        disk.power_off_at(nth);
        if disk.create_dir(Path::new("dir")).is_err() {
            continue;
        }
        let handle: Arc<dyn Disk> = Arc::new(disk.clone());
        let _ = open_on(&handle, Path::new("dir/a.db"));
        let database = simulated(&disk.after_power_cut(nth)).unwrap();
        assert_eq!(count(&database, Turn::LookUp), 0);
    }
}
