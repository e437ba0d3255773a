//! The coordinator as a child of the demo: this executable again, started as `serve`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use escrow_payments::demo::{CoordinatorProcess, RestartError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

/// The directory of its records, within the demo's.
pub(super) const DATA: &str = "coordinator";
/// What `serve` prints before the address it listens on.
const LISTENING: &str = "listening on ";
/// Longest pause between retries: in a demo nobody wants to wait.
const RETRY_CAP_SECONDS: &str = "4";
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A port that was given up may be taken by somebody's outgoing connection for a moment.
const RESTARTS_MAX: u32 = 20;
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// A running `escrow serve` on a port of its own. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct ChildCoordinator {
    launch: Launch,
    url: String,
    child: Mutex<Child>,
}

/// How the child is started.
#[derive(Debug)]
struct Launch {
    executable: PathBuf,
    home: PathBuf,
    log: PathBuf,
}

impl ChildCoordinator {
    /// Starts a coordinator that keeps its data and log under `dir`.
    pub(super) async fn start(dir: &Path) -> anyhow::Result<ChildCoordinator> {
        let executable = std::env::current_exe().context("cannot find this executable")?;
        let launch = Launch { executable, home: dir.to_owned(), log: dir.join("coordinator.log") };
        let (child, url) = launch.start("127.0.0.1:0").await?;
        Ok(ChildCoordinator { launch, url, child: Mutex::new(child) })
    }

    /// Ends it in good order, by closing its standard input.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let mut child = self.child.into_inner();
        drop(child.stdin.take());
        child.wait().await.context("cannot wait for the coordinator")?;
        Ok(())
    }

    async fn restart(&self) -> anyhow::Result<()> {
        let mut child = self.child.lock().await;
        child.kill().await.context("cannot kill the coordinator")?;
        let listen = self.url.trim_start_matches("http://");
        let mut tries = 1;
        *child = loop {
            match self.launch.start(listen).await {
                Ok((child, _)) => break child,
                Err(error) if tries == RESTARTS_MAX => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        };
        Ok(())
    }
}

#[async_trait]
impl CoordinatorProcess for ChildCoordinator {
    fn url(&self) -> &str {
        &self.url
    }

    async fn kill_and_restart(&self) -> Result<(), RestartError> {
        self.restart().await.map_err(|error| RestartError { source: error.into() })
    }
}

impl Launch {
    /// Starts the child and waits until it says where it listens.
    async fn start(&self, listen: &str) -> anyhow::Result<(Child, String)> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.executable);
        command
            .args(["serve", "--exit-on-stdin-close", "--listen", listen, "--data", DATA])
            // Away from the user's own escrow.toml, and without what the environment says to a coordinator of theirs.
            .current_dir(&self.home)
            // A pipe that nobody writes: the child exits when this process, however it ends, closes it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ESCROW_")) {
            command.env_remove(name);
        }
        command.env("ESCROW_TRANSACTIONS_RETRY_CAP_SECONDS", RETRY_CAP_SECONDS);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.executable.display()))?;
        let stdout = child.stdout.take().context("the coordinator has no standard output")?;
        match tokio::time::timeout(START_TIMEOUT, address(stdout)).await {
            Ok(Ok(url)) => Ok((child, url)),
            Ok(Err(error)) => Err(error.context(format!("see {}", self.log.display()))),
            Err(_) => bail!("the coordinator did not start within {START_TIMEOUT:?}; see {}", self.log.display()),
        }
    }
}

/// Reads what the child prints up to its address, and goes on reading behind that, so that it never waits for a reader.
async fn address(stdout: ChildStdout) -> anyhow::Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.context("cannot read the coordinator's output")? {
        if let Some((_, url)) = line.split_once(LISTENING) {
            let url = url.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(url);
        }
    }
    bail!("the coordinator ended before it listened")
}
