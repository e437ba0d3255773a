use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;

use escrow_store::conformance::sample::gid;
use escrow_store::{ListQuery, OwnerEpoch, TxnSummary};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::disk::RealDisk;
use crate::finding::Problem;
use crate::samples::{at, waiting};

mod model;
mod power;

const STORE: StoreId = StoreId(7);

fn open_at(dir: &Path) -> Spill {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Spill::open(&disk, &dir.join("unfinished.db"), STORE).unwrap()
}

fn opened() -> (TempDir, Spill) {
    let dir = tempfile::tempdir().unwrap();
    let spill = open_at(dir.path());
    (dir, spill)
}

fn at_version(name: &str, version: u64) -> StoredTxn {
    StoredTxn { version: Version(version), ..waiting(name, 5, 10) }
}

fn save(spill: &Spill, txns: &[StoredTxn]) {
    let txns: Vec<_> = txns.iter().cloned().map(Arc::new).collect();
    spill.save(&txns, &[]).unwrap();
}

fn version(spill: &Spill, name: &str) -> Option<u64> {
    spill.find(&gid(name)).unwrap().map(|found| found.txn.version.0)
}

fn setting(key: &str, value: Option<(u64, &'static str)>) -> SavedSetting {
    let value = value.map(|(version, value)| (Version(version), Bytes::from_static(value.as_bytes())));
    SavedSetting { category: "topics".to_owned(), key: key.to_owned(), value }
}

#[test]
fn what_was_saved_is_found_as_it_was_in_this_life_and_the_next() {
    let (dir, spill) = opened();
    let txn = waiting("a", 5, 10);
    save(&spill, std::slice::from_ref(&txn));
    let expected = Some(Stored { txn, held: false });
    assert_eq!(spill.find(&gid("a")).unwrap(), expected);
    assert_eq!(spill.find(&gid("b")).unwrap(), None);
    drop(spill);
    let spill = open_at(dir.path());
    assert_eq!(spill.find(&gid("a")).unwrap(), expected);
    assert_eq!(spill.info(), SpillInfo { rows: 1, held: 0, oldest_created_at: Some(at(5)) });
}

#[test]
fn only_a_higher_version_replaces_what_is_there() {
    let (_dir, spill) = opened();
    for (version_now, expected) in [(3, 3), (2, 3), (3, 3), (5, 5)] {
        save(&spill, &[at_version("a", version_now)]);
        assert_eq!(version(&spill, "a"), Some(expected));
    }
    assert_eq!(spill.info().rows, 1);
}

#[test]
fn what_was_deleted_is_denied_and_can_come_again() {
    let (_dir, spill) = opened();
    save(&spill, &[at_version("a", 4), at_version("b", 1)]);
    spill.delete(&[gid("a"), gid("absent"), gid("a")]).unwrap();
    assert!(!spill.may_hold(&gid("a")) && spill.may_hold(&gid("b")));
    assert_eq!((version(&spill, "a"), spill.info().rows), (None, 1));
    save(&spill, &[at_version("a", 1)]);
    assert_eq!((version(&spill, "a"), spill.info().rows), (Some(1), 2));
}

#[test]
fn settings_are_written_and_deleted_as_they_are_given() {
    let (dir, spill) = opened();
    spill.save(&[], &[setting("a", Some((1, "x"))), setting("b", Some((4, "y")))]).unwrap();
    spill.save(&[], &[setting("a", Some((2, "z"))), setting("b", None), setting("never", None)]).unwrap();
    assert_eq!(spill.settings().unwrap(), [setting("a", Some((2, "z")))]);
    drop(spill);
    assert_eq!(open_at(dir.path()).settings().unwrap(), [setting("a", Some((2, "z")))]);
}

#[test]
fn what_is_on_hold_is_neither_due_nor_in_flight_until_it_is_released() {
    let (dir, spill) = opened();
    let mut driven = waiting("driven", 2, 1);
    (driven.head.next_run_at, driven.head.owner) = (None, Some(OwnerEpoch(3)));
    spill.save_held(&[waiting("b", 3, 9), driven]).unwrap();
    save(&spill, &[waiting("a", 1, 4)]);
    drop(spill);

    let spill = open_at(dir.path());
    assert_eq!(spill.info(), SpillInfo { rows: 3, held: 2, oldest_created_at: Some(at(1)) });
    assert!(spill.find(&gid("b")).unwrap().unwrap().held);
    assert_eq!(spill.due(None, 9).unwrap(), [(at(4), gid("a"))]);
    assert_eq!(spill.in_flight().unwrap(), []);
    assert_eq!(spill.release(Some(&gid("a"))).unwrap(), [], "it is not on hold");

    let b = Released { gid: gid("b"), next_run_at: Some(at(9)), in_flight: false };
    assert_eq!(spill.release(Some(&gid("b"))).unwrap(), [b]);
    assert_eq!(spill.due(None, 9).unwrap(), [(at(4), gid("a")), (at(9), gid("b"))]);
    let driven = Released { gid: gid("driven"), next_run_at: None, in_flight: true };
    assert_eq!(spill.release(None).unwrap(), [driven]);
    assert_eq!(spill.in_flight().unwrap(), [gid("driven")]);
    assert_eq!((spill.release(None).unwrap(), spill.info().held), (vec![], 0));
}

#[test]
fn all_that_are_on_hold_are_released_in_pieces() {
    let (_dir, spill) = opened();
    let txns: Vec<_> = (0..2_500).map(|number| waiting(&format!("{number:04}"), 1, 1)).collect();
    spill.save_held(&txns).unwrap();
    let mut released = BTreeSet::new();
    loop {
        let piece = spill.release(None).unwrap();
        assert!(piece.len() <= 1_000);
        if piece.is_empty() {
            break;
        }
        released.extend(piece.into_iter().map(|released| released.gid));
    }
    assert_eq!((released.len(), spill.info().held), (2_500, 0));
}

#[test]
fn one_that_is_saved_while_on_hold_stays_on_hold_and_is_gone_from_the_count_when_deleted() {
    let (_dir, spill) = opened();
    spill.save_held(&[at_version("a", 1)]).unwrap();
    spill.save_held(&[at_version("a", 1)]).unwrap();
    save(&spill, &[at_version("a", 2)]);
    assert_eq!((spill.info().rows, spill.info().held), (1, 1));
    assert!(spill.find(&gid("a")).unwrap().unwrap().held);
    spill.delete(&[gid("a")]).unwrap();
    assert_eq!(spill.info(), SpillInfo::default());
}

#[test]
fn the_filter_is_built_once_while_others_read_and_before_anybody_writes() {
    let (_dir, spill) = opened();
    let name = |number: u64| format!("{number:05}");
    save(&spill, &(0..3_000).map(|number| waiting(&name(number), 1, 1)).collect::<Vec<_>>());
    // As an open that found too many rows leaves it.
    let spill = Spill { filter: Fingerprints::default(), proven: Proven::default(), ..spill };
    assert!(spill.may_hold(&gid("absent")));
    std::thread::scope(|scope| {
        scope.spawn(|| spill.prove(Index::Gid).unwrap());
        scope.spawn(|| assert_eq!(spill.find(&gid("absent")).unwrap(), None));
        for number in 3_000..3_200 {
            save(&spill, &[waiting(&name(number), 1, 1)]);
            spill.delete(&[gid(&name(number - 3_000))]).unwrap();
        }
    });
    for number in 0..3_200 {
        assert_eq!(spill.may_hold(&gid(&name(number))), number >= 200, "{number}");
    }
}

/// Rewrites what the database says about itself.
fn alter(dir: &TempDir, key: &str, value: i64) {
    let connection = rusqlite::Connection::open(dir.path().join("unfinished.db")).unwrap();
    let mut meta = Meta::read(&connection).unwrap();
    meta.set(key, value);
    meta.write(&connection).unwrap();
}

#[test]
fn many_rows_are_opened_without_their_filter_and_nothing_is_taken_for_absent_before_it_is_built() {
    let (dir, spill) = opened();
    save(&spill, &[waiting("a", 1, 1)]);
    drop(spill);
    alter(&dir, "rows", (FILTER_AT_OPEN_ROWS + 1).cast_signed());
    let spill = open_at(dir.path());
    assert!(spill.may_hold(&gid("b")) && spill.find(&gid("a")).unwrap().is_some());
    assert!(spill.may_hold(&gid("b")), "a row that was found needs no filter");
    assert_eq!(spill.find(&gid("b")).unwrap(), None);
    assert!(!spill.may_hold(&gid("b")) && spill.may_hold(&gid("a")));

    drop(spill);
    alter(&dir, "sum_gid", 7);
    let spill = open_at(dir.path());
    assert!(spill.find(&gid("a")).unwrap().is_some());
    assert!(matches!(spill.find(&gid("b")), Err(StoreError::Down { .. })));
    assert!(matches!(spill.save(&[Arc::new(waiting("b", 1, 1))], &[]), Err(Failure::Sqlite(_))));
}

#[test]
fn a_check_finds_a_row_that_cannot_be_read_and_a_wrong_count() {
    let (dir, spill) = opened();
    save(&spill, &[waiting("a", 1, 1), waiting("b", 1, 1)]);
    assert!(spill.check().is_empty(), "{:?}", spill.check());
    drop(spill);
    let connection = rusqlite::Connection::open(dir.path().join("unfinished.db")).unwrap();
    connection.execute("UPDATE txn SET write_id = 99 WHERE gid = 'a'", ()).unwrap();
    drop(connection);
    alter(&dir, "rows", 7);
    let spill = open_at(dir.path());
    let found = spill.find(&gid("a"));
    assert!(matches!(&found, Err(StoreError::Corrupt { gid, .. }) if gid.as_str() == "a"), "{found:?}");
    assert!(spill.find(&gid("b")).unwrap().is_some());
    let findings = spill.check();
    let unreadable = |finding: &crate::finding::Finding| {
        finding.gid == Some(gid("a")) && matches!(finding.problem, Problem::Unreadable(_))
    };
    assert!(findings.len() == 2 && findings.iter().any(unreadable), "{findings:?}");
    let miscounted = |problem: &Problem| matches!(problem, Problem::RowCount { kept: 7, found: 2 });
    assert!(findings.iter().any(|finding| miscounted(&finding.problem)), "{findings:?}");
}

#[test]
fn a_file_that_is_no_database_of_this_store_is_not_opened() {
    let open = |dir: &TempDir, store| {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Spill::open(&disk, &dir.path().join("unfinished.db"), store)
    };
    let (dir, spill) = opened();
    drop(spill);
    assert!(matches!(open(&dir, StoreId(8)), Err(OpenError::OtherStore { expected: StoreId(8), .. })));
    let connection = rusqlite::Connection::open(dir.path().join("unfinished.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open(&dir, STORE), Err(OpenError::NewerSchema { found: 99, known: 1, .. })));
    connection.pragma_update(None, "application_id", 5).unwrap();
    assert!(matches!(open(&dir, STORE), Err(OpenError::NotAStore { .. })));
    drop(connection);
    fs::write(dir.path().join("unfinished.db"), b"").unwrap();
    assert!(matches!(open(&dir, STORE), Err(OpenError::NotAStore { .. })));
    fs::write(dir.path().join("unfinished.db"), [0x55; 9_000]).unwrap();
    assert!(matches!(open(&dir, STORE), Err(OpenError::Sqlite { .. })));
}
