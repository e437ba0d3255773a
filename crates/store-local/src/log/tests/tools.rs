use super::*;

/// A sound log of three segments, stopped.
fn stopped() -> (SimDisk, u64) {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    log.stop(SegmentNo::FIRST).unwrap();
    (disk, count)
}

fn checked(disk: &SimDisk) -> (Report, Vec<u64>) {
    let mut numbers = Vec::new();
    let before = disk.operations();
    let report = check(disk, dir(), STORE, &mut |_, _, body| numbers.push(number_of(body))).unwrap();
    assert_eq!(disk.operations(), before, "a check changes nothing");
    (report, numbers)
}

#[test]
fn a_check_of_a_sound_log_finds_nothing() {
    let (disk, count) = stopped();
    let (report, numbers) = checked(&disk);
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    assert!(report.findings.is_empty() && report.is_stopped, "{report:?}");
    assert_eq!((report.segments, report.frames, report.last_sequence), (3, count + 3, count + 3));
}

#[test]
fn a_check_lists_every_damage_and_shows_what_stands_between() {
    let (disk, count) = stopped();
    let spots = frames(&disk, dir());
    for bad in [&spots[1], &spots[4], spots.iter().find(|spot| spot.segment.0 == 2).unwrap()] {
        disk.flip(path(bad.segment.0), bad.at + 40, 1);
    }
    let (report, numbers) = checked(&disk);
    let findings: Vec<_> = report.findings.iter().map(|found| (found.offset, found.is_damage)).collect();
    assert_eq!(findings, [(spots[1].at, true), (spots[4].at, true), (0, true)]);
    assert_eq!(numbers.len() as u64, count - 3);
    assert!(report.findings[0].what.contains("frame 2 should be"), "{:?}", report.findings[0]);
}

#[test]
fn a_check_tells_a_torn_tail_from_damage() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    fill(&mut log);
    drop(log);
    let last = *frames(&disk, dir()).last().unwrap();
    disk.flip(path(last.segment.0), last.end() - 1, 1);
    let (report, _) = checked(&disk);
    assert!(!report.is_stopped);
    assert_eq!(report.findings.iter().map(|found| found.is_damage).collect::<Vec<_>>(), [false]);
}

#[test]
fn a_check_names_a_missing_segment_and_a_missing_log() {
    let (disk, _) = stopped();
    disk.remove(&path(2)).unwrap();
    let (report, _) = checked(&disk);
    assert_eq!(report.findings[0].path, path(2));
    let (report, _) = checked(&SimDisk::new(1));
    assert!(report.findings[0].is_damage, "{report:?}");
}

#[test]
fn a_log_of_a_newer_version_is_not_checked() {
    let disk = SimDisk::new(1);
    drop(create(&disk));
    let mut bytes = disk.read(path(1)).unwrap()[..72].to_vec();
    let first = frames(&disk, dir())[0].header;
    let newer = Header { version: VERSION + 1, ..first.next(Kind::Data, SegmentNo(1), 0) };
    build(&mut bytes, Home { store: STORE, segment: SegmentNo(1) }, &newer, &[]);
    disk.write(path(1), &bytes);
    let error = check(&disk, dir(), STORE, &mut |_, _, _| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("newer version of Escrow"), "{error}");
}

#[test]
fn a_copy_of_a_running_log_opens_with_all_that_was_durable_and_its_last_frame_is_protected() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    let copied = copy_running(&disk, dir(), Path::new("/copy"), STORE).unwrap();
    assert_eq!((copied.frames, copied.last_sequence), (count + 2, count + 2));
    log.append(&body(count, 8), SegmentNo::FIRST).unwrap();
    let read = |disk: SimDisk| {
        let mut numbers = Vec::new();
        let log = Log::open::<Infallible>(Arc::new(disk), Path::new("/copy"), STORE, SMALL, &mut |_, _, body| {
            numbers.push(number_of(body));
            Ok(())
        });
        log.map(|_| numbers)
    };
    assert_eq!(read(disk.after_power_cut(1)).unwrap(), (0..count).collect::<Vec<_>>());
    let last = frames(&disk, Path::new("/copy"))[count as usize + 1];
    disk.flip(segment_path(&log_dir(Path::new("/copy")), last.segment), last.at + 70, 1);
    assert!(matches!(read(disk), Err(OpenError::Log(LogError::Damage(_)))));
}

#[test]
fn a_copy_that_follows_a_writer_has_every_frame_that_was_there_before_it_began() {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (temporary.path().join("from"), temporary.path().join("to"));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut log = Log::create(Arc::clone(&disk), &from, STORE, SMALL, &body(0, 8)).unwrap();
    let done = std::sync::atomic::AtomicU64::new(1);
    let copies = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..600 {
                log.append(&body(number, (number as usize * 397) % 2000), SegmentNo::FIRST).unwrap();
                done.store(number + 1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        let mut copies = 0;
        loop {
            let is_last = writer.is_finished();
            let before = done.load(std::sync::atomic::Ordering::SeqCst);
            copy_running(&*disk, &from, &to, STORE).unwrap();
            let mut numbers = Vec::new();
            Log::open::<Infallible>(Arc::clone(&disk), &to, STORE, SMALL, &mut |_, _, body| {
                numbers.push(number_of(body));
                Ok(())
            })
            .unwrap();
            assert!(numbers.len() as u64 >= before);
            assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
            copies += 1;
            if is_last {
                return copies;
            }
        }
    });
    assert!(copies > 1);
}

#[test]
fn a_damaged_log_is_not_copied() {
    let (disk, _) = stopped();
    disk.flip(path(2), 100, 1);
    let copied = copy_running(&disk, dir(), Path::new("/copy"), STORE);
    assert!(matches!(copied, Err(LogError::Damage(_))), "{copied:?}");
}
