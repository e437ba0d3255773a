//! Rules about the text of a file.

use super::{Finding, SourceFile};

/// Past this, a file of a crate's sources holds two subjects.
const LINES_MAX: usize = 600;

/// Sources that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Places and papers that the people who wrote this had and its readers have not. What they said stands in our own docs.
///
/// Written in halves, so that this file does not contain them.
const ABSENT: &[&str] = &[
    concat!("../", "shared"),
    concat!("/wo", "rk/"),
    concat!("DESIGN", ".md"),
    concat!("STYLE", ".md"),
    concat!("dtm-proto", "col.md"),
    concat!("payments-scen", "ario.md"),
    concat!("messages-and-notif", "ications.md"),
    concat!("seata-proto", "col.md"),
];

/// Marks of unfinished work.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Runs the rules of this module over one file.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(too_long(file));
    findings.extend(absent_references(file));
    if !is_recorded(&file.path) {
        findings.extend(unfinished(file));
        findings.extend(trailing_whitespace(file));
    }
    if file.path.ends_with(".rs") {
        findings.extend(skipped_tests(file));
    }
    findings
}

/// Recorded bytes, tool output and texts of others are kept as they came.
fn is_recorded(path: &str) -> bool {
    path.contains("/golden/") || path == "Cargo.lock" || path == "LICENSE"
}

fn too_long(file: &SourceFile) -> Option<Finding> {
    let is_source = file.path.starts_with("crates/") && file.path.contains("/src/");
    let is_excepted = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    let lines = file.text.lines().count();
    (is_source && !is_excepted && lines > LINES_MAX)
        .then(|| Finding::file(&file.path, format!("{lines} lines, at most {LINES_MAX}: look for two subjects")))
}

fn absent_references(file: &SourceFile) -> Vec<Finding> {
    each_line(file, |line| {
        let word = ABSENT.iter().find(|word| line.contains(**word))?;
        Some(format!("`{word}` is not in the repository: say here what it says"))
    })
}

/// An issue number is `#` and digits, anywhere after the mark in the same line.
fn unfinished(file: &SourceFile) -> Vec<Finding> {
    each_line(file, |line| {
        let mark = UNFINISHED.iter().find(|mark| line.contains(**mark))?;
        let (_, rest) = line.split_once(mark)?;
        let numbered = rest.split('#').skip(1).any(|tail| tail.starts_with(|c: char| c.is_ascii_digit()));
        (!numbered).then(|| format!("{mark} without an issue number"))
    })
}

/// A skipped test is not a passed one: whoever skips it says why.
fn skipped_tests(file: &SourceFile) -> Vec<Finding> {
    let bare = [concat!("#[ign", "ore]"), concat!(", ign", "ore)]")];
    each_line(file, |line| {
        bare.iter().any(|attribute| line.contains(attribute)).then(|| "a skipped test without a reason".to_owned())
    })
}

fn trailing_whitespace(file: &SourceFile) -> Vec<Finding> {
    each_line(file, |line| line.ends_with(char::is_whitespace).then(|| "white space at the end of the line".to_owned()))
}

fn each_line(file: &SourceFile, rule: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let numbered = (1..).zip(file.text.split('\n'));
    numbered.filter_map(|(number, line)| Some(Finding::line(&file.path, number, rule(line)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().filter_map(|finding| finding.line).collect()
    }

    #[test]
    fn long_sources_are_found_and_other_long_files_are_not() {
        let text = "x\n".repeat(601);
        assert!(too_long(&file("crates/txn/src/saga.rs", &text)).is_some());
        assert_eq!(too_long(&file("crates/txn/src/saga.rs", &text[2..])), None);
        assert_eq!(too_long(&file("crates/txn/tests/it/main.rs", &text)), None);
    }

    #[test]
    fn unfinished_work_needs_an_issue_number() {
        let mark = UNFINISHED[0];
        let text = format!("// {mark}: later\n// {mark}(#12): later\n// {mark} #x\nfine");
        assert_eq!(lines(&unfinished(&file("a.rs", &text))), [1, 3]);
    }

    #[test]
    fn a_skipped_test_needs_a_reason() {
        let text = concat!("#[ign", "ore]\n#[ign", "ore = \"why\"]\n#[cfg_attr(x, ign", "ore)]");
        assert_eq!(lines(&skipped_tests(&file("a.rs", text))), [1, 3]);
    }

    #[test]
    fn references_to_absent_papers_are_found() {
        let text = format!("see {}\nsee docs/glossary.md\nsee {}issues", ABSENT[2], ABSENT[1]);
        assert_eq!(lines(&absent_references(&file("a.rs", &text))), [1, 3]);
    }

    #[test]
    fn white_space_at_the_end_is_found_but_not_in_recorded_files() {
        let text = "a \nb\n\tc\t\nd\r\n";
        assert_eq!(lines(&trailing_whitespace(&file("a.md", text))), [1, 3, 4]);
        assert!(check(&file("crates/wire/golden/dtm/a.json", text)).is_empty());
        assert_eq!(check(&file("a.md", text)).len(), 3);
    }
}
