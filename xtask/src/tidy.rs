//! The rules of the repository that no compiler checks.
//!
//! Each rule is a pure function from text or package data to findings; this file gathers the data and runs them all.

mod links;
mod packages;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::cargo;

/// Something that a rule objects to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root of the repository, with `/` between the parts.
    path: String,
    /// Counted from 1; `None` when the finding is about the file as a whole.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn file(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, what: what.into() }
    }

    fn line(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// A file of the repository.
#[derive(Debug)]
struct SourceFile {
    /// Path from the root of the repository, with `/` between the parts.
    path: String,
    text: String,
}

/// Runs every rule and prints what they object to.
///
/// # Errors
/// There is a finding, or the repository cannot be read.
pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = cargo::metadata()?;
    let root = Path::new(&metadata.workspace_root);
    let mut paths = BTreeSet::new();
    collect_paths(root, root, Path::new(&metadata.target_directory), &mut paths)?;
    let files = read_text_files(root, &paths)?;

    let mut findings = packages::check(&metadata, &files)?;
    for file in &files {
        findings.extend(text::check(file));
        findings.extend(links::check(file, &paths));
    }
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: findings: {}", findings.len());
    }
    println!("tidy: {} packages and {} files, no findings", metadata.packages.len(), files.len());
    Ok(())
}

/// Adds every file below `folder`, as a path from `root`, except what was built: `target` and other builds' folders.
///
/// Walks the folders instead of asking git: a repository that came as an archive is checked as well.
fn collect_paths(root: &Path, folder: &Path, target: &Path, paths: &mut BTreeSet<String>) -> anyhow::Result<()> {
    // The tag marks a cache, such as the target folder of another build. Cargo writes it only into a folder that it made
    // itself, so its absence says nothing.
    if folder == target || folder.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            bail!("{} has a name that is not UTF-8", entry.path().display());
        };
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?;
        if kind.is_dir() && is_ours(name) {
            collect_paths(root, &path, target, paths)?;
        } else if kind.is_file() {
            let relative = path.strip_prefix(root).context("a walk left its root")?;
            paths.insert(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// Hidden folders belong to tools, except for two; `escrow-data` is what a coordinator started here keeps.
fn is_ours(folder: &str) -> bool {
    match folder {
        ".ci" | ".cargo" => true,
        "escrow-data" => false,
        _ => !folder.starts_with('.'),
    }
}

/// Reads the files whose content is text; others are no business of these rules.
fn read_text_files(root: &Path, paths: &BTreeSet<String>) -> anyhow::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in paths {
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path: path.clone(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_folders_and_data_are_left_out() {
        assert!(is_ours("crates"));
        assert!(is_ours(".ci"));
        assert!(!is_ours(".git"));
        assert!(!is_ours("escrow-data"));
    }

    #[test]
    fn what_was_built_is_left_out_whoever_made_its_folder() {
        let root = tempfile::tempdir().unwrap();
        for path in ["src/a.rs", "target/tmp/python/b.py", "other-build/CACHEDIR.TAG", "other-build/c.rs"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut paths = BTreeSet::new();
        collect_paths(root.path(), root.path(), &root.path().join("target"), &mut paths).unwrap();
        assert_eq!(paths, BTreeSet::from(["src/a.rs".to_owned()]));
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        assert_eq!(Finding::line("a/b.rs", 3, "odd").to_string(), "a/b.rs:3: odd");
        assert_eq!(Finding::file("a/b.rs", "long").to_string(), "a/b.rs: long");
    }
}
