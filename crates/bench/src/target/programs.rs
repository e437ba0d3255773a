//! Where the programs are that are measured, and which they are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::{DtmrsStore, Target};

/// The release of dtmrs that is measured.
const DTMRS_VERSION: &str = "0.13.0";

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) escrow: PathBuf,
    /// This program: it is the null coordinator too, and pins the others to their core.
    pub(crate) bench: PathBuf,
    pub(crate) dtmrs: Option<PathBuf>,
    pub(crate) redis: Option<PathBuf>,
    pub(crate) postgres: Option<PathBuf>,
}

impl Programs {
    /// Escrow beside this program, dtmrs where [`Programs::install_dtmrs`] puts it, databases in `PATH` and where Debian has them.
    ///
    /// # Errors
    /// It is not known where this program is.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let bench = env::current_exe().context("cannot find this program")?;
        let target = target_directory(&bench)?;
        Ok(Self {
            escrow: bench.with_file_name("escrow"),
            dtmrs: Some(peers(&target).join("bin/dtmrs")).filter(|path| path.is_file()),
            redis: in_path("redis-server"),
            postgres: in_path("postgres").or_else(|| newest_postgres(Path::new("/usr/lib/postgresql"))),
            bench,
        })
    }

    /// Installs dtmrs from the registry into `target/bench-peers`, unless it is known where it is. Takes minutes.
    ///
    /// # Errors
    /// Cargo cannot get or build it; it has printed why.
    pub(crate) fn install_dtmrs(&mut self) -> anyhow::Result<()> {
        if self.dtmrs.is_some() {
            return Ok(());
        }
        let root = peers(&target_directory(&self.bench)?);
        let build = root.join("build");
        println!("installing dtmrs {DTMRS_VERSION} into {}", root.display());
        // Without `redis` it knows SQL databases only.
        let status = Command::new("cargo")
            .args(["install", "dtmrs", "--version", DTMRS_VERSION, "--features", "redis", "--root"])
            .arg(&root)
            .arg("--target-dir")
            .arg(&build)
            .status();
        let status = status.context("cannot start cargo")?;
        ensure!(status.success(), "cargo install dtmrs: {status}");
        fs::remove_dir_all(&build).with_context(|| format!("cannot delete {}", build.display()))?;
        self.dtmrs = Some(root.join("bin/dtmrs"));
        Ok(())
    }
}

impl Target {
    /// Which version of its programs is measured, its database's included.
    pub(crate) fn version(&self, programs: &Programs) -> String {
        match self {
            Self::Null => format!("null {}", env!("CARGO_PKG_VERSION")),
            Self::Embedded | Self::Sqlite => printed(Some(&programs.escrow), "--version"),
            Self::Dtmrs(store) => {
                let dtmrs = dtmrs_version(programs.dtmrs.as_deref());
                match store {
                    DtmrsStore::Sqlite => dtmrs,
                    DtmrsStore::Redis => format!("{dtmrs}, {}", printed(programs.redis.as_deref(), "--version")),
                    DtmrsStore::Postgres => format!("{dtmrs}, {}", printed(programs.postgres.as_deref(), "--version")),
                }
            }
            Self::Dtm(path) => printed(Some(path), "-v"),
        }
    }

    /// What it promises when it acknowledges a change, in a few words.
    pub(crate) fn durability(&self) -> &'static str {
        match self {
            Self::Null => "none: it keeps nothing",
            Self::Embedded => "every change synced before it is acknowledged, many by one sync",
            Self::Sqlite => "every change synced before it is acknowledged (WAL, synchronous=FULL), many by one commit",
            Self::Dtmrs(DtmrsStore::Sqlite) => {
                "survives a kill, not a power cut (WAL, synchronous=NORMAL, which dtmrs sets): only checkpoints sync"
            }
            Self::Dtmrs(DtmrsStore::Redis) => "none: a Redis without persistence",
            Self::Dtmrs(DtmrsStore::Postgres) => "every COMMIT synced (PostgreSQL as it comes)",
            Self::Dtm(_) => "every change synced (BoltDB as it comes)",
        }
    }
}

const UNKNOWN: &str = "unknown";

/// The first line that a program prints when it is asked for its version.
fn printed(program: Option<&Path>, flag: &str) -> String {
    let output = program.and_then(|program| Command::new(program).arg(flag).output().ok());
    let line = output.filter(|output| output.status.success()).and_then(|output| {
        let all = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&all).lines().find(|line| !line.trim().is_empty())?.trim().to_owned())
    });
    line.unwrap_or_else(|| UNKNOWN.to_owned())
}

/// From what cargo has noted beside it: dtmrs ignores its arguments, so it would serve where it is asked for its version.
fn dtmrs_version(program: Option<&Path>) -> String {
    let noted = program.and_then(Path::parent).and_then(Path::parent).map(|root| root.join(".crates.toml"));
    let version = noted.and_then(|path| fs::read_to_string(path).ok()).and_then(|noted| noted_version(&noted));
    format!("dtmrs {}", version.as_deref().unwrap_or(UNKNOWN))
}

/// The version of dtmrs in cargo's list of what is installed: `"dtmrs 0.13.0 (registry+…)" = ["dtmrs"]`.
fn noted_version(installed: &str) -> Option<String> {
    let line = installed.lines().find_map(|line| line.strip_prefix("\"dtmrs "))?;
    line.split([' ', '"']).next().map(str::to_owned)
}

/// Where cargo has put this program: `target` of `target/release/escrow-bench`, and of `target/release/deps/…` in tests.
fn target_directory(bench: &Path) -> anyhow::Result<PathBuf> {
    let profile = bench.ancestors().skip(1).find(|directory| !directory.ends_with("deps"));
    let target = profile.and_then(Path::parent);
    target.map(Path::to_owned).with_context(|| format!("{} is not in a target directory", bench.display()))
}

fn peers(target: &Path) -> PathBuf {
    target.join("bench-peers")
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// The server of the highest version, where each has a directory of its own.
fn newest_postgres(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?.flatten();
    let servers = entries.filter_map(|entry| {
        let version = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((version, entry.path().join("bin/postgres"))).filter(|(_, path)| path.is_file())
    });
    servers.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_dtmrs_is_read_from_cargos_notes() {
        let noted = "[v1]\n\"other 1.0.0 (registry+https://x)\" = [\"other\"]\n\"dtmrs 0.13.0 (registry+https://x)\" = [\"dtmrs\"]\n";
        assert_eq!(noted_version(noted).as_deref(), Some("0.13.0"));
        assert_eq!(noted_version("[v1]\n"), None);
        assert_eq!(dtmrs_version(None), "dtmrs unknown");
    }

    #[test]
    fn the_target_directory_is_found_from_a_program_and_from_a_test() {
        assert_eq!(target_directory(Path::new("/x/target/release/escrow-bench")).unwrap(), Path::new("/x/target"));
        assert_eq!(target_directory(Path::new("/x/target/debug/deps/escrow_bench-1")).unwrap(), Path::new("/x/target"));
        assert!(target_directory(Path::new("escrow-bench")).is_err());
    }

    #[test]
    fn the_newest_postgres_is_taken_by_number() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["9", "15", "common"] {
            fs::create_dir_all(dir.path().join(version).join("bin")).unwrap();
            fs::write(dir.path().join(version).join("bin/postgres"), "").unwrap();
        }
        fs::create_dir_all(dir.path().join("16/bin")).unwrap();
        assert_eq!(newest_postgres(dir.path()), Some(dir.path().join("15/bin/postgres")));
        assert_eq!(newest_postgres(&dir.path().join("nothing")), None);
    }

    #[test]
    fn a_program_that_is_not_there_or_does_not_say_has_an_unknown_version() {
        assert_eq!(printed(Some(Path::new("/nowhere/program")), "--version"), UNKNOWN);
        assert_eq!(printed(None, "--version"), UNKNOWN);
        // `ls` calls the flag unknown, on its standard error.
        assert_eq!(printed(Some(Path::new("ls")), "--no-such-flag"), UNKNOWN);
    }
}
