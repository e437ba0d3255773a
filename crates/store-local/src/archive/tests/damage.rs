use super::*;
use crate::finding::Problem;

/// A closed partition with `a` and `b`, and a current one with `c`; nobody has it open.
fn closed_archive() -> TempDir {
    let (dir, archive) = opened(2);
    insert(&archive, &["a", "b"], 5, DAY);
    insert(&archive, &["c"], 6, DAY);
    dir
}

fn change(dir: &Path, file: &str, sql: &str) {
    let connection = rusqlite::Connection::open(dir.join(file)).unwrap();
    connection.execute_batch(sql).unwrap();
}

const CLOSED: &str = "1970-01-02-0001.db";
const CURRENT: &str = "1970-01-02-0002.db";

#[test]
fn damage_to_one_row_is_damage_to_that_transaction() {
    let dir = closed_archive();
    change(dir.path(), CLOSED, "UPDATE txn SET pattern = 200 WHERE gid = 'a'");
    let archive = open_at(dir.path(), 2);
    let found = archive.find(&gid("a"), None);
    assert!(matches!(&found, Err(StoreError::Corrupt { gid, .. }) if gid.as_str() == "a"), "{found:?}");
    assert!(archive.find(&gid("b"), None).unwrap().is_some());
    // The pattern stands in an index, too.
    let listed = archive.list(&ListQuery::newest(NonZeroU32::MIN), 9, None);
    assert!(matches!(listed, Err(StoreError::Down { .. })), "{listed:?}");
    let findings = archive.check();
    assert!(findings.len() == 2 && findings.iter().all(|finding| finding.file.ends_with(CLOSED)), "{findings:?}");
    let row = findings.iter().find(|finding| finding.gid == Some(gid("a")));
    assert!(matches!(row.unwrap().problem, Problem::Unreadable(StoreError::Corrupt { .. })), "{findings:?}");
}

#[test]
fn a_record_that_is_damaged_is_found_by_a_check() {
    let dir = closed_archive();
    change(dir.path(), CURRENT, "UPDATE txn SET progress = x'00'");
    let findings = open_at(dir.path(), 2).check();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].file.ends_with(CURRENT) && findings[0].gid == Some(gid("c")), "{findings:?}");
}

#[test]
fn a_filter_that_denies_a_row_and_a_row_too_few_are_found_by_a_check() {
    let dir = closed_archive();
    // As no program of ours would do it.
    change(dir.path(), CLOSED, "UPDATE txn SET gid = 'q' WHERE gid = 'a'; DELETE FROM txn WHERE gid = 'b'");
    let problems: Vec<Problem> = open_at(dir.path(), 2).check().into_iter().map(|finding| finding.problem).collect();
    assert!(problems.iter().any(|problem| matches!(problem, Problem::NotInFilter)), "{problems:?}");
    let miscounted = |problem: &Problem| matches!(problem, Problem::RowCount { kept: 2, found: 1 });
    assert!(problems.iter().any(miscounted), "{problems:?}");
}

#[test]
fn damage_to_the_structure_of_a_file_is_found_by_a_check() {
    let dir = closed_archive();
    let path = dir.path().join(CLOSED);
    let root: u64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'txn_kind'", (), |row| row.get::<_, i64>(0))
        .unwrap()
        .unsigned_abs();
    let mut bytes = fs::read(&path).unwrap();
    let page_bytes = u64::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    // The number of entries of the index.
    let place = usize::try_from((root - 1) * page_bytes).unwrap() + 4;
    assert_eq!(bytes[place], 2);
    bytes[place] = 1;
    fs::write(&path, bytes).unwrap();
    let findings = open_at(dir.path(), 2).check();
    assert!(findings.iter().any(|finding| matches!(finding.problem, Problem::Damaged { .. })), "{findings:?}");
}

#[test]
fn a_file_that_is_no_partition_any_more_stops_the_start() {
    for (file, bytes) in [(CLOSED, &b""[..]), (CURRENT, b""), (CLOSED, &[0x55; 9_000]), (CURRENT, &[0; 9_000])] {
        let dir = closed_archive();
        fs::write(dir.path().join(file), bytes).unwrap();
        let error = Archive::open(&disk(), dir.path(), STORE, ArchiveTuning::default()).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. } | OpenError::Sqlite { .. }), "{file}: {error:?}");
        assert!(error.to_string().contains(file), "{error}");
    }
}
