//! A coordinator process that is watched.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// What a coordinator under attack may use at most.
pub(crate) const MEMORY_MAX_MIB: u64 = 256;

/// A running `escrow serve` on a directory of its own; killed if the test ends early.
pub(crate) struct Coordinator {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Option<JoinHandle<String>>,
    _home: tempfile::TempDir,
}

impl Coordinator {
    /// Starts one with these settings, named as in the environment without `ESCROW_`.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_escrow")), settings)
    }

    /// One whose process may have only so many files and connections open.
    pub(crate) fn with_descriptors(count: u32, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {count} && exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_escrow"));
        Self::spawn(shell, settings)
    }

    fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        command.env_clear().current_dir(home.path());
        // The healthy participant lives in this process, which may be busier than the coordinator.
        command.env("ESCROW_TRANSACTIONS_REQUEST_TIMEOUT_SECONDS", "30");
        for (name, value) in settings {
            command.env(format!("ESCROW_{name}"), value);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--data", "data", "--log-format", "json"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |before: &str| lines.next().unwrap().unwrap().strip_prefix(before).unwrap().to_owned();
        let (address, _data) = (next("listening on http://"), next("data in "));
        let mut stderr = child.stderr.take().unwrap();
        // Read all the time: a full pipe would stop the coordinator.
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        });
        Self { address: address.parse().unwrap(), child, log: Some(log), _home: home }
    }

    /// The most memory that the process has used so far, in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib / 1024
    }

    /// Stops it in good order, and returns its log: one JSON object per line, so nothing has panicked and nothing that a
    /// client sent has broken a line.
    pub(crate) fn stop(mut self) -> Vec<serde_json::Value> {
        assert_eq!(self.child.try_wait().unwrap(), None, "it still runs");
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(stopped.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let log = self.log.take().unwrap().join().unwrap();
        assert!(!log.contains("panicked"), "{log}");
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
