//! The rule about links to our documents: what is named exists.

use std::collections::BTreeSet;

use super::{Finding, SourceFile};

/// Targets that are not in the repository: of the links of a Markdown file, else of the pages that a comment or message
/// names. `paths` are all files from the root.
pub(super) fn check(file: &SourceFile, paths: &BTreeSet<String>) -> Vec<Finding> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (folder, targets) =
        if file.path.ends_with(".md") { (folder, links(&file.text)) } else { ("", named_pages(&file.text)) };
    targets
        .into_iter()
        .filter(|(_, target)| !exists(&resolve(folder, target), paths))
        .map(|(line, target)| Finding::line(&file.path, line, format!("the link to `{target}` leads nowhere")))
        .collect()
}

/// Pages named by their path from the root, such as `docs/glossary.md`, with their line numbers.
fn named_pages(text: &str) -> Vec<(usize, &str)> {
    let is_part_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let words = |line| str::split(line, move |c| !is_part_of_path(c));
    let is_page = |word: &&str| word.starts_with("docs/") && word.ends_with(".md");
    (1..)
        .zip(text.lines())
        .flat_map(|(number, line)| words(line).filter(is_page).map(move |page| (number, page)))
        .collect()
}

/// The targets of `[text](target)` with their line numbers: files only, without a fragment. Code is no link.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code_block = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
        }
        if in_code_block {
            continue;
        }
        // Every second piece between back quotes is code.
        for prose in line.split('`').step_by(2) {
            found.extend(targets(prose).map(|target| (number, target)));
        }
    }
    found
}

/// What stands between `](` and the next `)`. A code span inside the link's text leaves the `](` in the piece after it.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    let raw = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = raw.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    files.filter_map(|target| target.split(['#', ' ']).next()).filter(|target| !target.is_empty())
}

/// Follows `.` and `..` from `folder`; a path that leaves the repository keeps its `..` and so exists nowhere.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A target may be a file or a folder that holds one.
fn exists(path: &str, paths: &BTreeSet<String>) -> bool {
    let folder = format!("{path}/");
    path.is_empty()
        || paths.contains(path)
        || paths.range(folder.clone()..).next().is_some_and(|next| next.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let paths = ["README.md", "docs/glossary.md", "docs/adr/README.md"].map(str::to_owned);
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        let findings = check(&file, &BTreeSet::from(paths));
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn files_and_folders_that_exist_pass() {
        assert!(broken("README.md", "[a](docs/glossary.md) and [b](docs/adr), [c](./docs/adr/)").is_empty());
        assert!(broken("docs/adr/README.md", "[a](../glossary.md#saga), [`b`](../../README.md)").is_empty());
    }

    #[test]
    fn a_target_that_is_missing_is_found() {
        let found = broken("docs/glossary.md", "fine\n[a](adr/README.md) [b](README.md)");
        assert_eq!(found, ["docs/glossary.md:2: the link to `README.md` leads nowhere"]);
        assert_eq!(broken("docs/glossary.md", "[a](../../elsewhere.md)").len(), 1);
        assert_eq!(broken("README.md", "[a](doc)").len(), 1);
    }

    #[test]
    fn urls_anchors_code_and_other_files_are_no_matter() {
        assert!(broken("README.md", "[a](https://example.org/x) [b](#here) `[c](gone.md)`").is_empty());
        assert!(broken("README.md", "```\n[a](gone.md)\n```").is_empty());
        assert!(broken("lib.rs", "[a](gone.md)").is_empty());
    }

    #[test]
    fn a_page_named_in_code_has_to_exist() {
        let gone = concat!("docs", "/gone.md");
        let text = format!("/// See `docs/glossary.md`.\n/// Not docs/*.md, docs/{{name}}.md.\n/// See {gone}, too");
        assert_eq!(
            broken("crates/txn/src/lib.rs", &text),
            [format!("crates/txn/src/lib.rs:3: the link to `{gone}` leads nowhere")]
        );
    }
}
