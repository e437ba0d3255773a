//! A store whose log is damaged: refused, looked at, repaired.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::coordinator::Coordinator;
use crate::escrow::{escrow, post, prepare, refused, status, succeed, text};

const LISTEN: &str = "127.0.0.1:0";
const SEGMENT: &str = "data/log/0000000000000001.log";

/// The data of a killed coordinator with `kept-1` to `kept-20`, where a byte of what tells of `kept-10` is another one. Where.
fn damaged(home: &Path) -> u64 {
    let running = Coordinator::start(home, LISTEN);
    for number in 1..=20 {
        prepare(&running.address, &format!("kept-{number}"));
    }
    drop(running);
    let mut log = std::fs::read(home.join(SEGMENT)).unwrap();
    let gid = b"kept-10";
    let at = log.windows(gid.len()).position(|bytes| bytes == gid).unwrap();
    log[at] ^= 1;
    std::fs::write(home.join(SEGMENT), log).unwrap();
    at as u64
}

/// The directories that a repair has made.
fn copies(home: &Path) -> Vec<PathBuf> {
    let paths = home.read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().contains("before-repair")).collect()
}

#[test]
fn a_damaged_log_stops_the_start_and_a_check_names_the_place() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let flipped = damaged(home);
    let before = std::fs::read(home.join(SEGMENT)).unwrap();

    let checked = escrow(home, &["store", "check", "data", "--json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stderr));
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["is_sound"], &checked["is_stopped"]), (&json!(false), &json!(false)));
    assert_eq!(checked["unfinished"], 19);
    let [finding] = checked["findings"].as_array().unwrap().as_slice() else { panic!("{checked}") };
    assert_eq!((&finding["path"], &finding["is_damage"]), (&json!(SEGMENT), &json!(true)));
    let offset = finding["offset"].as_u64().unwrap();
    // The frame is no longer than some hundred bytes.
    assert!(offset < flipped && offset + 400 > flipped, "{offset} {flipped}");

    let error = refused(home, &["serve", "--listen", LISTEN, "--data", "data"]);
    assert!(error.contains(&format!("{SEGMENT} is damaged at byte {offset}, where frame ")), "{error}");
    assert!(error.contains("`escrow store check data`") && error.contains("`escrow store repair data`"), "{error}");
    assert!(error.ends_with(" [store_damaged]\n"), "{error}");

    let checked = escrow(home, &["store", "check", "data"]);
    let told = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("\ndamage: {SEGMENT}, byte {offset}: frame ")), "{told}");
    assert!(
        told.ends_with("damaged in 1 place: restore a backup, or repair it with: escrow store repair data\n"),
        "{told}"
    );
    let error = refused(home, &["backup", "data", "backup"]);
    assert!(error.contains(SEGMENT) && error.ends_with(" [store_damaged]\n"), "{error}");
    assert_eq!(std::fs::read(home.join(SEGMENT)).unwrap(), before, "nothing was changed");
}

#[test]
fn a_repair_has_to_be_confirmed_keeps_a_copy_and_holds_what_is_unfinished() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    damaged(home);
    let before = std::fs::read(home.join(SEGMENT)).unwrap();
    let error = refused(home, &["store", "repair", "data"]);
    assert!(error.contains("it has to be confirmed: with --yes, or on a terminal"), "{error}");
    assert_eq!((copies(home).len(), std::fs::read(home.join(SEGMENT)).unwrap()), (0, before.clone()), "not yet");

    let told = succeed(home, &["store", "repair", "data", "--yes"]);
    let [copy] = copies(home).try_into().unwrap();
    let copy_path = copy.canonicalize().unwrap();
    assert!(told.contains(&format!("\ncopied everything as it was to {}\n", copy_path.display())), "{told}");
    assert_eq!(std::fs::read(copy.join("log/0000000000000001.log")).unwrap(), before);
    assert!(told.contains(&format!("\ndropped: {SEGMENT}, byte ")), "{told}");
    let expected = "\nrepaired data: it holds 19 unfinished transactions, 0 finished transactions and 1 setting\n\
                    everything unfinished is on hold; once it was looked at: escrow tx release --all, or GID\n";
    assert!(told.ends_with(expected), "{told}");

    let running = Coordinator::start(home, LISTEN);
    for number in 1..=20 {
        let expected = if number == 10 { "" } else { "prepared" };
        assert_eq!(status(&running.address, &format!("kept-{number}")), expected, "{number}");
    }
    let submit = |gid: &str| post(&running.address, "submit", &json!({"gid": gid, "trans_type": "tcc"}));
    assert!(submit("kept-1").contains("x-escrow-error: on_hold"), "{}", submit("kept-1"));
    succeed(home, &["tx", "release", "--all", "--server", &format!("http://{}", running.address)]);
    assert!(submit("kept-1").starts_with("HTTP/1.1 200 "), "{}", submit("kept-1"));
    drop(running);
    succeed(home, &["store", "check", "data"]);
}

#[test]
fn a_sound_store_is_found_sound_and_not_repaired() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let running = Coordinator::start(home, LISTEN);
    prepare(&running.address, "kept");
    assert!(refused(home, &["store", "check", "data"]).ends_with(" [store_locked]\n"));
    assert!(refused(home, &["store", "repair", "data", "--yes"]).ends_with(" [store_locked]\n"));
    drop(running);
    let told = succeed(home, &["store", "check", "data"]);
    assert!(told.contains(", 1 unfinished transaction, "), "{told}");
    assert!(told.ends_with("\nnothing is wrong; its coordinator did not stop in good order\n"), "{told}");
    let told = succeed(home, &["store", "repair", "data"]);
    assert!(told.ends_with("not repaired: there is nothing to do\n"), "{told}");
    assert!(copies(home).is_empty());
}
