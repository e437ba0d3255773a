//! A few connections that read, on blocking threads.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use escrow_store::{Reads, StoreError};
use rusqlite::Connection;

use crate::error::Failure;
use crate::files;

/// Connections see what is committed, and in write-ahead-log mode a commit is synced before anybody sees it: so this is the
/// durable image.
#[derive(Debug)]
pub(crate) struct Readers {
    reads: Reads,
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Connections {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Behind the connections, so that it is closed after them; see [`Files::guard`](files::Files::guard).
    _guard: Option<Arc<File>>,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, guard: Option<Arc<File>>) -> Self {
        let connections = Arc::new(Connections { database, idle: Mutex::default(), _guard: guard });
        Self { reads: Reads::default(), connections }
    }

    /// Runs `read` on a connection of its own.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(&self.connections);
        self.reads.read(move || connections.lend(read)).await
    }

    /// Runs a read that may take long, in its turn among others of its kind.
    pub(crate) async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(&self.connections);
        self.reads.read_long(move || connections.lend(read)).await
    }
}

impl Connections {
    fn lend<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| files::open_reader(&self.database), Ok).map_err(Failure::of)?;
        let result = read(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}
