//! Every byte flipped, every page lost, every file missing: what is read is exact, or nothing is.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
    /// Stopped, started, and killed after one more frame.
    Resumed,
}

const ENDS: [End; 3] = [End::Killed, End::Stopped, End::Resumed];

/// A log to be damaged.
struct Victim {
    disk: SimDisk,
    spots: Vec<Spot>,
    numbers: Vec<u64>,
}

impl Victim {
    fn new(end: End) -> Self {
        let disk = SimDisk::new(1);
        let mut log = create(&disk);
        let mut count = fill(&mut log);
        match end {
            End::Killed => drop(log),
            End::Stopped => log.stop(SegmentNo::FIRST).unwrap(),
            End::Resumed => {
                log.stop(SegmentNo::FIRST).unwrap();
                open(&disk).unwrap().0.append(&body(count, 300), SegmentNo::FIRST).unwrap();
                count += 1;
            }
        }
        Self { spots: frames(&disk, dir()), disk, numbers: (0..count).collect() }
    }

    fn last(&self) -> Spot {
        *self.spots.last().unwrap()
    }

    /// What is left when the last frames are dropped from this one on.
    fn numbers_before(&self, sequence: u64) -> Vec<u64> {
        let kept = self.spots.iter().filter(|spot| spot.header.sequence < sequence && spot.header.kind == Kind::Data);
        self.numbers[..kept.count()].to_vec()
    }

    /// The first frame that has a byte in this part of a segment.
    fn first_hit(&self, segment: SegmentNo, range: std::ops::Range<u64>) -> Option<Spot> {
        let is_hit = |spot: &&Spot| spot.segment == segment && spot.at < range.end && range.start < spot.end();
        self.spots.iter().find(is_hit).copied()
    }

    /// Opens a damaged copy and compares: `hit` is the first frame that was damaged, `last_hit` the last one.
    fn judge(&self, disk: &SimDisk, hit: Option<Spot>, is_last_hit: bool, what: &str) {
        let before = disk.operations();
        match (open(disk), hit) {
            (Ok((_, numbers)), None) => assert_eq!(numbers, self.numbers, "{what}"),
            (Ok((log, numbers)), Some(hit)) => {
                assert!(is_last_hit, "{what}: frame {} was damaged and dropped", hit.header.sequence);
                assert_eq!(numbers, self.numbers_before(hit.header.sequence), "{what}");
                drop(log);
                assert_eq!(open(&disk.after_power_cut(1)).unwrap().1, numbers, "{what}");
            }
            (Err(OpenError::Log(LogError::Damage(damage))), Some(hit)) => {
                assert!(!is_last_hit, "{what}: {damage}");
                let is_mark = hit.header.kind == Kind::Stopped && damage.place.offset < hit.at;
                assert!(damage.place.offset == hit.at || is_mark, "{what}: {damage}");
                assert_eq!(damage.place.path, path(hit.segment.0), "{what}");
                assert_eq!(disk.operations(), before, "{what}: something was written");
            }
            (Err(error), hit) => panic!("{what}: {error} at {hit:?}"),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_refused_except_in_a_last_frame_that_may_be_torn() {
    for end in ENDS {
        let victim = Victim::new(end);
        for segment in 1..=3 {
            let bytes = victim.disk.read(path(segment)).unwrap().len() as u64;
            for at in 0..bytes {
                let hit = victim.first_hit(SegmentNo(segment), at..at + 1);
                let is_header = hit.is_some_and(|hit| at < hit.at + HEADER_BYTES as u64);
                let bits = if is_header { 0..8 } else { at % 8..at % 8 + 1 };
                // Where there is no frame one byte is as good as another.
                if hit.is_none() && at % 7 > 0 {
                    continue;
                }
                for bit in bits {
                    let disk = victim.disk.snapshot();
                    disk.flip(path(segment), at, 1 << bit);
                    let is_last = hit.is_some_and(|hit| hit.header.sequence == victim.last().header.sequence);
                    victim.judge(&disk, hit, is_last, &format!("{end:?}, segment {segment}, byte {at}, bit {bit}"));
                }
            }
        }
    }
}

#[test]
fn a_lost_page_is_harmless_or_refused_unless_nothing_stands_behind_it() {
    for end in ENDS {
        let victim = Victim::new(end);
        for segment in 1..=3 {
            let bytes = victim.disk.read(path(segment)).unwrap().len() as u64;
            for at in (0..bytes).step_by(PAGE_BYTES as usize) {
                let disk = victim.disk.snapshot();
                let page = at..at + PAGE_BYTES;
                disk.zero(path(segment), page.clone());
                let hit = victim.first_hit(SegmentNo(segment), page.clone());
                let is_last = victim.last().segment.0 == segment && victim.last().at < page.end;
                victim.judge(&disk, hit, is_last, &format!("{end:?}, segment {segment}, page at {at}"));
            }
        }
    }
}

#[test]
fn after_a_clean_stop_no_lost_page_takes_data_without_being_noticed() {
    let victim = Victim::new(End::Stopped);
    for segment in 1..=3 {
        let bytes = victim.disk.read(path(segment)).unwrap().len() as u64;
        for at in (0..bytes).step_by(PAGE_BYTES as usize) {
            let disk = victim.disk.snapshot();
            disk.zero(path(segment), at..at + PAGE_BYTES);
            match open(&disk) {
                Ok((_, numbers)) => assert_eq!(numbers, victim.numbers),
                Err(error) => assert!(matches!(error, OpenError::Log(LogError::Damage(_))), "{error}"),
            }
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_dropped() {
    let victim = Victim::new(End::Killed);
    let last = victim.last();
    let kept = victim.numbers_before(last.header.sequence);
    for zeroed_from in last.at..last.end() {
        let disk = victim.disk.snapshot();
        disk.zero(path(last.segment.0), zeroed_from..last.end());
        let (log, numbers) = open(&disk).unwrap();
        // The byte before may have been a zero.
        let is_whole = victim.disk.read(path(last.segment.0)) == disk.read(path(last.segment.0));
        assert!(numbers == kept || is_whole, "zeros from byte {zeroed_from} on");
        assert_goes_on(&disk, log, numbers);
    }
    for zeroed_to in last.at + 1..last.end() {
        let disk = victim.disk.snapshot();
        disk.zero(path(last.segment.0), last.at..zeroed_to);
        assert_eq!(open(&disk).unwrap().1, kept, "zeros up to byte {zeroed_to}");
    }
}

#[test]
fn a_segment_that_was_cut_short_is_refused_if_frames_stand_behind_it() {
    let victim = Victim::new(End::Killed);
    for segment in 1..=2 {
        let bytes = victim.disk.read(path(segment)).unwrap();
        let end = victim.spots.iter().filter(|spot| spot.segment.0 == segment).map(Spot::end).max().unwrap();
        for length in (0..end).step_by(101) {
            let disk = victim.disk.snapshot();
            disk.write(path(segment), &bytes[..length as usize]);
            let hit = victim.first_hit(SegmentNo(segment), length..bytes.len() as u64);
            victim.judge(&disk, hit, false, &format!("segment {segment} cut to {length}"));
        }
    }
}

#[test]
fn a_segment_of_zeros_is_refused_if_frames_stand_behind_it_or_nothing_else_is_there() {
    let victim = Victim::new(End::Killed);
    for segment in 1..=3 {
        let disk = victim.disk.snapshot();
        disk.zero(path(segment), 0..disk.read(path(segment)).unwrap().len() as u64);
        let hit = victim.first_hit(SegmentNo(segment), 0..1);
        victim.judge(&disk, hit, segment == 3, &format!("segment {segment} is zeros"));
    }
    let disk = SimDisk::new(1);
    drop(create(&disk));
    disk.zero(path(1), 0..8192);
    let Err(OpenError::Log(LogError::Damage(damage))) = open(&disk) else { panic!("a log without a frame was opened") };
    assert_eq!((damage.proof, damage.flaw), (None, Flaw::NoFrame));
}

#[test]
fn a_missing_segment_is_refused() {
    for segment in 1..=3 {
        let victim = Victim::new(End::Killed);
        victim.disk.remove(&path(segment)).unwrap();
        let Err(OpenError::Log(LogError::Damage(damage))) = open(&victim.disk) else {
            panic!("opened without segment {segment}");
        };
        assert_eq!((damage.flaw, damage.place.path), (Flaw::MissingSegment, path(segment)));
        assert_eq!(damage.proof.is_some(), segment < 3);
    }
}

#[test]
fn segments_older_than_the_oldest_needed_may_be_missing_and_are_removed() {
    let disk = SimDisk::new(1);
    let mut log = create(&disk);
    let count = fill(&mut log);
    log.append(&body(count, 8), SegmentNo(3)).unwrap();
    drop(log);
    disk.remove(&path(2)).unwrap();
    let numbers = open(&disk).unwrap().1;
    assert_eq!(numbers, [count - 3, count - 2, count - 1, count]);
    let segments = Listing::read(&disk, &log_dir(dir())).unwrap().segments;
    assert_eq!(segments.into_iter().collect::<Vec<_>>(), [SegmentNo(3), SegmentNo(4)]);
}

#[test]
fn a_segment_of_another_store_does_not_pass() {
    let victim = Victim::new(End::Killed);
    let other = Log::create(Arc::new(SimDisk::new(2)), dir(), StoreId(5), SMALL, b"other");
    let other_disk = Arc::clone(&other.unwrap().segments.disk);
    let mut bytes = vec![0; 8192];
    other_disk.open(&path(1)).unwrap().read_at(&mut bytes, 0).unwrap();
    victim.disk.write(path(1), &bytes);
    let Err(OpenError::Log(LogError::Damage(damage))) = open(&victim.disk) else {
        panic!("another store's segment passed")
    };
    assert_eq!(damage.flaw, Flaw::OtherStore);
}

#[test]
fn a_segment_under_the_name_of_another_does_not_pass() {
    let victim = Victim::new(End::Killed);
    victim.disk.write(path(2), &victim.disk.read(path(1)).unwrap());
    let Err(OpenError::Log(LogError::Damage(damage))) = open(&victim.disk) else { panic!("another segment passed") };
    assert_eq!((damage.flaw, damage.place.path), (Flaw::OtherSegment, path(2)));
}

#[test]
fn a_frame_of_a_newer_version_is_named_as_such_and_not_as_damage() {
    let disk = SimDisk::new(1);
    drop(create(&disk));
    let first = frames(&disk, dir())[0].header;
    let home = Home { store: STORE, segment: SegmentNo(1) };
    let newer = [
        Header { version: VERSION + 1, ..first.next(Kind::Data, SegmentNo(1), 3) },
        first.next(Kind::Other(9), SegmentNo(1), 3),
    ];
    for header in newer {
        let mut bytes = disk.read(path(1)).unwrap()[..72].to_vec();
        build(&mut bytes, home, &header, b"new");
        for damage_before in [false, true] {
            let disk = disk.snapshot();
            let gap = if damage_before { vec![0; 16] } else { Vec::new() };
            disk.write(path(1), &[&bytes[..72], &gap, &bytes[72..], &[0; 800]].concat());
            let outcome = open(&disk);
            assert!(matches!(outcome, Err(OpenError::Log(LogError::Newer { .. }))), "{outcome:?}");
        }
    }
}

#[test]
fn the_message_names_what_is_damaged_what_proves_it() {
    let victim = Victim::new(End::Killed);
    let (bad, next) = (victim.spots[2], victim.spots[3]);
    victim.disk.flip(path(1), bad.at + 70, 1);
    let message = open(&victim.disk).unwrap_err().to_string();
    let file = "/store/log/0000000000000001.log";
    assert_eq!(
        message,
        format!(
            "{file} is damaged at byte {}, where frame 3 should be: the frame's checksum is wrong; frame 4 in {file}, at byte \
             {}, was written when it was on the disk",
            bad.at, next.at
        )
    );
}

#[test]
fn no_bytes_make_the_reader_panic() {
    use rand_chacha::rand_core::{Rng, SeedableRng};
    let victim = Victim::new(End::Stopped);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for _ in 0..3000 {
        let disk = victim.disk.snapshot();
        let segment = 1 + random.next_u64() % 3;
        let mut bytes = disk.read(path(segment)).unwrap();
        for _ in 0..1 + random.next_u64() % 5 {
            let at = random.next_u64() as usize % bytes.len();
            let end = (at + random.next_u64() as usize % 300).min(bytes.len());
            let from = random.next_u64() as usize % bytes.len();
            let piece = bytes[from..(from + end - at).min(bytes.len())].to_vec();
            bytes.splice(at..end, piece);
        }
        disk.write(path(segment), &bytes);
        let before = disk.operations();
        match open(&disk) {
            Ok((_, numbers)) => assert_eq!(numbers, victim.numbers[..numbers.len()]),
            Err(_) => assert_eq!(disk.operations(), before),
        }
    }
}
