//! A gate before the COMMIT.

use std::sync::Condvar;
use std::time::Duration;

use super::*;

/// How long either side waits for the other before the test has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the writer finds before each of its commits: an open gate, a closed one, or an error.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    writer_waits: bool,
    error: Option<i32>,
}

impl Gate {
    /// An open gate, and the tuning of a store that has it.
    pub(super) fn new() -> (Arc<Self>, Tuning) {
        let gate = Arc::new(Self::default());
        let writers = Arc::clone(&gate);
        let before_commit: Arc<dyn Fn() -> rusqlite::Result<()> + Send + Sync> = Arc::new(move || writers.pass());
        (gate, Tuning { before_commit: Some(before_commit), ..Tuning::default() })
    }

    /// From now on no commit gets through.
    pub(super) fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.changed.notify_all();
    }

    /// From now on commits fail with this code of SQLite's; `None`: no longer.
    pub(super) fn fail(&self, code: Option<i32>) {
        self.state.lock().unwrap().error = code;
    }

    /// Returns once the writer stands before the closed gate.
    pub(super) fn await_writer(&self) {
        let state = self.state.lock().unwrap();
        let (state, _) = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.writer_waits).unwrap();
        assert!(state.writer_waits, "the writer did not come to its commit");
    }

    fn pass(&self) -> rusqlite::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.writer_waits = state.closed;
        self.changed.notify_all();
        // A test that fails leaves the gate closed, and then waits for the writer: not for ever.
        let (mut state, _) = self.changed.wait_timeout_while(state, PATIENCE, |state| state.closed).unwrap();
        state.writer_waits = false;
        match state.error {
            Some(code) => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
            None => Ok(()),
        }
    }
}
