//! The protocol as conversations: plays `scenarios/**/*.txt`, whose language `scenarios/README.md` explains.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod parse;
mod play;

use std::fs;
use std::path::{Path, PathBuf};

/// Fewer files than this means that the folder was not found, not that rules went away.
const SCENARIOS_MIN: usize = 30;

#[test]
fn every_scenario_goes_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = text_files(&root);
    assert!(files.len() >= SCENARIOS_MIN, "{} scenarios in {}", files.len(), root.display());
    let failures: Vec<String> = files.iter().filter_map(|file| failure(&root, file)).collect();
    assert!(failures.is_empty(), "{} of {} scenarios failed:\n{}", failures.len(), files.len(), failures.join("\n"));
}

fn failure(root: &Path, file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let failed = parse::parse(&text).and_then(|script| play::play(&script)).err()?;
    Some(format!("{}: {failed}", file.strip_prefix(root).unwrap().display()))
}

fn text_files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.into_iter().partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "txt"));
    here.chain(folders.iter().flat_map(|folder| text_files(folder))).collect()
}

fn outcome(text: &str) -> Result<(), parse::Failed> {
    parse::parse(text).and_then(|script| play::play(&script))
}

#[test]
fn a_scenario_that_goes_otherwise_fails_at_its_line() {
    let right = "submit saga steps=a\n> store submitted reach=all; call a.action\n";
    assert_eq!(outcome(right), Ok(()));
    for (wrong, line) in [
        ("submit saga steps=a\n> call a.action\n", 1),
        ("submit saga steps=a\n> store submitted reach=none; call a.action\n", 1),
        ("submit saga steps=a\n", 1),
        ("submit saga steps=a\n> store submitted; call a.action\ncheck ops open done\n", 3),
        ("submit saga steps=a\n> store submitted; call a.action\nabort\n", 3),
    ] {
        assert_eq!(outcome(wrong).unwrap_err().line, line, "{wrong}");
    }
}

#[test]
fn what_the_language_does_not_know_is_an_error() {
    for wrong in [
        "submit sage steps=a",
        "submit saga steps=a colour=red",
        "submit saga steps=a\n> store done",
        "submit saga steps=a\n> store submitted; call a.action\nanswer b.action done",
        "submit saga steps=a\n> store submitted; call a.action\nanswer a.action maybe",
        "tick 1",
        "retry_now",
        "> wait",
        "check mood good",
        "nonsense",
    ] {
        assert!(outcome(wrong).is_err(), "{wrong}");
    }
}
