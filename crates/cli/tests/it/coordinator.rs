//! `escrow serve` as a child process, with the default settings but for a short cap on waits between retries.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A coordinator process; killed when dropped.
pub(crate) struct Coordinator {
    child: Child,
    pub(crate) address: String,
    store: Vec<String>,
}

impl Coordinator {
    pub(crate) fn start(home: &Path, listen: &str) -> Self {
        Self::start_on(home, listen, &["--data", "data"])
    }

    /// A coordinator on the store that these flags name.
    pub(crate) fn start_on(home: &Path, listen: &str, store: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_escrow"))
            .env_clear()
            .current_dir(home)
            .args(["serve", "--listen", listen, "--retry-cap-seconds", "2", "--log-level", "error"])
            .args(store)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |before: &str| lines.next().unwrap().unwrap().strip_prefix(before).unwrap().to_owned();
        let (address, _data) = (next("listening on http://"), next("data in "));
        Self { child, address, store: store.iter().map(|&flag| flag.to_owned()).collect() }
    }

    /// SIGKILL, and another process on the same store and port. How long until that one serves.
    pub(crate) fn kill_and_restart(self, home: &Path) -> (Self, Duration) {
        let (address, store) = (self.address.clone(), self.store.clone());
        drop(self);
        let killed_at = Instant::now();
        let next = Self::start_on(home, &address, &store.iter().map(String::as_str).collect::<Vec<_>>());
        (next, killed_at.elapsed())
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
