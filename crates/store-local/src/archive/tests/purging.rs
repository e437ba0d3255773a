use super::*;

#[test]
fn what_was_purged_is_absent_before_its_file_goes() {
    let (_dir, archive) = opened(10);
    insert(&archive, &["a"], 5, DAY);
    insert(&archive, &["b"], 6, DAY);
    assert_eq!(archive.drop_purged(at(6)).unwrap(), 0, "b is still wanted");
    let purged = Some(at(6));
    assert_eq!(archive.find(&gid("a"), purged).unwrap(), None);
    assert!(archive.find(&gid("b"), purged).unwrap().is_some());
    assert_eq!(names(&archive.list(&ListQuery::newest(limit(5)), 5, purged).unwrap()), ["b"]);
    assert_eq!(archive.export(None, 5, purged).unwrap().len(), 1);
    assert_eq!(archive.purgeable(purged, at(7), 9).unwrap(), Purgeable { rows: 1, cut: at(7) });
}

#[test]
fn a_partition_goes_once_nothing_of_it_is_wanted_with_its_filter_and_all_its_files() {
    let (dir, archive) = opened(2);
    insert(&archive, &["a", "b"], 5, DAY);
    insert(&archive, &["c", "d"], 6, DAY);
    insert(&archive, &["e"], 7, DAY);
    assert!(archive.find(&gid("a"), None).unwrap().is_some(), "it is connected");
    assert_eq!(archive.drop_purged(at(6)).unwrap(), 1);
    assert!(!files(dir.path()).iter().any(|name| name.contains("0001")), "{:?}", files(dir.path()));
    assert!(!archive.may_hold(&gid("a")) && archive.find(&gid("a"), None).unwrap().is_none());
    assert_eq!(archive.info(), ArchiveInfo { partitions: 2, rows: 3 });
    assert_eq!(archive.drop_purged(at(6)).unwrap(), 0);
}

#[test]
fn the_current_partition_goes_too_if_nothing_of_it_is_wanted_and_the_next_one_has_another_number() {
    let (dir, archive) = opened(10);
    insert(&archive, &["a"], 5, DAY);
    assert_eq!(archive.drop_purged(at(6)).unwrap(), 1);
    assert_eq!(files(dir.path()), [""; 0]);
    assert_eq!((archive.info(), newest(&archive, 5).len()), (ArchiveInfo { partitions: 0, rows: 0 }, 0));
    insert(&archive, &["b"], 7, DAY);
    assert_eq!(files(dir.path())[0], "1970-01-02-0002.db");
    drop(archive);
    assert_eq!(names(&newest(&open_at(dir.path(), 10), 5)), ["b"]);
}

#[test]
fn a_reader_that_still_has_a_removed_partition_does_not_make_its_file_anew() {
    let (dir, archive) = opened(2);
    insert(&archive, &["a", "b"], 5, DAY);
    let while_current = archive.partitions();
    insert(&archive, &["c"], 9, DAY);
    let while_closed = archive.partitions();
    assert_eq!(archive.drop_purged(at(6)).unwrap(), 1);
    let rows = |partition: &Partition| {
        let count = |connection: &rusqlite::Connection| {
            Ok(connection.query_row("SELECT count(*) FROM txn", (), |row| row.get::<_, i64>(0)).unwrap())
        };
        partition.read(&archive.context, database::Turn::LookUp, 0, count).unwrap()
    };
    assert_eq!(rows(&while_closed[0]), 0);
    // The writer's connection is open to the end, and sees what is no longer to be found by its name.
    assert_eq!(rows(&while_current[0]), 2);
    assert!(!files(dir.path()).iter().any(|name| name.contains("0001")), "{:?}", files(dir.path()));
}

#[test]
fn a_purge_goes_in_steps_that_take_all_of_one_moment() {
    let (_dir, archive) = opened(4);
    insert(&archive, &["a", "b", "c", "d"], 5, DAY);
    insert(&archive, &["e", "f"], 6, DAY);
    assert_eq!(archive.purgeable(None, at(9), 2).unwrap(), Purgeable { rows: 4, cut: at(6) });
    assert_eq!(archive.purgeable(Some(at(6)), at(9), 2).unwrap(), Purgeable { rows: 2, cut: at(7) });
    assert_eq!(archive.purgeable(Some(at(7)), at(9), 2).unwrap(), Purgeable { rows: 0, cut: at(9) });
    insert(&archive, &["g"], 7, DAY);
    assert_eq!(archive.purgeable(Some(at(7)), at(9), 2).unwrap(), Purgeable { rows: 1, cut: at(9) });
}

#[test]
fn what_is_in_two_partitions_is_purged_once() {
    let (_dir, archive) = opened(4);
    insert(&archive, &["a", "b"], 5, DAY);
    assert_eq!(archive.purgeable(None, at(9), 9).unwrap().rows, 2);
    // A replay repeats it on the next day, after something that is older.
    insert(&archive, &["z"], 2, 2 * DAY);
    insert(&archive, &["b"], 5, 2 * DAY);
    assert_eq!(archive.purgeable(None, at(9), 9).unwrap(), Purgeable { rows: 3, cut: at(9) });
    insert(&archive, &["a"], 5, 2 * DAY);
    assert_eq!(archive.purgeable(None, at(9), 9).unwrap(), Purgeable { rows: 3, cut: at(9) });
}

#[test]
fn a_removed_partition_is_forgotten_by_the_filter_over_all_and_the_others_are_not() {
    let (dir, archive) = opened(2);
    let name = |number: u64, letter: char| format!("{number:02}{letter}");
    for number in 1..=20 {
        // Two gids have one fingerprint if they are the same gid: one that is in two partitions stays.
        insert(&archive, &[&name(number, 'a'), &name(number - number % 2, 'b')], number, DAY);
    }
    drop(archive);
    let archive = open_at(dir.path(), 2);
    assert!(archive.may_hold(&gid("01a")) && !archive.may_hold(&gid("absent")), "before it is made");
    archive.prepare(9).unwrap();
    assert!(archive.front.denies(Fingerprint::of(&gid("absent"))), "it is made");
    insert(&archive, &["21a"], 21, DAY);
    archive.drop_purged(at(9)).unwrap();
    for number in 1..=20 {
        assert_eq!(archive.may_hold(&gid(&name(number, 'a'))), number >= 9, "{number}");
        assert_eq!(archive.front.denies(Fingerprint::of(&gid(&name(number, 'a')))), number < 9, "{number}");
    }
    // Repeated in the partition of 9, whose own is gone.
    assert!(archive.may_hold(&gid("08b")) && archive.may_hold(&gid("21a")));
}
