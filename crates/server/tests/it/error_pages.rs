//! `docs/errors/`: every code has its page and its row, and what the pages show is what is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::{Response, TestServer};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

/// The pages by the code that their file name says.
fn pages() -> BTreeMap<String, String> {
    let entries = folder().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let named = entries.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let code = name.strip_suffix(".md").unwrap_or_else(|| panic!("{name} is no page")).to_owned();
        (code, std::fs::read_to_string(path).unwrap())
    });
    named.filter(|(code, _)| code != "README").collect()
}

/// The status codes that a text names, and the exit code of a start.
fn numbers(text: &str) -> BTreeSet<u16> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The rows of the README: code, link, and the numbers of the status column.
fn rows() -> BTreeMap<String, (String, BTreeSet<u16>)> {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let row = |line: &str| {
        let (code, rest) = line.strip_prefix("| [")?.split_once("](")?;
        let (link, rest) = rest.split_once(") | ")?;
        Some((code.to_owned(), (link.to_owned(), numbers(rest.split_once(" | ")?.0))))
    };
    let rows: Vec<_> = readme.lines().filter_map(row).collect();
    let found = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), found, "a code has two rows");
    rows
}

#[test]
fn every_code_has_a_page_and_a_row_and_nothing_else_has() {
    let codes: Vec<_> = escrow_server::error_codes().into_iter().collect();
    let (pages, rows) = (pages(), rows());
    assert_eq!(pages.keys().collect::<Vec<_>>(), codes);
    assert_eq!(rows.keys().collect::<Vec<_>>(), codes);
    for (code, page) in pages {
        let status = page.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or_else(|| panic!("{code}"));
        assert_eq!(rows[&code], (format!("{code}.md"), numbers(status)), "{code}");
        assert!(page.starts_with(&format!("# {code}\n\n")), "{code}");
        for heading in ["What happened", "What is still true", "What to do"] {
            assert!(page.contains(&format!("\n\n## {heading}\n\n")), "{code}: {heading}");
        }
    }
}

/// The requests of an example, and the reply to the last one as it is shown.
fn example(page: &str) -> Option<(Vec<&str>, &str)> {
    let shown = page.split_once("```console\n")?.1.split_once("\n```").unwrap().0;
    let commands: Vec<_> = shown.lines().take_while(|line| line.starts_with("$ ")).collect();
    let reply = shown.splitn(commands.len() + 1, '\n').last().unwrap();
    Some((commands, reply))
}

/// Runs `$ curl URL` or `$ curl URL -d 'BODY'`, either with `-i`.
pub(crate) async fn run(server: &TestServer, command: &str) -> Response {
    let request = command.strip_prefix("$ curl ").unwrap_or_else(|| panic!("{command}"));
    let request = request.strip_prefix("-i ").unwrap_or(request);
    let path = |url: &str| url.trim_matches('"').replace("$dtm", "/api/dtmsvr");
    match request.split_once(" -d ") {
        Some((url, body)) => server.post(&path(url), body.trim_matches('\'')).await,
        None => server.get(&path(request)).await,
    }
}

#[tokio::test]
async fn a_fresh_coordinator_answers_as_the_examples_show() {
    let mut run_through = 0;
    for (code, page) in pages() {
        let Some((commands, shown)) = example(&page) else { continue };
        let server = TestServer::start().await;
        let mut reply = None;
        for command in commands {
            reply = Some(run(&server, command).await);
        }
        let (reply, shown) = (reply.unwrap(), Response::parse(shown.replace('\n', "\r\n").as_bytes()));
        assert_eq!(reply.code(), code);
        assert_eq!((reply.status, reply.body.as_str()), (shown.status, shown.body.as_str()), "{code}");
        for (name, value) in &shown.headers {
            assert_eq!(reply.headers.get(name), Some(value), "{code}: {name}");
        }
        run_through += 1;
    }
    assert!(run_through > 20, "only {run_through}");
}
