use std::sync::Arc;

use escrow_store::conformance::Subject;
use escrow_store::{Clock, Room};
use escrow_txn::Gid;
use tempfile::TempDir;

use crate::LocalStore;
use crate::core::{Outcome, Request};
use crate::record;
use crate::tuning::Tuning;

mod backups;
mod bare;
mod damage;
mod full_disk;
mod golden;
mod holds;
mod importing;
mod keeping;
mod power;
mod races;
mod rebuilding;
mod restarts;

mod conformance {
    use super::Local;

    escrow_store::conformance!(Local);
    escrow_store::transfer_conformance!(Local);
}

/// The suite once more, with everything pushed out of memory as soon as it may.
mod conformance_of_the_spilled {
    use super::Pushed;

    escrow_store::conformance!(Pushed);
    escrow_store::transfer_conformance!(Pushed);
}

/// A store in a directory of its own, which goes with it.
struct Local {
    store: Arc<LocalStore>,
    clock: Arc<dyn Clock>,
    dir: TempDir,
    tuning: Tuning,
}

impl Local {
    fn at(dir: TempDir, clock: Arc<dyn Clock>, tuning: Tuning) -> Self {
        let store = LocalStore::open_with(dir.path(), Arc::clone(&clock), tuning.clone()).unwrap();
        Self { store: Arc::new(store), clock, dir, tuning }
    }

    fn close(self) -> TempDir {
        drop(Arc::into_inner(self.store).unwrap());
        self.dir
    }
}

impl Subject for Local {
    type Store = LocalStore;

    async fn open(clock: Arc<dyn Clock>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), clock, Tuning::default())
    }

    fn store(&self) -> Arc<LocalStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        let (clock, tuning) = (Arc::clone(&self.clock), self.tuning.clone());
        Self::at(self.close(), clock, tuning)
    }

    async fn damage(&self, gid: &Gid) {
        self.store.write_damaged_progress(gid).await;
    }
}

/// A store that keeps as little as possible in the log and in memory.
struct Pushed(Local);

impl Subject for Pushed {
    type Store = LocalStore;

    async fn open(clock: Arc<dyn Clock>) -> Self {
        let mut tuning = Tuning {
            log_bytes_kept: 0,
            segments_kept: 0,
            timers_chunk: 2,
            save_batch: 2,
            archive_batch: 2,
            ..Tuning::default()
        };
        tuning.log.segment_min = 8 * 1024;
        tuning.archive.partition_rows = 3;
        Self(Local::at(tempfile::tempdir().unwrap(), clock, tuning))
    }

    fn store(&self) -> Arc<LocalStore> {
        Arc::clone(&self.0.store)
    }

    async fn reopen(self) -> Self {
        Self(self.0.reopen().await)
    }

    async fn damage(&self, gid: &Gid) {
        self.0.damage(gid).await;
    }
}

impl LocalStore {
    /// Writes a progress that cannot be read, as if it had been written so.
    async fn write_damaged_progress(&self, gid: &Gid) {
        let stands = self.found(gid).await.unwrap();
        let mut change = escrow_store::EncodedChange {
            gid: gid.clone(),
            expected: stands.version,
            write: stands.write,
            head: stands.head.clone(),
            progress: stands.progress.clone(),
            added: bytes::Bytes::new(),
            history: bytes::Bytes::new(),
        };
        change.progress.truncate(change.progress.len() - 1);
        let record = record::changed(&change).into();
        let mark = self.core.table().moves.mark();
        let elsewhere = Some((Some(stands), mark));
        let request = Request::Commit { change: Arc::new(change), record, elsewhere };
        assert!(matches!(self.writer().write(Room::OrWait, request).await, Ok(Outcome::Committed(_))));
    }
}
