//! The power goes off at every operation, and at every operation of the start after that.

use super::*;

/// What was asked of a log, and what it has answered.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// Each body's segment; `None` if its append has not returned. Only the last can be like that.
    appended: Vec<Option<SegmentNo>>,
    /// The newest that a frame may say about the oldest segment needed.
    first_needed: u64,
}

impl Asked {
    fn append(&mut self, log: &mut Log, bytes: usize, first_needed: SegmentNo) -> bool {
        let number = self.appended.len() as u64;
        self.appended.push(None);
        self.first_needed = self.first_needed.max(first_needed.0);
        let Ok(appended) = log.append(&body(number, bytes), first_needed) else {
            return false;
        };
        self.appended[number as usize] = Some(appended.segment);
        true
    }

    /// Everything that was acknowledged and is still needed is there, in order; and nothing that was never appended.
    fn assert_kept(&self, numbers: &[u64], what: &str) {
        let first = numbers.first().copied().unwrap_or_default();
        let end = first + numbers.len() as u64;
        assert!(numbers.iter().copied().eq(first..end), "{what}: {numbers:?}");
        assert!(end <= self.appended.len() as u64, "{what}: {numbers:?}");
        for (number, segment) in self.appended.iter().enumerate() {
            if segment.is_some_and(|segment| segment.0 >= self.first_needed) {
                assert!(numbers.contains(&(number as u64)), "{what}: {number} was acknowledged: {numbers:?}");
            }
        }
    }
}

/// Appends, rolls, makes spares, retires, stops and starts, until the power goes; says whether it got to the end.
fn live(disk: &SimDisk, log: Log, asked: &mut Asked) -> bool {
    let mut log = log;
    for round in 0..3 {
        for step in 0..14 {
            let first_needed = if step > 8 { log.current() } else { SegmentNo::FIRST };
            if !asked.append(&mut log, 8 + (step * 613 + round * 2011) % 2600, first_needed) {
                return false;
            }
            let segments = log.segments();
            if segments.prepare_spare(false).is_err() || step % 3 == 2 && segments.retire().is_err() {
                return false;
            }
        }
        let first_needed = log.current();
        asked.first_needed = asked.first_needed.max(first_needed.0);
        if round < 2 && log.stop(first_needed).is_err() {
            return false;
        }
        if round < 2 {
            match open(disk) {
                Ok((again, numbers)) => {
                    asked.assert_kept(&numbers, "after a stop");
                    log = again;
                }
                Err(_) => return false,
            }
            continue;
        }
        return true;
    }
    true
}

fn started() -> (SimDisk, Asked) {
    let disk = SimDisk::new(1);
    drop(create(&disk));
    (disk.after_power_cut(1), Asked { appended: vec![Some(SegmentNo::FIRST)], first_needed: 1 })
}

/// Starts a log with the power going off at every operation of the start, then without; and goes on.
fn assert_starts(disk: &SimDisk, asked: &Asked, seed: u64, what: &str) {
    let mut nth = 1;
    loop {
        let cut = disk.snapshot();
        cut.power_off_at(nth);
        let is_done = open(&cut).is_ok() && !cut.is_off();
        let found = if is_done { disk.snapshot() } else { cut.after_power_cut(seed + nth) };
        let what = format!("{what}, cut {nth} of the start");
        let (mut log, numbers) = open(&found).unwrap_or_else(|error| panic!("{what}: {error}"));
        asked.assert_kept(&numbers, &what);
        let mut count = numbers.last().unwrap() + 1;
        for bytes in [8, 3000] {
            log.append(&body(count, bytes), SegmentNo::FIRST).unwrap();
            count += 1;
        }
        drop(log);
        let again = open(&found.after_power_cut(seed + nth + 1)).unwrap().1;
        assert_eq!(again, (numbers[0]..count).collect::<Vec<_>>(), "{what}");
        if is_done {
            return;
        }
        nth += 1;
    }
}

/// Runs a life with something going wrong at its n-th operation, for every n; `check` gets what is left.
fn at_every_operation(plan: impl Fn(&SimDisk, u64), check: impl Fn(&SimDisk, &Asked, u64)) -> u64 {
    let mut nth = 1;
    loop {
        let (disk, mut asked) = started();
        let log = open(&disk).unwrap().0;
        plan(&disk, nth);
        let is_whole = live(&disk, log, &mut asked);
        check(&disk, &asked, nth);
        if is_whole {
            return nth;
        }
        nth += 1;
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_and_the_start_after_it_may_be_cut_as_well() {
    let cuts = at_every_operation(
        |disk, nth| disk.power_off_at(nth),
        |disk, asked, nth| {
            for seed in 0..4 {
                let found = disk.after_power_cut(nth * 100 + seed);
                assert_starts(&found, asked, nth, &format!("cut {nth}, seed {seed}"));
            }
        },
    );
    assert!(cuts > 100, "only {cuts} operations");
}

#[test]
fn a_kill_at_any_operation_loses_nothing_and_the_power_may_go_during_the_start() {
    at_every_operation(
        |disk, nth| disk.power_off_at(nth),
        |disk, asked, nth| assert_starts(&disk.after_kill(), asked, nth, &format!("kill {nth}")),
    );
}

#[test]
fn a_failed_sync_at_any_place_loses_nothing() {
    at_every_operation(
        |disk, nth| disk.fail_sync(nth),
        |disk, asked, nth| {
            assert_starts(&disk.after_kill(), asked, nth, &format!("failed sync {nth}, then a start"));
            assert_starts(&disk.after_power_cut(nth), asked, nth, &format!("failed sync {nth}, then a power cut"));
        },
    );
}

#[test]
fn a_creation_that_is_cut_off_anywhere_can_be_done_again() {
    let mut nth = 1;
    loop {
        let disk = SimDisk::new(nth);
        disk.power_off_at(nth);
        let make = |disk: &SimDisk| Log::create(Arc::new(disk.clone()), dir(), STORE, SMALL, &body(0, 100));
        let is_done = make(&disk).is_ok() && !disk.is_off();
        for seed in 0..4 {
            let found = disk.after_power_cut(seed);
            if !is_done {
                make(&found).unwrap();
            }
            let (log, numbers) = open(&found.after_power_cut(seed)).unwrap();
            assert_eq!(numbers, [0]);
            drop(log);
        }
        if is_done {
            return;
        }
        nth += 1;
    }
}
