//! Builds the benchmark and what it measures, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cargo;

/// The benchmark's argument for its quick form: everything works, however slow.
pub(crate) const QUICK: &str = "--quick";

/// The folder for temporary files that outlive the machine's halt: so it is on a disk, where a sync is a sync. `/tmp` often is not.
const ON_DISK: &str = "/var/tmp";

/// Runs the benchmark with these arguments, which it reads itself.
///
/// The quick form uses the development build, which tests have made anyway: its figures are worth nothing, and it says so.
///
/// # Errors
/// It cannot be built, or what it measured is wrong.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let quick = args.iter().any(|arg| arg == QUICK);
    cargo::run(build(quick))?;
    let target = cargo::metadata()?.target_directory;
    let program = Path::new(&target).join(if quick { "debug" } else { "release" }).join("escrow-bench");
    let mut command = Command::new(&program);
    command.arg("run").args(args);
    if std::env::var_os("TMPDIR").is_none() && Path::new(ON_DISK).is_dir() {
        command.env("TMPDIR", ON_DISK);
    }
    let status = command.status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("the benchmark failed: {status}");
    }
    Ok(())
}

fn build(quick: bool) -> &'static [&'static str] {
    if quick {
        &["build", "--package", "escrow-cli", "--package", "escrow-bench"]
    } else {
        &["build", "--release", "--package", "escrow-cli", "--package", "escrow-bench"]
    }
}
