use std::path::{Path, PathBuf};

use escrow_store::conformance::sample::{Sample, gid, start};
use escrow_store::conformance::{ManualClock, Subject};
use tempfile::TempDir;

use super::*;

mod crash;
mod durability;
mod files;
mod gate;
mod housekeeping;
mod queue;
mod torn_log;
mod transfer;

mod conformance {
    use super::Sqlite;

    escrow_store::conformance!(Sqlite);
    escrow_store::transfer_conformance!(Sqlite);
}

/// A store in a directory of its own, which goes with it.
struct Sqlite {
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    dir: TempDir,
}

impl Sqlite {
    fn tuned(tuning: Tuning) -> Self {
        Self::at(tempfile::tempdir().unwrap(), ManualClock::at(start()), tuning)
    }

    fn at(dir: TempDir, clock: Arc<dyn Clock>, tuning: Tuning) -> Self {
        let store = SqliteStore::open_with(&database(dir.path()), Arc::clone(&clock), tuning).unwrap();
        Self { store: Arc::new(store), clock, dir }
    }

    fn close(self) -> TempDir {
        drop(Arc::into_inner(self.store).unwrap());
        self.dir
    }

    /// Another connection to the same database, as an operator's `sqlite3` has.
    fn database(&self) -> Connection {
        Connection::open(database(self.dir.path())).unwrap()
    }
}

fn database(dir: &Path) -> PathBuf {
    dir.join("escrow.db")
}

impl Subject for Sqlite {
    type Store = SqliteStore;

    async fn open(clock: Arc<dyn Clock>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), clock, Tuning::default())
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        let clock = Arc::clone(&self.clock);
        Self::at(self.close(), clock, Tuning::default())
    }

    async fn damage(&self, gid: &Gid) {
        let sql = "UPDATE txn SET progress = CAST(substr(progress, 1, length(progress) - 1) AS BLOB) WHERE gid = ?1";
        assert_eq!(self.database().execute(sql, [gid.as_str()]).unwrap(), 1);
    }
}

/// A transaction that is in flight.
fn sample(text: &str) -> Sample {
    Sample::new(&gid(text))
}

fn new_txn(text: &str) -> NewTxn {
    sample(text).new_txn()
}

/// Whether the future has to wait when it is asked once.
async fn waits<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
