//! Running `cargo` as a child process.

use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// The workspace as `cargo metadata --no-deps` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Absolute path of the folder that holds the root `Cargo.toml`.
    pub(crate) workspace_root: String,
    /// Absolute path of the folder that builds write to; it need not exist.
    pub(crate) target_directory: String,
}

/// One package of the workspace.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    /// Absolute path of the package's `Cargo.toml`.
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a package's dependency tables.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's own name, whatever name it was given in the manifest.
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Runs cargo with these arguments, its output going to ours.
///
/// # Errors
/// Cargo cannot be started, or ends with another code than 0.
pub(crate) fn run(args: &[&str]) -> anyhow::Result<()> {
    wait(&mut command(args), args)
}

/// Writes every crate's reference pages, which shows that the links in doc comments lead somewhere.
///
/// # Errors
/// As [`run`]; a warning counts as an error.
pub(crate) fn doc() -> anyhow::Result<()> {
    wait(command(DOC).env("RUSTDOCFLAGS", "-D warnings"), DOC)
}

/// What [`doc`] runs.
pub(crate) const DOC: &[&str] = &["doc", "--workspace", "--no-deps"];

fn wait(command: &mut Command, args: &[&str]) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(args)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(args));
    }
    Ok(())
}

/// Describes the workspace around the current directory.
///
/// # Errors
/// Cargo cannot be started, does not accept a manifest, or prints something else than expected.
pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let args = ["metadata", "--no-deps", "--format-version", "1"];
    let output = command(&args)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(&args)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(&args), output.status);
    }
    serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` printed")
}

/// The command as a person would type it.
pub(crate) fn shown(args: &[&str]) -> String {
    format!("cargo {}", args.join(" "))
}

fn command(args: &[&str]) -> Command {
    // Cargo names itself to what it runs, so that a child uses the same toolchain.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args);
    command
}
