use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Listing, log_dir, segment_path};
use super::frame::{Flaw, HEADER_BYTES, Header, Kind, VERSION};
use super::survey::{Seen, Survey};
use super::*;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;

mod appending;
mod damage;
mod golden;
mod power;
mod tools;

const STORE: StoreId = StoreId(0x1122_3344_5566_7788);

/// Segments of two to eight pages.
const SMALL: Tuning = Tuning { segment_min: 8192, segment_max: 32768 };

fn dir() -> &'static Path {
    Path::new("/store")
}

/// A body that says which one it is.
fn body(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(bytes.max(8), number as u8);
    body
}

fn number_of(body: &[u8]) -> u64 {
    let number = u64::from_le_bytes(body[..8].try_into().unwrap());
    assert_eq!(body, self::body(number, body.len()), "a body that was never appended");
    number
}

fn create(disk: &SimDisk) -> Log {
    Log::create(Arc::new(disk.clone()), dir(), STORE, SMALL, &body(0, 8)).unwrap()
}

/// Opens a log and tells the numbers of its bodies.
fn open(disk: &SimDisk) -> Result<(Log, Vec<u64>), OpenError<Infallible>> {
    let mut numbers = Vec::new();
    let log = Log::open(Arc::new(disk.clone()), dir(), STORE, SMALL, &mut |_, _, body| {
        numbers.push(number_of(body));
        Ok(())
    })?;
    Ok((log, numbers))
}

/// A log of three segments and a few frames of several sizes; returns how many bodies it has.
fn fill(log: &mut Log) -> u64 {
    let mut count = 1;
    while log.current() < SegmentNo(3) {
        log.append(&body(count, 9 + (count as usize * 397) % 1500), SegmentNo::FIRST).unwrap();
        count += 1;
    }
    for bytes in [700, 11] {
        log.append(&body(count, bytes), SegmentNo::FIRST).unwrap();
        count += 1;
    }
    count
}

#[derive(Clone, Copy, Debug)]
struct Spot {
    segment: SegmentNo,
    at: u64,
    header: Header,
}

impl Spot {
    /// Behind its body.
    fn end(&self) -> u64 {
        self.at + self.header.frame_bytes() as u64
    }
}

/// Every frame of a sound log, closing frames included.
fn frames(disk: &dyn Disk, dir: &Path) -> Vec<Spot> {
    let listing = Listing::read(disk, &log_dir(dir)).unwrap();
    let mut spots = Vec::new();
    let outcome = Survey::new(disk, dir, STORE, &listing).run(&mut |seen| match seen {
        Seen::Frame { reader, found } => {
            spots.push(Spot { segment: reader.home.segment, at: found.at, header: found.header });
            ControlFlow::Continue(())
        }
        Seen::Damage(damage) => ControlFlow::Break(damage),
    });
    assert!(matches!(outcome, Ok(ControlFlow::Continue(_))), "{outcome:?}");
    spots
}

fn path(segment: u64) -> PathBuf {
    segment_path(&log_dir(dir()), SegmentNo(segment))
}

/// A log on which something was done must go on working: it takes a frame, and gives it back.
fn assert_goes_on(disk: &SimDisk, mut log: Log, mut numbers: Vec<u64>) {
    log.append(&body(1000, 100), SegmentNo::FIRST).unwrap();
    drop(log);
    numbers.push(1000);
    let (log, again) = open(&disk.after_power_cut(7)).unwrap();
    assert_eq!(again, numbers);
    drop(log);
}
