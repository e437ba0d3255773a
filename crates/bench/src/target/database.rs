//! Databases that a coordinator keeps its transactions in: part of what it costs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::launch::{Launch, Process, User, free_port};
use super::{Programs, missing, scratch};

/// What PostgreSQL prints once it takes statements; it accepts connections before that.
const POSTGRES_IS_READY: &str = "database system is ready to accept connections";
/// Its superuser, who needs no password: the server listens on this machine only, for the length of a benchmark.
const POSTGRES_USER: &str = "bench";
/// Who runs it if this process is root's, as whom it refuses to run.
const POSTGRES_ACCOUNT: &str = "postgres";

/// A running database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) process: Process,
    /// Where a coordinator finds it.
    pub(super) url: String,
    /// Deleted last, when nobody writes there any more.
    _directory: TempDir,
}

impl Database {
    /// Starts a Redis that keeps nothing on disk.
    ///
    /// # Errors
    /// There is no server, or it does not start.
    pub(super) async fn redis(programs: &Programs) -> anyhow::Result<Self> {
        let program = programs.redis.as_deref().with_context(|| missing("redis-server"))?;
        let directory = scratch::fresh(None)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut process =
            Launch::new(program, directory.path()).args(redis_args(address)).pinned_by(&programs.bench).start()?;
        process.until(async |_| TcpStream::connect(address).await.is_ok()).await?;
        Ok(Self { process, url: format!("redis://{address}"), _directory: directory })
    }

    /// Starts a PostgreSQL with the durability that it has by default: each COMMIT is synced.
    ///
    /// # Errors
    /// There is no server or `initdb`, this process is root's and there is no account `postgres`, or it does not start.
    pub(super) async fn postgres(programs: &Programs) -> anyhow::Result<Self> {
        let program = programs.postgres.as_deref().with_context(|| missing("postgres"))?;
        let user = account()?;
        let directory = scratch::fresh(user)?;
        let initdb = beside(program, "initdb").context("no initdb beside postgres")?;
        let data = directory.path().join("data");
        Launch::new(&initdb, directory.path())
            .args(["--username", POSTGRES_USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .args([&data])
            .user(user)
            .run()
            .await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut process = Launch::new(program, directory.path())
            .args(["-D".as_ref(), data.as_os_str()])
            .args(postgres_args(address))
            .pinned_by(&programs.bench)
            .user(user)
            .start()?;
        process.until(async |process| process.printed().contains(POSTGRES_IS_READY)).await?;
        Ok(Self { process, url: format!("postgres://{POSTGRES_USER}@{address}/postgres"), _directory: directory })
    }
}

/// Without snapshots and without a log of changes: what it loses with its process it has never had on disk.
fn redis_args(address: SocketAddr) -> Vec<String> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    ["--bind", &ip, "--port", &port, "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        .map(str::to_owned)
        .into()
}

fn postgres_args(address: SocketAddr) -> Vec<String> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    // No socket in the file system: its path may be too long.
    ["-h", &ip, "-p", &port, "-c", "unix_socket_directories="].map(str::to_owned).into()
}

/// Whose rights PostgreSQL gets; `None`: those of this process.
fn account() -> anyhow::Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let user = user_named(&accounts, POSTGRES_ACCOUNT);
    user.map(Some)
        .with_context(|| format!("PostgreSQL refuses to run as root, and there is no account {POSTGRES_ACCOUNT}"))
}

/// By the lines of `/etc/passwd`.
fn user_named(accounts: &str, name: &str) -> Option<User> {
    let account = accounts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    // The password comes first.
    let mut ids = account.split(':').skip(1);
    Some(User { uid: ids.next()?.parse().ok()?, gid: ids.next()?.parse().ok()? })
}

/// Another program in this one's directory, or in that of the file that it is a link to.
fn beside(program: &Path, name: &str) -> Option<std::path::PathBuf> {
    let places = [Some(program.to_owned()), program.canonicalize().ok()];
    places.into_iter().flatten().map(|place| place.with_file_name(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_told_to_keep_nothing() {
        let args = redis_args("127.0.0.1:7".parse().unwrap()).join(" ");
        assert_eq!(args, "--bind 127.0.0.1 --port 7 --save  --appendonly no --loglevel warning");
    }

    #[test]
    fn postgres_is_told_where_to_listen_and_nothing_about_durability() {
        let args = postgres_args("127.0.0.1:7".parse().unwrap()).join(" ");
        assert_eq!(args, "-h 127.0.0.1 -p 7 -c unix_socket_directories=");
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\npostgres-old:x:1:2::/:/bin/false\npostgres:x:101:104:,,:/var:/bin/bash\n";
        assert_eq!(user_named(accounts, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user_named(accounts, "nobody"), None);
    }

    #[test]
    fn initdb_is_found_where_the_server_is_or_where_its_link_points_to() {
        let (links, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let programs = programs.path().canonicalize().unwrap();
        for name in ["postgres", "initdb"] {
            fs::write(programs.join(name), "").unwrap();
        }
        let link = links.path().join("postgres");
        std::os::unix::fs::symlink(programs.join("postgres"), &link).unwrap();
        assert_eq!(beside(&link, "initdb"), Some(programs.join("initdb")));
        assert_eq!(beside(&programs.join("postgres"), "initdb"), Some(programs.join("initdb")));
        assert_eq!(beside(&link, "nothing"), None);
    }
}
