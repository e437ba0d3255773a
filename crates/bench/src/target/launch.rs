//! Programs as children of this one: started in their directory and on their core, stopped, and never left behind.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::process::{self, Usage};

/// How long a program may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a program may take to end once it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// So much of the end of what a program printed is shown when it fails.
const SHOWN_BYTES: u64 = 4_096;
/// What precedes the address that Escrow and the null coordinator listen on.
const LISTENING: &str = "listening on ";
/// All that a program sees of this one's environment: settings meant for others must not change what is measured.
const PASSED_ON: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];

/// How a program is started.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    program: &'a Path,
    args: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    directory: &'a Path,
    /// The program that pins (this one), and the core.
    pinned: Option<(&'a Path, usize)>,
    user: Option<User>,
}

/// Whose rights a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl<'a> Launch<'a> {
    /// This program, with this working directory.
    pub(super) fn new(program: &'a Path, directory: &'a Path) -> Self {
        Self { program, args: Vec::new(), variables: Vec::new(), directory, pinned: None, user: None }
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(super) fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// On the core for coordinators, if there is more than one core. `bench` is this program: it pins itself and becomes the other.
    pub(super) fn pinned_by(mut self, bench: &'a Path) -> Self {
        self.pinned = process::cores().map(|cores| (bench, cores.coordinator));
        self
    }

    pub(super) fn user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Starts it. All that it prints is kept.
    ///
    /// # Errors
    /// There is no such program.
    pub(super) fn start(self) -> anyhow::Result<Process> {
        let output = kept_output()?;
        let stdout = output.try_clone()?.into();
        self.spawn(stdout, output)
    }

    /// Starts it and waits until it prints the address that it listens on.
    ///
    /// # Errors
    /// There is no such program, or it ends or 20 s go by before that; what it printed to standard error is in the error.
    pub(super) async fn start_announced(self) -> anyhow::Result<(Process, SocketAddr)> {
        let mut process = self.spawn(Stdio::piped(), kept_output()?)?;
        let stdout = process.child.stdout.take().context("its output is not piped")?;
        match tokio::time::timeout(START_TIMEOUT, listening_line(stdout)).await {
            Ok(Ok(Some(line))) => {
                let address = announced(&line).with_context(|| format!("{} printed: {line}", process.name))?;
                Ok((process, address))
            }
            Ok(Ok(None)) => Err(process.ended("listened").await),
            Ok(Err(error)) => Err(error).with_context(|| format!("cannot read what {} prints", process.name)),
            Err(_) => bail!("{} did not listen within {START_TIMEOUT:?}{}", process.name, process.printed()),
        }
    }

    /// Runs it to its end, unpinned.
    ///
    /// # Errors
    /// It fails; what it printed is in the error.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let name = self.program.display().to_string();
        let output = self.command().stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot start {name}"))?;
        if !output.status.success() {
            bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn spawn(self, stdout: Stdio, output: File) -> anyhow::Result<Process> {
        let name = self.program.display().to_string();
        let child = self
            .command()
            .process_group(0)
            // A pipe that nobody writes: it closes when this process ends, however it ends.
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(output.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = child.id().with_context(|| format!("{name} has no process id"))?;
        Ok(Process { name, child, pid, output })
    }

    fn command(&self) -> Command {
        let mut command = match self.pinned {
            Some((bench, core)) => {
                let mut command = Command::new(bench);
                command.args(["pinned", "--core", &core.to_string(), "--"]).arg(self.program);
                command
            }
            None => Command::new(self.program),
        };
        command.args(&self.args).current_dir(self.directory).env_clear();
        command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// A program that was started here. Dropped, it is killed with all that it has started.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    pid: u32,
    /// What it prints: to standard error at least.
    output: File,
}

impl Process {
    pub(super) fn usage(&self) -> Usage {
        process::usage(self.pid)
    }

    /// Waits until `is_ready` says so.
    ///
    /// # Errors
    /// It ends or the time is up before that; what it printed is in the error.
    pub(super) async fn until(&mut self, mut is_ready: impl AsyncFnMut(&Self) -> bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !is_ready(self).await {
            if self.child.try_wait()?.is_some() {
                return Err(self.ended("answered").await);
            }
            if begin.elapsed() > START_TIMEOUT {
                bail!("{} did not answer within {START_TIMEOUT:?}{}", self.name, self.printed());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The end of what it has printed to standard error, on a line of its own; nothing if it has printed nothing.
    pub(super) fn printed(&self) -> String {
        let length = self.output.metadata().map_or(0, |metadata| metadata.len());
        let mut end = vec![0; length.min(SHOWN_BYTES) as usize];
        // Read at an offset: a seek would move where the program writes, since it has the same open file.
        match self.output.read_exact_at(&mut end, length.saturating_sub(SHOWN_BYTES)) {
            Ok(()) if !end.is_empty() => format!("\n{}", String::from_utf8_lossy(&end).trim_end()),
            _ => String::new(),
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has; kills it after 10 s.
    pub(super) async fn stop(self) {
        self.stop_within(STOP_TIMEOUT).await;
    }

    /// How it ended; `None` if it had to be killed.
    async fn stop_within(mut self, time: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(time, self.child.wait()).await;
        if ended.is_err() {
            self.kill();
            // `kill` leaves nothing that could be waited for in vain.
            let _ = self.child.wait().await;
        }
        ended.ok()?.ok()
    }

    /// The error that it ended too early. Waits for that, since its output ends a moment before it does.
    async fn ended(&mut self, before: &str) -> anyhow::Error {
        let ending = match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output and lives".to_owned(),
        };
        anyhow!("{} ended before it {before}: {ending}{}", self.name, self.printed())
    }

    /// Sends a signal to it alone. Nothing happens if it has ended.
    fn signal(&self, signal: Signal) {
        if self.child.id().is_some() {
            ignore_gone(pid(self.pid).map_or(Ok(()), |pid| kill_process(pid, signal)));
        }
    }

    /// Kills it and all that it has started.
    fn kill(&self) {
        // By the table of processes too, since a database puts each of its processes into a group of its own.
        let family = process::descendants(self.pid);
        let group = pid(self.pid);
        ignore_gone(group.map_or(Ok(()), |group| kill_process_group(group, Signal::KILL)));
        // Once it has been waited for, its id may be somebody else's.
        if self.child.id().is_some() {
            family.into_iter().filter_map(pid).for_each(|member| ignore_gone(kill_process(member, Signal::KILL)));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kept_output() -> anyhow::Result<File> {
    tempfile::tempfile().context("cannot keep what a program prints")
}

/// A port of this machine that is free now. Somebody else may take it before the program does that is told to: then that fails to start.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(raw.try_into().ok()?)
}

/// A process that cannot be signalled has ended, which is what was wanted.
fn ignore_gone(_: Result<(), rustix::io::Errno>) {}

/// The line that says where a program listens. What comes behind it is read too, so that the program never waits for a reader.
async fn listening_line(stdout: ChildStdout) -> io::Result<Option<String>> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains(LISTENING) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// The address in such a line: `listening on 127.0.0.1:1` or `listening on http://127.0.0.1:1`.
fn announced(line: &str) -> anyhow::Result<SocketAddr> {
    let (_, address) = line.split_once(LISTENING).context("no address")?;
    let address = address.trim();
    address.strip_prefix("http://").unwrap_or(address).parse().context("not an address")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn shell<'a>(directory: &'a Path, script: &str) -> Launch<'a> {
        Launch::new(Path::new("sh"), directory).args(["-c", script])
    }

    #[test]
    fn an_address_is_found_in_what_a_program_prints() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 36_789));
        assert_eq!(announced("listening on 127.0.0.1:36789").unwrap(), address);
        assert_eq!(announced("escrow listening on http://127.0.0.1:36789 ").unwrap(), address);
        assert!(announced("listening on the stairs").is_err());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Launch::new(Path::new("/nowhere/program"), dir.path()).start().unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/program"), "{error:#}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_start_is_shown_with_its_standard_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = shell(dir.path(), "echo no room here >&2; exit 3").start_announced().await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("\nno room here"), "{error}");
        let mut process = shell(dir.path(), "echo no way; exit 4").start().unwrap();
        let error = process.until(async |_| false).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 4") && error.ends_with("\nno way"), "{error}");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let script = "i=0; while [ $i -lt 2000 ]; do echo a long line; i=$((i+1)); done; echo the last; exit 1";
        let mut process = shell(dir.path(), script).start().unwrap();
        let error = process.until(async |_| false).await.unwrap_err().to_string();
        assert!(error.len() < 2 * SHOWN_BYTES as usize && error.ends_with("the last"), "{error}");
    }

    #[tokio::test]
    async fn a_program_runs_in_its_directory_and_sees_nothing_of_our_environment() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"test "$(pwd)" = "$1" && test "${SOME-none} ${CARGO-none}" = "thing none""#;
        let directory = dir.path().canonicalize().unwrap();
        let again = shell(&directory, script).args([Path::new("sh"), &directory]).variable("SOME", "thing");
        again.run().await.unwrap();
        assert!(
            shell(&directory, "echo it failed >&2; exit 1").run().await.unwrap_err().to_string().contains("it failed")
        );
    }

    #[tokio::test]
    async fn stop_asks_first_and_kills_what_does_not_listen() {
        let dir = tempfile::tempdir().unwrap();
        let script = |trap| format!("trap {trap} TERM; sleep 1000 & echo listening on 127.0.0.1:1; wait");
        let (polite, _) = shell(dir.path(), &script("'exit 7'")).start_announced().await.unwrap();
        assert_eq!(polite.stop_within(STOP_TIMEOUT).await.unwrap().code(), Some(7));

        let (deaf, _) = shell(dir.path(), &script("''")).start_announced().await.unwrap();
        let pid = deaf.pid;
        assert_eq!(deaf.stop_within(Duration::from_millis(50)).await, None);
        assert!(process::descendants(pid).is_empty());
    }

    #[tokio::test]
    async fn what_a_program_has_started_ends_with_it_even_in_a_group_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        shell(dir.path(), "mkfifo held").run().await.unwrap();
        let script = "setsid sleep 1000 > held & echo listening on 127.0.0.1:1; wait";
        let (process, _) = shell(dir.path(), script).start_announced().await.unwrap();
        let held = dir.path().join("held");
        // Opens once the grandchild has opened its end, and ends once that is closed.
        let mut held = File::open(held).unwrap();
        drop(process);
        assert_eq!(held.read(&mut [0]).unwrap(), 0);
    }
}
