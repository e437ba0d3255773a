//! Requests in the shapes of DTM's clients. Each file has a route, the body as that client writes it, and what it means:
//!
//! ```text
//! submit                      the route
//! {"gid":"...", ...}          the body, up to the line with the dashes
//! ----
//! gid g1                      what it means, one fact a line; what is not set is left out
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use escrow_txn::{Abort, Begin, Branch, Options, Registration};
use escrow_wire::dtm;

#[test]
fn every_shape_of_request_means_what_its_golden_file_says() {
    let files = golden_files();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let (request, expected) = text.split_once("----\n").expect("a line of dashes");
        let (route, body) = request.split_once('\n').unwrap();
        assert_eq!(meaning(route, body.as_bytes()), expected, "{}", file.display());
    }
}

#[test]
fn every_client_has_its_golden_files() {
    let names: Vec<_> =
        golden_files().iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for client in [
        "csharp",
        "go",
        "java-2.1",
        "node-0.0.12",
        "php-old",
        "php-new",
        "python-0.2.1",
        "python-1.5.1",
        "python-1.7.7",
    ] {
        assert!(names.iter().any(|name| name.starts_with(client)), "{client} has none among {names:?}");
    }
}

fn golden_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/dtm/requests");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn meaning(route: &str, body: &[u8]) -> String {
    match route {
        "prepare" | "submit" => dtm::decode_begin(body).map(|begin| of_begin(&begin)),
        "abort" => dtm::decode_abort(body).map(|abort| of_abort(&abort)),
        "registerBranch" | "registerTccBranch" => dtm::decode_registration(body).map(|r| of_registration(&r)),
        other => panic!("no route {other}"),
    }
    .unwrap_or_else(|error| format!("{} {}: {error}\n", error.status(), error.code()))
}

fn of_begin(begin: &Begin) -> String {
    let mut text = format!("gid {}\npattern {:?}\n", begin.gid, begin.pattern);
    begin.branches.iter().for_each(|branch| of_branch(&mut text, branch));
    for (step, earlier) in begin.orders.iter().enumerate().filter(|(_, earlier)| !earlier.is_empty()) {
        writeln!(text, "step {step} waits for {earlier:?}").unwrap();
    }
    of_options(&mut text, &begin.options);
    for (name, value) in [("check_back_url", &begin.check_back_url), ("custom_data", &begin.custom_data)] {
        if !value.is_empty() {
            writeln!(text, "{name} {value}").unwrap();
        }
    }
    if let Some(key) = &begin.business_key {
        writeln!(text, "business_key {key}").unwrap();
    }
    text
}

fn of_branch(text: &mut String, branch: &Branch) {
    writeln!(text, "branch {}", branch.id).unwrap();
    for (name, url) in [("forward", &branch.forward_url), ("backward", &branch.backward_url)] {
        if !url.is_empty() {
            writeln!(text, "  {name} {url}").unwrap();
        }
    }
    if !branch.payload.is_empty() {
        writeln!(text, "  payload {}", std::str::from_utf8(&branch.payload).unwrap()).unwrap();
    }
}

fn of_options(text: &mut String, options: &Options) {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    for (name, time) in [
        ("request_timeout", options.request_timeout),
        ("retry_interval", options.retry_interval),
        ("timeout_to_fail", options.timeout_to_fail),
        ("delay", options.delay),
    ] {
        if let Some(seconds) = seconds(time) {
            writeln!(text, "{name} {seconds} s").unwrap();
        }
    }
    if options.retry_limit > 0 {
        writeln!(text, "retry_limit {}", options.retry_limit).unwrap();
    }
    for (name, value) in &options.branch_headers {
        writeln!(text, "header {name}: {value}").unwrap();
    }
    for (name, set) in [("concurrent", options.concurrent), ("wait_result", options.wait_result)] {
        if set {
            writeln!(text, "{name}").unwrap();
        }
    }
}

fn of_abort(abort: &Abort) -> String {
    let reason = abort.reason.as_ref().map(|reason| format!("reason {reason}\n"));
    format!("gid {}\npattern {:?}\n{}", abort.gid, abort.pattern, reason.unwrap_or_default())
}

fn of_registration(registration: &Registration) -> String {
    let mut text = format!("gid {}\npattern {:?}\n", registration.gid, registration.pattern);
    of_branch(&mut text, &registration.branch);
    text
}
