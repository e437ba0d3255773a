//! Bytes do not drift, and a log that an older version wrote still opens.

use std::fs;

use super::*;

/// Where the golden log is; `UPDATE_GOLDEN=1` writes them anew.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join("frames")
}

const TUNING: Tuning = Tuning { segment_min: 8192, segment_max: 16384 };

fn golden_body(number: u8) -> Vec<u8> {
    let mut body = format!("record {number:03} ").into_bytes();
    body.resize(11 + usize::from(number) * 90, number);
    body
}

/// Two segments; in the second a clean stop, and a frame behind it.
fn write(dir: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut log = Log::create(Arc::clone(&disk), dir, STORE, TUNING, &golden_body(0)).unwrap();
    for number in 1..12 {
        log.append(&golden_body(number), SegmentNo::FIRST).unwrap();
    }
    log.stop(SegmentNo::FIRST).unwrap();
    let mut log = Log::open::<Infallible>(disk, dir, STORE, TUNING, &mut |_, _, _| Ok(())).unwrap();
    log.append(&golden_body(12), SegmentNo::FIRST).unwrap();
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = RealDisk.list(&log_dir(dir)).unwrap();
    names.into_iter().map(|name| (name.clone(), fs::read(log_dir(dir).join(name)).unwrap())).collect()
}

#[test]
fn the_bytes_of_a_log_are_those_of_the_golden_one() {
    let temporary = tempfile::tempdir().unwrap();
    write(temporary.path());
    let written = contents(temporary.path());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(log_dir(&golden())).unwrap();
        for (name, bytes) in &written {
            fs::write(log_dir(&golden()).join(name), bytes).unwrap();
        }
    }
    assert!(written == contents(&golden()), "the format has changed: a new version, and the old one still has to open");
}

#[test]
fn the_golden_log_opens() {
    let temporary = tempfile::tempdir().unwrap();
    fs::create_dir(log_dir(temporary.path())).unwrap();
    for (name, bytes) in contents(&golden()) {
        fs::write(log_dir(temporary.path()).join(name), bytes).unwrap();
    }
    let mut found = Vec::new();
    Log::open::<Infallible>(Arc::new(RealDisk), temporary.path(), STORE, TUNING, &mut |segment, sequence, body| {
        found.push((segment.0, sequence, body.to_vec()));
        Ok(())
    })
    .unwrap();
    // The frames 10 and 14 are closing ones.
    let places = (1..=9).map(|sequence| (1, sequence)).chain([(2, 11), (2, 12), (2, 13), (2, 15)]);
    let expected: Vec<_> =
        (0..).zip(places).map(|(number, (segment, at))| (segment, at, golden_body(number))).collect();
    assert!(found == expected);
}
