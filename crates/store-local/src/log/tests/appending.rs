use super::*;

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn what_is_appended_comes_back_in_order_from_a_real_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut log = Log::create(Arc::clone(&disk), temporary.path(), STORE, SMALL, b"first").unwrap();
    let mut expected = vec![(SegmentNo(1), 1, b"first".to_vec())];
    for number in 1..200 {
        let body = body(number, (number as usize * 131) % 3000);
        let appended = log.append(&body, SegmentNo::FIRST).unwrap();
        expected.push((appended.segment, appended.sequence, body));
    }
    let segments = log.segments();
    assert!(segments.count() > 5 && segments.oldest() == SegmentNo(1) && segments.syncs() > 199);
    log.stop(SegmentNo::FIRST).unwrap();
    let mut found = Vec::new();
    let log = Log::open::<Infallible>(disk, temporary.path(), STORE, SMALL, &mut |segment, sequence, body| {
        found.push((segment, sequence, body.to_vec()));
        Ok(())
    });
    assert_eq!(log.unwrap().current(), expected.last().unwrap().0);
    assert_eq!(found, expected);
}

#[test]
fn a_clean_stop_goes_on_in_the_same_segment_right_behind_its_mark() {
    let disk = SimDisk::new(1);
    let larger = Tuning { segment_min: 16384, ..SMALL };
    let mut log = Log::create(Arc::new(disk.clone()), dir(), STORE, larger, &body(0, 8)).unwrap();
    log.append(&body(1, 100), SegmentNo::FIRST).unwrap();
    log.stop(SegmentNo::FIRST).unwrap();
    let (mut log, numbers) = open(&disk).unwrap();
    assert_eq!(numbers, all(2));
    assert_eq!(log.append(&body(2, 8), SegmentNo::FIRST).unwrap().segment, SegmentNo(1));
    let spots = frames(&disk, dir());
    let kinds: Vec<_> = spots.iter().map(|spot| (spot.at, spot.header.kind)).collect();
    assert_eq!(kinds[2..], [(4096, Kind::Stopped), (4160, Kind::Data)]);
    drop(log);
    // Now it was not stopped: the zeros in front of the mark are kept when the segment is sealed.
    let (log, numbers) = open(&disk).unwrap();
    assert_eq!((numbers, log.current()), (all(3), SegmentNo(2)));
    assert_eq!(frames(&disk, dir())[..4].iter().map(|spot| spot.at).collect::<Vec<_>>(), [0, 72, 4096, 4160]);
}

#[test]
fn stopping_again_without_a_new_frame_takes_no_room() {
    let disk = SimDisk::new(1);
    create(&disk).stop(SegmentNo::FIRST).unwrap();
    let before = frames(&disk, dir()).len();
    for _ in 0..5 {
        open(&disk).unwrap().0.stop(SegmentNo::FIRST).unwrap();
    }
    assert_eq!(frames(&disk, dir()).len(), before);
}

#[test]
fn stops_and_frames_fill_a_segment_to_its_end_and_go_on_in_the_next() {
    let disk = SimDisk::new(1);
    create(&disk).stop(SegmentNo::FIRST).unwrap();
    for number in 1..40 {
        let (mut log, numbers) = open(&disk).unwrap();
        assert_eq!(numbers, all(number));
        log.append(&body(number, (number as usize * 977) % 4000), SegmentNo::FIRST).unwrap();
        log.stop(SegmentNo::FIRST).unwrap();
    }
    let segments = frames(&disk, dir()).last().unwrap().segment;
    assert!(segments > SegmentNo(5));
    for segment in 1..=segments.0 {
        let capacity = disk.read(path(segment)).unwrap().len() as u64;
        let ends = frames(&disk, dir()).iter().filter(|spot| spot.segment.0 == segment).map(Spot::end).max();
        assert!(ends.unwrap() <= capacity, "segment {segment}");
    }
}

#[test]
fn a_kill_seals_the_last_segment_and_goes_on_in_the_next() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    drop(log);
    let before = disk.read(path(3)).unwrap();
    let end = frames(&disk, dir()).last().unwrap().end().next_multiple_of(8) as usize;
    let (log, numbers) = open(&disk).unwrap();
    assert_eq!((numbers.clone(), log.current()), (all(count), SegmentNo(4)));
    let sealed = disk.read(path(3)).unwrap();
    assert_eq!((&sealed[..end], sealed.len()), (&before[..end], end + HEADER_BYTES));
    assert_eq!(frames(&disk, dir()).last().unwrap().header.kind, Kind::Continues);
    assert_goes_on(&disk, log, numbers);
}

#[test]
fn a_frame_larger_than_the_largest_segment_gets_a_segment_that_is_large_enough() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let appended = log.append(&body(1, 100_000), SegmentNo::FIRST).unwrap();
    assert_eq!((appended.segment, appended.bytes), (SegmentNo(2), 100_064));
    log.append(&body(2, 100_000), SegmentNo::FIRST).unwrap();
    log.stop(SegmentNo::FIRST).unwrap();
    assert_eq!(open(&disk).unwrap().1, all(3));
    let too_large = vec![0; BODY_BYTES_MAX + 1];
    let mut log = open(&disk).unwrap().0;
    assert!(matches!(log.append(&too_large, SegmentNo::FIRST), Err(AppendError::TooLarge { .. })));
    log.append(&body(3, 8), SegmentNo::FIRST).unwrap();
}

#[test]
fn a_first_frame_of_any_size_makes_a_log() {
    for bytes in [0, 1, 4096, 20_000] {
        let disk = SimDisk::new(1);
        let first = vec![1; bytes];
        let log = Log::create(Arc::new(disk.clone()), dir(), STORE, SMALL, &first).unwrap();
        drop(log);
        let mut found = Vec::new();
        let open = Log::open::<Infallible>(Arc::new(disk.clone()), dir(), STORE, SMALL, &mut |_, _, body| {
            found.push(body.to_vec());
            Ok(())
        });
        assert!(open.is_ok());
        assert_eq!(found, [first]);
    }
}

#[test]
fn segments_grow_to_the_largest_size() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    for number in 1..100 {
        log.append(&body(number, 2000), SegmentNo::FIRST).unwrap();
    }
    let sizes: Vec<_> = (1..=5).map(|segment| disk.read(path(segment)).unwrap().len()).collect();
    assert_eq!(sizes, [8192, 16384, 32768, 32768, 32768]);
}

#[test]
fn segments_that_nobody_needs_are_used_again_and_their_old_frames_never_pass() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let segments = log.segments();
    let mut expected = vec![0];
    for number in 1..400 {
        let appended = log.append(&body(number, 500), log.current()).unwrap();
        expected.push(number);
        if appended.segment > segments.oldest() {
            log.append(&body(number + 1000, 8), log.current()).unwrap();
            assert_eq!(segments.durable_first(), log.current());
            assert!(segments.retire().unwrap() > 0);
            assert_eq!((segments.count(), segments.oldest()), (1, log.current()));
            expected.clear();
            expected.push(number);
            expected.push(number + 1000);
        }
    }
    let last = log.current();
    let recycled = disk.read(path(last.0)).unwrap();
    let used = frames(&disk, dir()).last().unwrap().end() as usize;
    assert!(recycled[used.next_multiple_of(8)..].iter().any(|&byte| byte != 0), "the segment was not used before");
    drop(log);
    assert_eq!(open(&disk.after_kill()).unwrap().1, expected);
    assert_eq!(open(&disk.after_power_cut(3)).unwrap().1, expected);
    assert!(disk.names(log_dir(dir())).len() <= 4);
}

#[test]
fn a_spare_is_made_when_the_segment_is_half_full_and_taken_by_the_next() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let segments = log.segments();
    assert!(!segments.prepare_spare(false).unwrap(), "the segment is empty");
    log.append(&body(1, 3900), SegmentNo::FIRST).unwrap();
    assert!(!segments.prepare_spare(false).unwrap(), "no more than half full");
    log.append(&body(2, 8), SegmentNo::FIRST).unwrap();
    log.append(&body(3, 5000), SegmentNo::FIRST).unwrap();
    log.append(&body(4, 4000), SegmentNo::FIRST).unwrap();
    assert!(segments.prepare_spare(false).unwrap());
    assert!(!segments.prepare_spare(false).unwrap(), "there is one");
    assert_eq!(disk.names(log_dir(dir())).last().unwrap(), "spare-1.log");
    let written = disk.bytes_written();
    log.append(&body(5, 6000), SegmentNo::FIRST).unwrap();
    assert!(disk.bytes_written() - written < 7000, "the spare was not taken");
    assert_eq!(disk.names(log_dir(dir())).len(), 3);
}

#[test]
fn what_the_caller_does_not_take_stops_the_start_and_nothing_is_written() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    drop(log);
    let before = disk.operations();
    let outcome = Log::open(Arc::new(disk.clone()), dir(), STORE, SMALL, &mut |_, sequence, _| match sequence {
        4 => Err(io::Error::other("no")),
        _ => Ok(()),
    });
    assert!(matches!(outcome, Err(OpenError::Frame { sequence: 4, .. })));
    assert_eq!(disk.operations(), before);
    assert_eq!(open(&disk).unwrap().1, all(count));
}

#[test]
fn a_full_disk_refuses_a_frame_and_takes_it_when_there_is_space() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    disk.set_capacity(Some(disk.used()));
    let mut count = 1;
    while log.append(&body(count, 1000), SegmentNo::FIRST).is_ok() {
        count += 1;
    }
    assert!(matches!(log.append(&body(count, 1000), SegmentNo::FIRST), Err(AppendError::Full(_))));
    assert_eq!(disk.names(log_dir(dir())).len(), 1, "nothing is left behind");
    log.append(&body(count, 8), SegmentNo::FIRST).unwrap();
    assert_eq!(open(&disk.after_power_cut(1)).map(|(_, numbers)| numbers).ok(), None, "sealing takes space, too");
    disk.set_capacity(None);
    log.append(&body(count + 1, 1000), SegmentNo::FIRST).unwrap();
    assert_eq!(log.current(), SegmentNo(2));
    assert_eq!(open(&disk.after_power_cut(1)).unwrap().1, all(count + 2));
}

#[test]
fn a_failed_sync_ends_the_log_and_loses_nothing_that_was_acknowledged() {
    for nth in 1..12 {
        let disk = SimDisk::new(nth);
        let mut log = create(&disk);
        log.append(&body(1, 3000), SegmentNo::FIRST).unwrap();
        disk.fail_sync(nth);
        let mut count = 2;
        let error = loop {
            match log.append(&body(count, 900), SegmentNo::FIRST) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AppendError::Failed(_)), "{error:?}");
        let again = log.append(&body(77, 8), SegmentNo::FIRST);
        assert!(matches!(again, Err(AppendError::Failed(_))));
        assert!(matches!(log.stop(SegmentNo::FIRST), Err(AppendError::Failed(_))));
        for found in [disk.after_kill(), disk.after_power_cut(nth)] {
            let (log, numbers) = open(&found).unwrap();
            assert!(numbers == all(count) || numbers == all(count + 1), "{numbers:?}");
            assert_goes_on(&found, log, numbers);
        }
    }
}

#[test]
fn stopping_again_tells_what_is_needed_now() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    fill(&mut log);
    let current = log.current();
    assert!(current > SegmentNo::FIRST);
    log.stop(SegmentNo::FIRST).unwrap();
    open(&disk).unwrap().0.stop(current).unwrap();
    let log = open(&disk).unwrap().0;
    assert_eq!(log.segments().oldest(), current);
}

#[test]
fn on_a_full_disk_a_small_segment_does() {
    let disk = SimDisk::new(1);
    let growing = Tuning { segment_min: 8 * 1024, segment_max: 1024 * 1024 };
    let mut log = Log::create(Arc::new(disk.clone()), dir(), STORE, growing, &body(0, 8)).unwrap();
    let mut numbers = 1..;
    let mut append_until = |log: &mut Log, segment: u64| {
        while log.current() < SegmentNo(segment) {
            log.append(&body(numbers.next().unwrap(), 2_000), SegmentNo::FIRST).unwrap();
        }
    };
    append_until(&mut log, 4);
    // The next should have 128 KiB.
    disk.set_capacity(Some(disk.used() + 10_000));
    append_until(&mut log, 5);
    assert_eq!(disk.read(path(5)).unwrap().len(), 8 * 1024);
}

#[test]
fn short_reads_change_nothing() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    drop(log);
    disk.set_short_reads(true);
    assert_eq!(open(&disk).unwrap().1, all(count));
}

#[test]
fn a_log_is_not_made_over_one_that_has_begun() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let make = || Log::create(Arc::new(disk.clone()), dir(), STORE, SMALL, &body(5, 8));
    make().unwrap();
    drop(log);
    log = open(&disk).unwrap().0;
    log.append(&body(1, 8), SegmentNo::FIRST).unwrap();
    assert!(matches!(make(), Err(LogError::Exists { .. })));
    assert_eq!(open(&disk).unwrap().1, [5, 1]);
}

#[test]
fn where_there_is_no_log_none_is_opened() {
    let disk = SimDisk::new(1);
    assert!(matches!(open(&disk), Err(OpenError::Log(LogError::Missing { .. }))));
}
