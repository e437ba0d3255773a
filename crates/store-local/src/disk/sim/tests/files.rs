use super::*;

/// Sectors of one byte each.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| [byte; SECTOR]).collect()
}

#[test]
fn synced_content_survives_every_cut() {
    let disk = disk();
    let content: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
    let _file = durable_file(&disk, "/d/f", &content);
    assert!(outcomes(&disk, "/d/f").iter().all(|found| found.as_ref() == Some(&content)));
}

#[test]
fn content_that_is_not_synced_is_lost_or_kept_or_torn_by_whole_sectors() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"aaaa"));
    file.write_all_at(&sectors(b"bbbb"), 0).unwrap();
    assert_eq!(disk.read("/d/f"), Some(sectors(b"bbbb")), "reads see what is not synced");
    let found = outcomes(&disk, "/d/f").into_iter().map(Option::unwrap).collect::<Vec<_>>();
    let mut torn = 0;
    for content in &found {
        assert_eq!(content.len(), 4 * SECTOR);
        for sector in content.chunks(SECTOR) {
            assert!(sector == [b'a'; SECTOR] || sector == [b'b'; SECTOR]);
        }
        torn += usize::from(*content != sectors(b"aaaa") && *content != sectors(b"bbbb"));
    }
    assert!(torn > 20, "{torn} torn");
    assert!(found.contains(&sectors(b"aaaa")) && found.contains(&sectors(b"bbbb")));
    assert!(found.contains(&sectors(b"abbb")) && found.contains(&sectors(b"bbba")), "either end can be missing");
}

#[test]
fn a_sector_that_was_written_several_times_is_found_in_any_of_its_versions() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"a"));
    for version in [b"b", b"c"] {
        file.write_all_at(&sectors(version), 0).unwrap();
    }
    let found = outcomes(&disk, "/d/f");
    for version in [b"a", b"b", b"c"] {
        assert!(found.contains(&Some(sectors(version))), "{version:?}");
    }
}

#[test]
fn a_file_that_grew_is_found_with_any_of_its_lengths_and_zeros_where_nothing_arrived() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", b"");
    file.write_all_at(&[7; 700], 0).unwrap();
    file.write_all_at(&[7; 700], 700).unwrap();
    let found = outcomes(&disk, "/d/f").into_iter().map(Option::unwrap).collect::<Vec<_>>();
    for len in [0, 700, 1400] {
        assert!(found.iter().any(|content| content.len() == len), "{len}");
    }
    assert!(found.iter().all(|content| [0, 700, 1400].contains(&content.len())));
    assert!(found.iter().flatten().all(|&byte| byte == 0 || byte == 7));
    assert!(found.iter().any(|content| content.len() == 1400 && content[..SECTOR] == [0; SECTOR]));
}

#[test]
fn what_was_cut_off_does_not_come_back_when_the_file_grows_again() {
    let disk = disk();
    durable_file(&disk, "/d/f", &sectors(b"aa")).write_all_at(&sectors(b"a"), SECTOR as u64).unwrap();
    let file = disk.create(Path::new("/d/f")).unwrap();
    assert_eq!(file.len().unwrap(), 0);
    file.write_all_at(b"b", 3 * SECTOR as u64 - 1).unwrap();
    let found = outcomes(&disk, "/d/f").into_iter().map(Option::unwrap).collect::<Vec<_>>();
    assert!(found.iter().filter(|content| content.len() == 3 * SECTOR).all(|content| !content.contains(&b'a')));
    assert!(found.contains(&sectors(b"aa")), "nothing arrived");
    assert!(found.contains(&Vec::new()), "only the end of the old content arrived");
    file.sync().unwrap();
    let whole = disk.read("/d/f");
    assert!(outcomes(&disk, "/d/f").iter().all(|content| *content == whole));
}

#[test]
fn after_a_kill_everything_is_read_but_nothing_more_is_durable() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"aa"));
    file.write_all_at(&sectors(b"bb"), 0).unwrap();
    let next = disk.after_kill();
    assert_eq!(next.read("/d/f"), Some(sectors(b"bb")));
    assert!(outcomes(&next, "/d/f").contains(&Some(sectors(b"aa"))));
    next.open(Path::new("/d/f")).unwrap().sync().unwrap();
    assert!(outcomes(&next, "/d/f").iter().all(|found| *found == Some(sectors(b"bb"))));
}

#[test]
fn what_a_failed_sync_dropped_never_becomes_durable_by_another_sync() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"aaa"));
    file.write_all_at(&sectors(b"bb"), 0).unwrap();
    disk.fail_sync(1);
    assert!(file.sync().is_err());
    assert_eq!(disk.read("/d/f"), Some(sectors(b"bba")), "later reads show it");
    file.write_all_at(&sectors(b"cc"), SECTOR as u64).unwrap();
    file.sync().unwrap();
    let found = outcomes(&disk, "/d/f");
    assert!(found.iter().all(|content| *content == Some(sectors(b"acc")) || *content == Some(sectors(b"bcc"))));
    assert!(found.contains(&Some(sectors(b"acc"))) && found.contains(&Some(sectors(b"bcc"))));
    let killed = disk.after_kill();
    killed.open(Path::new("/d/f")).unwrap().sync().unwrap();
    assert!(outcomes(&killed, "/d/f").contains(&Some(sectors(b"acc"))), "nor by one of the next process");
}

#[test]
fn a_full_disk_refuses_to_grow_and_changes_nothing_until_space_is_freed() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &[1; 1000]);
    let other = durable_file(&disk, "/d/g", &[2; 500]);
    disk.set_capacity(Some(1600));
    let error = other.write_all_at(&[3; 200], 450).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.read("/d/g"), Some(vec![2; 500]));
    other.write_all_at(&[3; 100], 500).unwrap();
    file.write_all_at(&[4; 1000], 0).unwrap();
    assert!(disk.after_kill().open(Path::new("/d/g")).unwrap().write_all_at(b"x", 600).is_err(), "it stays full");
    disk.remove(Path::new("/d/f")).unwrap();
    assert_eq!(disk.used(), 600);
    other.write_all_at(&[5; 1000], 600).unwrap();
    disk.set_capacity(None);
    other.write_all_at(&[6; 1000], 1600).unwrap();
    assert_eq!(disk.used(), 2600);
}

#[test]
fn from_the_operation_at_which_the_power_goes_everything_fails_and_nothing_changes() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"aa"));
    disk.power_off_at(2);
    file.write_all_at(&sectors(b"b"), 0).unwrap();
    assert!(!disk.is_off());
    assert!(file.write_all_at(&sectors(b"cc"), 0).is_err());
    assert!(disk.is_off());
    let (left, operations) = (disk.read("/d/f"), disk.operations());
    let path = Path::new("/d/f");
    assert!(file.write_all_at(b"d", 0).is_err() && file.sync().is_err() && file.len().is_err());
    assert!(file.read_at(&mut [0; 9], 0).is_err() && disk.list(Path::new("/d")).is_err() && disk.open(path).is_err());
    assert!(disk.create(path).is_err() && disk.remove(path).is_err() && disk.sync_dir(Path::new("/d")).is_err());
    assert!(disk.rename(path, Path::new("/d/g")).is_err() && disk.create_dir(Path::new("/e")).is_err());
    assert_eq!((disk.read("/d/f"), disk.operations()), (left, operations));
    let next = disk.after_power_cut(0);
    assert!(!next.is_off());
    next.open(path).unwrap().write_all_at(b"e", 0).unwrap();
}

#[test]
fn the_write_at_which_the_power_goes_happens_wholly_or_partly_or_not_at_all() {
    let mut found = Vec::new();
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        disk.write("/d/f", &sectors(b"aaa"));
        let file = disk.open(Path::new("/d/f")).unwrap();
        disk.power_off_at(1);
        assert!(file.write_all_at(&sectors(b"bbb"), 0).is_err());
        found.push(disk.read("/d/f").unwrap());
    }
    for content in [b"aaa", b"baa", b"bba", b"bbb"] {
        assert!(found.contains(&sectors(content)), "{content:?}");
    }
}

#[test]
fn a_sync_at_which_the_power_goes_has_not_happened_for_sure() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", &sectors(b"a"));
    file.write_all_at(&sectors(b"b"), 0).unwrap();
    disk.power_off_at(1);
    assert!(file.sync().is_err());
    let found = outcomes(&disk, "/d/f");
    assert!(found.contains(&Some(sectors(b"a"))) && found.contains(&Some(sectors(b"b"))));
}

#[test]
fn short_reads_give_fewer_bytes_and_never_none_before_the_end() {
    let disk = disk();
    let content: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
    let file = durable_file(&disk, "/d/f", &content);
    disk.set_short_reads(true);
    let mut buffer = [0; 3000];
    let counts: Vec<usize> = (0..50).map(|_| file.read_at(&mut buffer, 0).unwrap()).collect();
    assert!(counts.iter().any(|&count| count < 3000) && counts.contains(&3000) && !counts.contains(&0));
    assert_eq!(read_full_at(&*file, &mut [0; 4000], 0).unwrap(), 3000);
    assert_eq!(read_full_at(&*file, &mut buffer, 0).unwrap(), 3000);
    assert_eq!(buffer[..], content[..]);
    assert_eq!(file.read_at(&mut buffer, 3000).unwrap(), 0);
}

#[test]
fn damage_is_on_the_disk_for_good() {
    let disk = disk();
    disk.write("/d/f", &[0xff; 600]);
    disk.flip("/d/f", 599, 0x01);
    disk.zero("/d/f", 510..514);
    let mut damaged = vec![0xff; 600];
    damaged[599] = 0xfe;
    damaged[510..514].fill(0);
    assert_eq!(disk.read("/d/f"), Some(damaged.clone()));
    assert!(outcomes(&disk, "/d/f").iter().all(|found| *found == Some(damaged.clone())));
}

#[test]
fn a_snapshot_goes_its_own_way() {
    let disk = disk();
    let file = durable_file(&disk, "/d/f", b"one");
    disk.power_off_at(10);
    let copy = disk.snapshot();
    assert_eq!(copy.operations(), disk.operations());
    file.write_all_at(b"two", 0).unwrap();
    assert_eq!((copy.read("/d/f").unwrap(), disk.read("/d/f").unwrap()), (b"one".to_vec(), b"two".to_vec()));
    assert_eq!(copy.operations() + 1, disk.operations());
    let other = copy.open(Path::new("/d/f")).unwrap();
    assert!((0..9).all(|_| other.write_all_at(b"x", 0).is_ok()) && other.write_all_at(b"x", 0).is_err());
    disk.power_off();
    assert!(file.len().is_err());
}

#[test]
fn operations_syncs_and_bytes_are_counted() {
    let disk = disk();
    assert_eq!((disk.operations(), disk.syncs(), disk.bytes_written()), (1, 0, 0));
    disk.create_dir(Path::new("/d")).unwrap();
    let file = durable_file(&disk, "/d/f", &[1; 1000]);
    file.write_all_at(&[2; 10], 0).unwrap();
    disk.rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
    disk.remove(Path::new("/d/g")).unwrap();
    assert_eq!((disk.operations(), disk.syncs(), disk.bytes_written()), (8, 2, 1010));
    let next = disk.after_kill();
    assert_eq!((next.operations(), next.syncs(), next.bytes_written()), (0, 0, 0));
}
