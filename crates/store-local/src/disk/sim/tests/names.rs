use super::*;

/// The names in `/d` that the boots after many different power cuts find.
fn names_after_cuts(disk: &SimDisk) -> Vec<Vec<String>> {
    (0..200).map(|seed| disk.after_power_cut(seed).names("/d")).collect()
}

#[test]
fn a_new_name_needs_a_sync_of_its_directory_even_if_its_content_was_synced() {
    let disk = disk();
    let file = disk.create(Path::new("/d/f")).unwrap();
    file.write_all_at(b"content", 0).unwrap();
    file.sync().unwrap();
    let found = outcomes(&disk, "/d/f");
    assert!(found.contains(&None) && found.contains(&Some(b"content".to_vec())));
    assert!(found.iter().flatten().all(|content| content == b"content"));
    disk.sync_dir(Path::new("/d")).unwrap();
    assert!(!outcomes(&disk, "/d/f").contains(&None));
}

#[test]
fn a_rename_replaces_wholly_or_not_at_all() {
    let disk = disk();
    let _old = durable_file(&disk, "/d/f", b"old");
    let _new = durable_file(&disk, "/d/f.new", b"new");
    disk.rename(Path::new("/d/f.new"), Path::new("/d/f")).unwrap();
    let mut replaced = 0;
    for seed in 0..200 {
        let next = disk.after_power_cut(seed);
        match next.read("/d/f").unwrap().as_slice() {
            b"old" => assert_eq!(next.read("/d/f.new").unwrap(), b"new"),
            content => {
                assert_eq!(content, b"new");
                assert_eq!(next.names("/d"), ["f"]);
                replaced += 1;
            }
        }
    }
    assert!((1..200).contains(&replaced));
    disk.sync_dir(Path::new("/d")).unwrap();
    assert!(outcomes(&disk, "/d/f").iter().all(|found| found.as_deref() == Some(b"new")));
}

#[test]
fn a_rename_to_a_name_whose_content_was_not_synced_can_leave_it_empty() {
    let disk = disk();
    let _old = durable_file(&disk, "/d/f", b"old");
    disk.create(Path::new("/d/f.new")).unwrap().write_all_at(b"new", 0).unwrap();
    disk.rename(Path::new("/d/f.new"), Path::new("/d/f")).unwrap();
    let found = outcomes(&disk, "/d/f");
    for content in [b"old".to_vec(), b"new".to_vec(), Vec::new()] {
        assert!(found.contains(&Some(content)));
    }
}

#[test]
fn a_removed_file_can_come_back_until_its_directory_is_synced() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", b"content");
    disk.remove(Path::new("/d/f")).unwrap();
    assert_eq!(disk.open(Path::new("/d/f")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let found = outcomes(&disk, "/d/f");
    assert!(found.contains(&None) && found.contains(&Some(b"content".to_vec())));
    disk.sync_dir(Path::new("/d")).unwrap();
    assert!(outcomes(&disk, "/d/f").iter().all(Option::is_none));
    assert_eq!(file.len().unwrap(), 7, "an open file lives on without its name");
}

#[test]
fn names_reach_the_disk_in_their_order() {
    let disk = disk();
    for name in ["a", "b", "c"] {
        disk.create(&Path::new("/d").join(name)).unwrap();
    }
    disk.remove(Path::new("/d/a")).unwrap();
    let states: [&[&str]; 5] = [&[], &["a"], &["a", "b"], &["a", "b", "c"], &["b", "c"]];
    let found = names_after_cuts(&disk);
    assert!(found.iter().all(|names| states.iter().any(|state| names == state)));
    assert!(states.iter().all(|state| found.iter().any(|names| names == state)));
}

#[test]
fn after_a_failed_sync_of_a_directory_its_names_are_not_durable() {
    let disk = disk();
    disk.create(Path::new("/d/f")).unwrap();
    disk.fail_sync(1);
    assert!(disk.sync_dir(Path::new("/d")).is_err());
    assert!(names_after_cuts(&disk).contains(&Vec::new()));
    disk.sync_dir(Path::new("/d")).unwrap();
    assert!(names_after_cuts(&disk).iter().all(|names| names == &["f"]));
}

#[test]
fn the_change_of_names_at_which_the_power_goes_happens_or_not() {
    let change: [fn(&SimDisk) -> io::Result<()>; 3] = [
        |disk| disk.create(Path::new("/d/new")).map(|_| ()),
        |disk| disk.rename(Path::new("/d/f"), Path::new("/d/new")),
        |disk| disk.remove(Path::new("/d/f")),
    ];
    for change in change {
        let left = (0..40).map(|seed| {
            let disk = SimDisk::new(seed);
            disk.write("/d/f", b"content");
            disk.power_off_at(1);
            assert!(change(&disk).is_err());
            disk.names("/d") == ["f"]
        });
        let unchanged = left.filter(|&unchanged| unchanged).count();
        assert!((1..40).contains(&unchanged), "{unchanged}");
    }
}

#[test]
fn a_list_is_sorted_and_has_the_files_alone() {
    let disk = disk();
    disk.create_dir(Path::new("/d/archive/old")).unwrap();
    for path in ["/d/b", "/d/a", "/d/archive/c"] {
        disk.create(Path::new(path)).unwrap();
    }
    assert_eq!(disk.list(Path::new("/d")).unwrap(), ["a", "b"]);
    assert_eq!(disk.list(Path::new("/d/archive/")).unwrap(), ["c"]);
    assert!(disk.list(Path::new("/nowhere")).is_err() && disk.create(Path::new("/nowhere/f")).is_err());
    assert!(disk.after_power_cut(0).list(Path::new("/d/archive/old")).unwrap().is_empty());
    let moved = disk.rename(Path::new("/d/a"), Path::new("/d/archive/a"));
    assert_eq!(moved.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let outcome = |seed| {
        let disk = disk();
        let file = durable_file(&disk, "/d/f", &[1; 4000]);
        file.write_all_at(&[2; 4000], 100).unwrap();
        disk.create(Path::new("/d/g")).unwrap().write_all_at(&[3; 3000], 0).unwrap();
        let next = disk.after_power_cut(seed);
        (next.names("/d"), next.read("/d/f"), next.read("/d/g"))
    };
    for seed in 0..50 {
        assert_eq!(outcome(seed), outcome(seed));
    }
}
