//! `escrow serve` as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A coordinator process; killed when dropped.
pub(crate) struct Coordinator {
    child: Child,
    pub(crate) address: String,
    store: Vec<String>,
}

/// A coordinator with the default settings but for a short cap on waits between retries, on the store that these flags name.
pub(crate) fn serve(home: &Path, listen: &str, store: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
    command.env_clear().env("ESCROW_TRANSACTIONS_RETRY_CAP_SECONDS", "2").current_dir(home);
    command.args(["serve", "--listen", listen, "--log-level", "error"]).args(store).stdin(Stdio::null());
    command
}

impl Coordinator {
    pub(crate) fn start(home: &Path, listen: &str) -> Self {
        Self::start_on(home, listen, &["--data", "data"])
    }

    /// A coordinator on the store that these flags name.
    pub(crate) fn start_on(home: &Path, listen: &str, store: &[&str]) -> Self {
        let started = Self::try_start(&mut serve(home, listen, store));
        let mut started = started.unwrap_or_else(|ended| panic!("it does not start: {ended:?}"));
        started.store = store.iter().map(|&flag| flag.to_owned()).collect();
        started
    }

    /// Waits until the process says where it listens; if it ends instead, its end.
    pub(crate) fn try_start(command: &mut Command) -> Result<Self, Ended> {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut started = Self { child, address: String::new(), store: Vec::new() };
        let Some(line) = lines.next() else { return Err(started.end()) };
        line.unwrap().strip_prefix("listening on http://").unwrap().clone_into(&mut started.address);
        assert!(lines.next().unwrap().unwrap().starts_with("data in "));
        Ok(started)
    }

    /// SIGKILL, and another process on the same store and port. How long until that one serves.
    pub(crate) fn kill_and_restart(self, home: &Path) -> (Self, Duration) {
        let (address, store) = (self.address.clone(), self.store.clone());
        drop(self);
        let killed_at = Instant::now();
        let next = Self::start_on(home, &address, &store.iter().map(String::as_str).collect::<Vec<_>>());
        (next, killed_at.elapsed())
    }

    /// Tells it to end, if it hears when its standard input does.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the end of the process.
    pub(crate) fn end(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        Ended { code, log }
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to its standard error, if that is a pipe.
    pub(crate) log: String,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
