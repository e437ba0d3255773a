//! Reads from the databases, on blocking threads.

use std::sync::Arc;

use escrow_store::StoreError;
use tokio::sync::Semaphore;

use crate::error::WriteFailure;

/// Reads at one time.
const READS: usize = 4;

/// How many of them may be lists. A list whose filter fits few rows may look at all of them; transactions that have to go on
/// must not wait for that.
const LISTS: usize = 2;

/// Turns for reads.
#[derive(Debug)]
pub(crate) struct Reads {
    all: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

impl Default for Reads {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(READS)), lists: Arc::new(Semaphore::new(LISTS)) }
    }
}

impl Reads {
    /// Runs a read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.all).acquire_owned().await.map_err(|_| WriteFailure::ReadBrokenOff)?;
        let task = tokio::task::spawn_blocking(move || {
            // Until it has ended, even if nobody waits for it any more.
            let _permit = permit;
            read()
        });
        task.await.map_err(|_| WriteFailure::ReadBrokenOff)?
    }

    /// Runs a read that may take long, in its turn among others of its kind.
    pub(crate) async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let turn = Arc::clone(&self.lists).acquire_owned().await.map_err(|_| WriteFailure::ReadBrokenOff)?;
        let in_turn = move || {
            let _turn = turn;
            read()
        };
        self.read(in_turn).await
    }
}
