//! A few connections that read, on blocking threads.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::error::Failure;
use crate::files;

/// Reads at one time.
const READERS: usize = 4;

/// How many of them may be lists. A list whose filter fits few rows may look at all of them; transactions that have to go on
/// must not wait for that.
const LISTS: usize = 2;

/// Connections see what is committed, and in write-ahead-log mode a commit is synced before anybody sees it: so this is the
/// durable image.
#[derive(Debug)]
pub(crate) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Behind the connections, so that it is closed after them; see [`Files::guard`](files::Files::guard).
    _guard: Option<Arc<File>>,
    permits: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, guard: Option<Arc<File>>) -> Arc<Self> {
        Arc::new(Self {
            database,
            idle: Mutex::default(),
            _guard: guard,
            permits: Arc::new(Semaphore::new(READERS)),
            lists: Arc::new(Semaphore::new(LISTS)),
        })
    }

    /// Runs `read` on a connection of its own.
    pub(crate) async fn read<T, E>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Failure::ReadBrokenOff)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let connection = readers.take().map_err(Failure::of)?;
            let result = read(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            result
        });
        task.await.map_err(|_| Failure::ReadBrokenOff)?
    }

    /// Runs a read that may take long, in its turn among others of its kind.
    pub(crate) async fn read_long<T, E>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        // The semaphore is never closed.
        let turn = Arc::clone(&self.lists).acquire_owned().await.map_err(|_| Failure::ReadBrokenOff)?;
        let in_turn = move |connection: &Connection| {
            // Until it has ended, even if nobody waits for it any more.
            let _turn = turn;
            read(connection)
        };
        self.read(in_turn).await
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| files::open_reader(&self.database), Ok)
    }
}
