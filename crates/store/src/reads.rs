use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::StoreError;

/// Reads at one time.
const READS: usize = 4;

/// How many of them may be lists. A list whose filter fits few rows may look at all of them; transactions that have to go on
/// must not wait for that.
const LISTS: usize = 2;

/// Turns for reads from a disk, each on a blocking thread.
#[derive(Debug)]
pub struct Reads {
    all: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

/// A read was not carried through: it panicked, or the runtime has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a read was broken off")]
struct BrokenOff;

impl From<BrokenOff> for StoreError {
    fn from(broken_off: BrokenOff) -> Self {
        Self::Down { source: broken_off.into() }
    }
}

impl Default for Reads {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(READS)), lists: Arc::new(Semaphore::new(LISTS)) }
    }
}

impl Reads {
    /// Runs a read.
    ///
    /// # Errors
    /// Those of `read`, and [`StoreError::Down`] if it was broken off.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.all).acquire_owned().await.map_err(|_| BrokenOff)?;
        let task = tokio::task::spawn_blocking(move || {
            // Until it has ended, even if nobody waits for it any more.
            let _permit = permit;
            read()
        });
        task.await.map_err(|_| BrokenOff)?
    }

    /// Runs a read that may take long, in its turn among others of its kind.
    ///
    /// # Errors
    /// See [`Reads::read`].
    pub async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let turn = Arc::clone(&self.lists).acquire_owned().await.map_err(|_| BrokenOff)?;
        let in_turn = move || {
            // Until it has ended, too.
            let _turn = turn;
            read()
        };
        self.read(in_turn).await
    }
}
