//! What readers and writers meet while transactions move between the table and the databases.

use std::num::NonZeroU32;
use std::sync::Arc;

use escrow_store::ListQuery;
use escrow_store::conformance::sample::{Sample, gid, seconds, start};
use escrow_txn::Status;
use tempfile::TempDir;

use super::bare::{Bare, Hooked};
use crate::core::Outcome;
use crate::disk::{Disk, RealDisk};
use crate::list;

/// A store on a disk on which something can happen in between.
fn opened() -> (Bare, Arc<Hooked>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let hooked = Hooked::on(Arc::new(RealDisk));
    let disk: Arc<dyn Disk> = Arc::clone(&hooked) as Arc<_>;
    (Bare::open(&disk, dir.path()), hooked, dir)
}

/// The next read of `unfinished.db` begins with this.
fn before_reading(bare: &Bare, disk: &Hooked, step: impl FnOnce() + Send + 'static) {
    disk.before_opening("unfinished.db", step);
    bare.core.spill.disconnect();
}

fn waiting(name: &str) -> Sample {
    Sample::new(&gid(name)).waiting(start().plus(seconds(60)))
}

fn committed(name: &str) -> Sample {
    Sample::new(&gid(name)).committed(start().plus(seconds(1)))
}

fn listed(bare: &Bare, query: &ListQuery) -> Vec<(String, Status)> {
    let page = list::list(&bare.core, query).unwrap();
    page.items.iter().map(|item| (item.gid.to_string(), item.status)).collect()
}

fn all() -> ListQuery {
    ListQuery::newest(NonZeroU32::new(9).unwrap())
}

#[test]
fn a_list_shows_what_comes_back_to_life_behind_it() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.create(&waiting("b"));
    bare.save_all();
    let other = bare.clone();
    before_reading(&bare, &disk, move || other.commit(&waiting("a"), 1));
    let submitted = Status::Submitted;
    assert_eq!(listed(&bare, &all()), [("b".to_owned(), submitted), ("a".to_owned(), submitted)]);
    disk.assert_all_happened();
}

#[test]
fn a_list_shows_what_is_archived_behind_it_once() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.create(&waiting("b"));
    bare.save_all();
    let other = bare.clone();
    before_reading(&bare, &disk, move || {
        other.commit(&committed("a"), 1);
        other.archive_all();
    });
    let expected = [("b".to_owned(), Status::Submitted), ("a".to_owned(), Status::Committed)];
    assert_eq!(listed(&bare, &all()), expected);
    disk.assert_all_happened();
}

#[test]
fn a_list_shows_what_was_saved_again_behind_it_as_it_is() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let other = bare.clone();
    before_reading(&bare, &disk, move || {
        other.commit(&waiting("a").status(Status::Aborting), 1);
        other.save_all();
    });
    assert_eq!(listed(&bare, &all()), [("a".to_owned(), Status::Aborting)]);
    disk.assert_all_happened();
}

#[test]
fn a_list_leaves_out_what_the_query_does_not_want_any_more() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let other = bare.clone();
    before_reading(&bare, &disk, move || other.commit(&waiting("a").status(Status::Aborting), 1));
    let query = ListQuery { statuses: vec![Status::Submitted], ..all() };
    assert_eq!(listed(&bare, &query), []);
    disk.assert_all_happened();
}

#[test]
fn what_is_archived_during_a_look_up_is_found() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let commit = Bare::change(&committed("a"), 1, Some(bare.look_elsewhere(&waiting("a"))));
    let other = bare.clone();
    before_reading(&bare, &disk, move || {
        assert!(matches!(other.write(&commit).unwrap(), Outcome::Committed(_)));
        other.archive_all();
    });
    assert_eq!(bare.found("a"), Some((2, Status::Committed)));
    disk.assert_all_happened();
}

#[test]
fn what_comes_back_to_life_and_is_saved_again_during_a_look_up_is_found() {
    let (bare, disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let commit = Bare::change(&waiting("a"), 1, Some(bare.look_elsewhere(&waiting("a"))));
    let other = bare.clone();
    before_reading(&bare, &disk, move || {
        assert!(matches!(other.write(&commit).unwrap(), Outcome::Committed(_)));
        other.save_all();
    });
    assert_eq!(bare.found("a"), Some((2, Status::Submitted)));
    disk.assert_all_happened();
}

#[test]
fn a_commit_does_not_wait_for_the_archiving_of_others() {
    let (bare, _disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let (found, mark) = bare.look_elsewhere(&waiting("a"));
    bare.create(&committed("b"));
    bare.archive_all();
    let outcome = bare.write(&Bare::change(&committed("a"), 1, Some((found, mark)))).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
}

#[test]
fn a_commit_looks_again_if_its_transaction_was_changed_and_saved_meanwhile() {
    let (bare, _disk, _dir) = opened();
    bare.create(&waiting("a"));
    bare.save_all();
    let (found, mark) = bare.look_elsewhere(&waiting("a"));
    bare.commit(&waiting("a"), 1);
    bare.save_all();
    let outcome = bare.write(&Bare::change(&committed("a"), 1, Some((found, mark)))).unwrap();
    assert!(matches!(outcome, Outcome::LookElsewhere), "{outcome:?}");
    let again = bare.look_elsewhere(&waiting("a"));
    let outcome = bare.write(&Bare::change(&committed("a"), 1, Some(again))).unwrap();
    assert!(matches!(outcome, Outcome::Conflict(Some(version)) if version.0 == 2), "{outcome:?}");
}
