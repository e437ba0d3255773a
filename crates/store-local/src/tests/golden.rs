//! A store that was written once, by the first version: every later one has to open it as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_store::conformance::sample::{Sample, branch, gid, limit, start};
use escrow_store::{Clock, ListQuery, StoredTxn};
use escrow_txn::Gid;

use super::bare::Bare;
use crate::core::{Outcome, Request};
use crate::disk::{Disk, RealDisk};
use crate::{find, list};

/// Where it is; `UPDATE_GOLDEN=1` writes it anew.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/store");

fn after(seconds: u64) -> escrow_txn::Timestamp {
    start().plus(Duration::from_secs(seconds))
}

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// What it holds, by its place: in the first partition, in the second, in `unfinished.db`, in the log.
fn samples() -> [Vec<Sample>; 4] {
    let named = |name: &str| Sample::new(&gid(name));
    let mut branches = named("archived: ünïcode");
    branches.def.branches[1] = branch("02", vec![0xFF; 700]);
    [
        vec![named("archived-1").committed(after(1)), branches.committed(after(2))],
        vec![named("archived-3").created_at(after(86_401)).committed(after(86_402))],
        vec![
            named("spilled-in-flight").created_at(after(86_403)),
            named("spilled-far").created_at(after(86_404)).waiting(after(9_000_000)),
            named("spilled-for-ever").created_at(after(86_405)).waiting(None),
        ],
        vec![
            named("live-in-flight").created_at(after(86_500)),
            named("live-near").created_at(after(86_501)).waiting(after(86_560)),
            named("live-finished").created_at(after(86_502)).committed(after(86_503)),
        ],
    ]
}

fn setting(key: &str, value: &'static str) -> Request {
    let at = ("topics".to_owned(), key.to_owned());
    Request::Setting { at, value: Some(Bytes::from_static(value.as_bytes())), expected: None }
}

/// Writes it, and ends as if killed.
fn make(dir: &Path) {
    let [first, second, spilled, live] = samples();
    let store = Bare::open(&real(), dir);
    let keeper = store.keeper();
    store.write(&setting("early", "one")).unwrap();
    first.iter().for_each(|sample| store.create(sample));
    keeper.archive(store.clock.now()).unwrap();
    store.clock.advance(Duration::from_secs(86_410));
    second.iter().for_each(|sample| store.create(sample));
    keeper.archive(store.clock.now()).unwrap();
    spilled.iter().for_each(|sample| store.create(sample));
    // Fills segments, until nothing but the last one is needed.
    let filler = |number: u64| {
        let mut filler = Sample::new(&gid(&format!("filler-{number}"))).created_at(after(86_450 + number));
        filler.def.branches[0] = branch("01", vec![b'x'; 3_000]);
        filler.committed(after(86_451 + number))
    };
    for number in 0..8 {
        store.create(&filler(number));
        keeper.step(store.clock.now()).unwrap();
    }
    live.iter().for_each(|sample| store.create(sample));
    store.write(&setting("late", "two")).unwrap();
}

#[test]
fn a_store_of_the_first_version_opens_with_all_that_was_in_it() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let _ = fs::remove_dir_all(GOLDEN);
        make(Path::new(GOLDEN));
    }
    let copy = tempfile::tempdir().unwrap();
    copy_dir(Path::new(GOLDEN), copy.path());
    let store = Bare::open(&real(), copy.path());
    store.clock.advance(Duration::from_secs(86_510));
    let core = &store.core;

    let expected: BTreeMap<Gid, StoredTxn> =
        samples().iter().flatten().map(|sample| (sample.def.gid.clone(), StoredTxn::from(sample.new_txn()))).collect();
    for (gid, txn) in &expected {
        let here = core.table().get(gid).cloned();
        let found = here.or_else(|| Some(find::elsewhere(core, gid).unwrap().0?.txn)).unwrap();
        assert_eq!(&*found, txn);
        found.decode().unwrap();
    }
    let listed = list::list(core, &ListQuery::newest(limit(100))).unwrap();
    let listed: Vec<_> = listed.items.iter().filter(|item| !item.gid.as_str().starts_with("filler")).collect();
    assert_eq!(listed.len(), expected.len());
    assert!(listed.iter().all(|item| **item == expected[&item.gid].summary()));
    for (key, value) in [("early", "one"), ("late", "two")] {
        let at = ("topics".to_owned(), key.to_owned());
        assert_eq!(core.table().setting(&at).unwrap().1, value);
    }
    store.keeper().refill(store.clock.now()).unwrap();
    let due = core.table().schedule.claim(after(86_600), 100);
    let due: Vec<&str> = due.iter().map(|(gid, _)| gid.as_str()).collect();
    assert_eq!(due, ["live-in-flight", "spilled-in-flight", "live-near"]);
    // It is a store like any other: it takes more.
    store.create(&Sample::new(&gid("new")));
    assert!(matches!(store.write(&Bare::creation(&Sample::new(&gid("archived-1")))), Ok(Outcome::LookElsewhere)));
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
