//! Connections to files that are not written any more.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use escrow_store::StoreError;
use rusqlite::Connection;

use crate::database::{self, Failure};
use crate::disk::Disk;

/// A database that is only read, over one connection that is opened when it is needed.
#[derive(Debug)]
pub(super) struct ClosedFile {
    pub(super) path: PathBuf,
    connection: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Idle,
    Connected(Connection),
    /// The file is being removed: connecting would make it anew.
    Gone,
}

impl ClosedFile {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, connection: Mutex::new(State::Idle) })
    }

    /// Ends its connection, and lets nobody connect any more.
    pub(super) fn give_up(&self) {
        *self.state() = State::Gone;
    }

    /// Ends its connection, unless it is in use. Whether it has none any more.
    fn try_disconnect(&self) -> bool {
        let Ok(mut state) = self.connection.try_lock() else { return false };
        if matches!(*state, State::Connected(_)) {
            *state = State::Idle;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the connections that were used last.
#[derive(Debug)]
pub(super) struct Connections {
    disk: Arc<dyn Disk>,
    kept: usize,
    /// Files that may be connected, the one used last at the end.
    recent: Mutex<VecDeque<Arc<ClosedFile>>>,
}

impl Connections {
    pub(super) fn new(disk: Arc<dyn Disk>, kept: usize) -> Self {
        Self { disk, kept: kept.max(1), recent: Mutex::default() }
    }

    /// Runs a read; `gone` is the answer of a file that is being removed.
    pub(super) fn read<T>(
        &self,
        file: &Arc<ClosedFile>,
        gone: T,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.touch(file);
        let mut state = file.state();
        if let State::Idle = *state {
            *state = State::Connected(database::connect_reader(&self.disk, &file.path).map_err(Failure::of)?);
        }
        match &*state {
            State::Connected(connection) => read(connection),
            State::Idle | State::Gone => Ok(gone),
        }
    }

    /// Forgets a file that is removed.
    pub(super) fn forget(&self, file: &Arc<ClosedFile>) {
        self.recent().retain(|recent| !Arc::ptr_eq(recent, file));
    }

    /// Notes that a file is used, and disconnects those that were used longest ago. One that is being read stays: a read can
    /// need others, and must not wait for itself.
    fn touch(&self, file: &Arc<ClosedFile>) {
        let mut recent = self.recent();
        recent.retain(|recent| !Arc::ptr_eq(recent, file));
        let mut surplus = (recent.len() + 1).saturating_sub(self.kept);
        recent.retain(|oldest| {
            let goes = surplus > 0 && oldest.try_disconnect();
            surplus -= usize::from(goes);
            !goes
        });
        recent.push_back(Arc::clone(file));
    }

    #[cfg(test)]
    pub(super) fn connected(&self) -> usize {
        self.recent().iter().filter(|file| matches!(*file.state(), State::Connected(_))).count()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<ClosedFile>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
