//! Rules about packages: names, manifests, and which crate may use which.

use std::path::Path;

use anyhow::Context;

use super::{Finding, SourceFile};
use crate::cargo::{Metadata, Package};

/// The arrows between crates, by folder. `store-*` stands for every store's own crate.
///
/// The layers are the design: the rules (`txn`) know nobody, the engine knows no HTTP and no SQL, the reference system knows what a user
/// knows. A new arrow is a decision and gets its own commit.
const ARROWS: &[(&str, &[&str])] = &[
    ("txn", &[]),
    ("wire", &["txn"]),
    ("store", &["txn"]),
    ("store-*", &["store", "txn"]),
    ("engine", &["store", "txn"]),
    ("outbound", &["engine", "txn"]),
    ("server", &["engine", "outbound", "store", "store-*", "txn", "wire"]),
    ("sdk", &["engine", "outbound", "store-*", "wire"]),
    ("sim", &["engine", "server", "store", "txn"]),
    ("payments", &["sdk"]),
    ("cli", &["payments", "server", "txn"]),
    ("bench", &["store", "store-*", "txn"]),
    ("xtask", &[]),
];

/// Crates whose tests may use any crate of ours: they test the whole system.
///
/// Dev-dependencies of all others follow [`ARROWS`], plus the crate itself (to switch on a feature of its own for tests). A test that needs
/// more than its crate may use is a test of the whole system and belongs into one of these.
const WHOLE_SYSTEM_TESTS: &[&str] = &["cli", "server", "sim"];

/// Runs the rules of this module over the workspace.
///
/// # Errors
/// A manifest cannot be found or parsed.
pub(super) fn check(metadata: &Metadata, files: &[SourceFile]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let path = manifest_path(&metadata.workspace_root, package)?;
        let manifest =
            files.iter().find(|file| file.path == path).with_context(|| format!("{path} is not among the files"))?;
        let folder = folder_of(&path);
        findings.extend(misnamed(&path, folder, &package.name));
        findings.extend(missing_fields(&path, package));
        findings.extend(missing_lints(&path, &manifest.text)?);
        findings.extend(undrawn_arrows(&path, folder, package, &metadata.packages));
    }
    Ok(findings)
}

/// Package names carry the project's prefix, folders do not; the plain name is the SDK's, since users write it.
fn misnamed(path: &str, folder: &str, name: &str) -> Option<Finding> {
    let expected = match folder {
        "xtask" => "xtask".to_owned(),
        "sdk" => "escrow".to_owned(),
        _ => format!("escrow-{folder}"),
    };
    (name != expected).then(|| Finding::file(path, format!("the package is named `{name}`, not `{expected}`")))
}

fn missing_fields(path: &str, package: &Package) -> Vec<Finding> {
    let fields = [("description", &package.description), ("license", &package.license)];
    fields
        .into_iter()
        .filter(|(_, value)| value.as_deref().unwrap_or_default().is_empty())
        .map(|(field, _)| Finding::file(path, format!("`{field}` is missing")))
        .collect()
}

/// Lints are set once, for all crates; a crate that does not ask for them has none.
fn missing_lints(path: &str, manifest: &str) -> anyhow::Result<Option<Finding>> {
    let manifest: toml::Table = manifest.parse().with_context(|| format!("cannot parse {path}"))?;
    let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    let inherits = inherited.and_then(toml::Value::as_bool).unwrap_or(false);
    Ok((!inherits).then(|| Finding::file(path, "`[lints] workspace = true` is missing")))
}

/// Dependencies on crates of ours that [`ARROWS`] does not draw.
fn undrawn_arrows(path: &str, from: &str, package: &Package, workspace: &[Package]) -> Vec<Finding> {
    let Some((_, drawn)) = ARROWS.iter().find(|(crate_, _)| matches(crate_, from)) else {
        return vec![Finding::file(path, format!("crate `{from}` has no row in the table of arrows"))];
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let Some(target) = workspace.iter().find(|other| other.name == dependency.name) else {
            continue;
        };
        let to = folder_of(&target.manifest_path);
        let for_tests = dependency.kind.as_deref() == Some("dev");
        let allowed = drawn.iter().any(|pattern| matches(pattern, to))
            || (for_tests && (to == from || WHOLE_SYSTEM_TESTS.contains(&from)));
        if !allowed {
            let kind = dependency.kind.as_deref().unwrap_or("normal");
            findings.push(Finding::file(path, format!("the arrow {from} -> {to} is not drawn ({kind} dependency)")));
        }
    }
    findings
}

fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => folder.starts_with(prefix),
        None => folder == pattern,
    }
}

/// The folder that holds a manifest, by its last part: `crates/txn/Cargo.toml` is `txn`.
fn folder_of(manifest_path: &str) -> &str {
    let folder = Path::new(manifest_path).parent().and_then(Path::file_name);
    folder.and_then(|name| name.to_str()).unwrap_or_default()
}

fn manifest_path(root: &str, package: &Package) -> anyhow::Result<String> {
    let path = Path::new(&package.manifest_path);
    let relative =
        path.strip_prefix(root).with_context(|| format!("package `{}` lies outside the repository", package.name))?;
    Ok(relative.to_string_lossy().replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Dependency;

    fn package(name: &str, folder: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) });
        Package {
            name: name.to_owned(),
            manifest_path: format!("/repo/crates/{folder}/Cargo.toml"),
            dependencies: dependencies.collect(),
            ..Package::default()
        }
    }

    fn arrows(from: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let folders = ["txn", "store", "store-sqlite", "engine", "payments", "server", "wire"];
        let workspace: Vec<Package> =
            folders.iter().map(|folder| package(&format!("escrow-{folder}"), folder, &[])).collect();
        let package = package(&format!("escrow-{from}"), from, dependencies);
        let findings = undrawn_arrows("Cargo.toml", from, &package, &workspace);
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_drawn_arrow_passes_whatever_is_foreign() {
        assert!(arrows("engine", &[("escrow-txn", None), ("escrow-store", None), ("tokio", None)]).is_empty());
        assert!(arrows("server", &[("escrow-store-sqlite", None)]).is_empty());
        assert!(arrows("store-postgres", &[("escrow-store", None), ("escrow-txn", None)]).is_empty());
    }

    #[test]
    fn an_undrawn_arrow_is_found_for_normal_and_build_dependencies() {
        assert_eq!(
            arrows("txn", &[("escrow-store", None)]),
            ["the arrow txn -> store is not drawn (normal dependency)"]
        );
        assert_eq!(arrows("wire", &[("escrow-engine", Some("build"))]).len(), 1);
        assert_eq!(arrows("engine", &[("escrow-store-sqlite", None)]).len(), 1);
        assert_eq!(arrows("payments", &[("escrow-txn", None)]).len(), 1);
        assert_eq!(arrows("xtask", &[("escrow-txn", None)]).len(), 1);
    }

    #[test]
    fn only_tests_of_the_whole_system_may_use_everything() {
        assert!(arrows("server", &[("escrow-payments", Some("dev"))]).is_empty());
        assert_eq!(arrows("server", &[("escrow-payments", None)]).len(), 1);
        assert_eq!(arrows("txn", &[("escrow-engine", Some("dev"))]).len(), 1);
        assert!(arrows("store", &[("escrow-store", Some("dev"))]).is_empty());
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(arrows("common", &[]), ["crate `common` has no row in the table of arrows"]);
    }

    #[test]
    fn names_follow_their_folder() {
        assert_eq!(misnamed("p", "txn", "escrow-txn"), None);
        assert_eq!(misnamed("p", "sdk", "escrow"), None);
        assert_eq!(misnamed("p", "xtask", "xtask"), None);
        assert!(misnamed("p", "txn", "txn").is_some());
        assert!(misnamed("p", "txn", "escrow-rules").is_some());
    }

    #[test]
    fn description_and_license_are_required() {
        let bare = package("escrow-txn", "txn", &[]);
        assert_eq!(missing_fields("p", &bare).len(), 2);
        let full = Package { description: Some("d".into()), license: Some("Apache-2.0".into()), ..bare };
        assert!(missing_fields("p", &full).is_empty());
    }

    #[test]
    fn lints_are_inherited() {
        assert_eq!(missing_lints("p", "[lints]\nworkspace = true").unwrap(), None);
        assert!(missing_lints("p", "[lints]\nworkspace = false").unwrap().is_some());
        assert!(missing_lints("p", "[package]\nname = \"x\"").unwrap().is_some());
        assert!(missing_lints("p", "not a manifest").is_err());
    }
}
