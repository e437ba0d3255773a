use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use escrow_store::{
    Backend, Change, Claimed, Clock, CommitError, Created, EmbeddedStats, EncodedChange, ListQuery, NewTxn, OwnerEpoch,
    Page, PutOutcome, Reads, Room, Setting, Settings, SettingsError, Stats, Store, StoreError, StoredTxn, TxnSummary,
    Version, Versioned,
};
use escrow_txn::{Gid, Timestamp, Txn};
use tokio::sync::watch;

use crate::core::{Core, Outcome, Request};
use crate::disk::{Disk, RealDisk};
use crate::error::OpenError;
use crate::files::{self, Files};
use crate::find::{self, Found};
use crate::keeper::Keeper;
use crate::log::Log;
use crate::record;
use crate::thread::KeeperThread;
use crate::tuning::Tuning;
use crate::writer::Writer;
use crate::{list, open};

/// A store in one directory. Dropping it waits for the writes that are under way, ends the log cleanly and releases the
/// lock.
pub struct LocalStore {
    pub(crate) core: Arc<Core>,
    // In this order: what the keeper still archives, the end of the log tells.
    keeper: KeeperThread,
    writer: Writer,
    reads: Reads,
    /// Last, so that the lock outlives all.
    _files: Files,
}

impl LocalStore {
    /// Opens the store in `dir`, and makes it if it is not there.
    ///
    /// Reads the log and no spilled transaction. What was in flight is due at once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_with(dir, clock, Tuning::default())
    }

    pub(crate) fn open_with(dir: &Path, clock: Arc<dyn Clock>, tuning: Tuning) -> Result<Self, OpenError> {
        let files = Files::lock(dir)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        if files.is_marked()? && open::is_empty(&*disk, dir)? {
            return Err(OpenError::Gone { path: dir.to_owned() });
        }
        let (core, log) = open::open(&disk, dir, clock, tuning)?;
        files.mark()?;
        let pinned = dir.to_owned();
        let may_remove = move || match files::may_remove(&pinned) {
            Ok(permit) => permit,
            Err(error) => {
                tracing::warn!(%error, "it is not known whether a backup runs: nothing is removed");
                None
            }
        };
        let keeper = Keeper::new(Arc::clone(&core), Box::new(may_remove));
        Self::start(core, log, keeper, files).map_err(|source| OpenError::Io { path: dir.to_owned(), source })
    }

    /// Starts the threads.
    fn start(core: Arc<Core>, log: Log, keeper: Keeper, files: Files) -> std::io::Result<Self> {
        let failed = Arc::new(watch::Sender::new(false));
        let (keeper, waker) = KeeperThread::start(Arc::clone(&core), keeper, Arc::clone(&failed))?;
        let writer = Writer::start(Arc::clone(&core), log, waker, failed)?;
        Ok(Self { core, keeper, writer, reads: Reads::default(), _files: files })
    }

    pub(crate) fn keeper(&self) -> &KeeperThread {
        &self.keeper
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    #[cfg(test)]
    pub(crate) async fn found(&self, gid: &Gid) -> Option<Arc<StoredTxn>> {
        self.find(gid).await.unwrap().map(|found| found.txn)
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// See [`find::elsewhere`].
    async fn elsewhere(&self, gid: &Gid) -> Result<(Option<Found>, u64), StoreError> {
        let (core, gid) = (Arc::clone(&self.core), gid.clone());
        self.reads.read(move || find::elsewhere(&core, &gid)).await
    }

    /// The transaction, wherever it is.
    async fn find(&self, gid: &Gid) -> Result<Option<Found>, StoreError> {
        match find::at_once(&self.core, gid) {
            Some(found) => Ok(found),
            None => Ok(self.elsewhere(gid).await?.0),
        }
    }

    /// Brings timers into memory, if those that are there do not say what is due next.
    async fn know_what_is_due(&self) -> Result<Option<Timestamp>, StoreError> {
        loop {
            {
                let table = self.core.table();
                let next = table.schedule.next_due_at();
                if !table.far.hides_next(next) {
                    return Ok(next);
                }
            }
            self.keeper.refill().await?;
        }
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError> {
        let record = Bytes::from(record::created(&txn));
        let new = Arc::new(StoredTxn::from(txn));
        let mut absent_since = None;
        loop {
            let request = Request::Create { new: Arc::clone(&new), record: record.clone(), absent_since };
            match self.writer.write(Room::OrBusy, request).await? {
                Outcome::Created => return Ok(Created::New(Version::FIRST)),
                Outcome::Exists(stands) => return Ok(Created::Exists(Box::new(stands.decode()?))),
                Outcome::Busy => return Err(StoreError::Busy),
                Outcome::LookElsewhere => match self.elsewhere(&new.gid).await? {
                    (Some(stands), _) => return Ok(Created::Exists(Box::new(stands.txn.decode()?))),
                    (None, mark) => absent_since = Some(mark),
                },
                other => return Err(unexpected(&other)),
            }
        }
    }

    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        self.find(gid).await?.map(|found| found.txn.decode()).transpose()
    }

    async fn commit(&self, change: Change) -> Result<Version, CommitError> {
        let change = Arc::new(EncodedChange::from(change));
        let record = Bytes::from(record::changed(&change));
        let mut elsewhere = None;
        loop {
            let request = Request::Commit { change: Arc::clone(&change), record: record.clone(), elsewhere };
            match self.writer.write(Room::OrWait, request).await? {
                Outcome::Committed(version) => return Ok(version),
                Outcome::Conflict(current) => return Err(CommitError::Conflict { current }),
                Outcome::LookElsewhere => {
                    let (found, mark) = self.elsewhere(&change.gid).await?;
                    elsewhere = Some((found.map(|found| found.txn), mark));
                }
                other => return Err(unexpected(&other).into()),
            }
        }
    }

    async fn claim_due(&self, _owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError> {
        let now = self.core.clock.now();
        self.know_what_is_due().await?;
        let mut claim = self.core.claim(now);
        claim.take_due(&mut self.core.table().schedule, limit.get() as usize);
        let next_due_at = self.know_what_is_due().await?;
        Ok(Claimed { gids: claim.complete(), next_due_at })
    }

    async fn release(&self, gid: &Gid, due_at: Timestamp) {
        let now = self.core.clock.now();
        self.core.table().schedule.release(gid, due_at, now);
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        let (core, query) = (Arc::clone(&self.core), query.clone());
        self.reads.read_long(move || list::list(&core, &query)).await
    }

    async fn purge(&self, final_before: Timestamp, limit: NonZeroU32) -> Result<u32, StoreError> {
        let version = self.core.purged_version();
        let purgeable = self.keeper.purgeable(final_before, limit.get()).await?;
        if purgeable.rows == 0 {
            // The purge before may have been kept from it.
            self.keeper.drop_purged().await?;
            return Ok(0);
        }
        let request = self.core.purge_request(purgeable.cut, version);
        match self.writer.write(Room::OrWait, request).await? {
            Outcome::Setting(_) => {}
            // Another purge was faster.
            Outcome::SettingConflict(_) => return Ok(0),
            other => return Err(unexpected(&other)),
        }
        self.keeper.drop_purged().await?;
        Ok(u32::try_from(purgeable.rows).unwrap_or(u32::MAX))
    }

    async fn is_held(&self, gid: &Gid) -> Result<bool, StoreError> {
        if self.core.spill.info().held == 0 {
            return Ok(false);
        }
        Ok(self.find(gid).await?.is_some_and(|found| found.held))
    }

    async fn release_held(&self, gid: Option<&Gid>) -> Result<u64, StoreError> {
        self.keeper.release(gid.cloned()).await
    }
}

#[async_trait]
impl Settings for LocalStore {
    async fn get(&self, category: &str, key: &str) -> Result<Option<Setting>, StoreError> {
        let at = (category.to_owned(), key.to_owned());
        let found = self.core.table().setting(&at).cloned();
        Ok(found.map(|(version, value)| Setting { key: at.1, value, version }))
    }

    async fn put(
        &self,
        category: &str,
        key: &str,
        value: Bytes,
        expected: Option<Version>,
    ) -> Result<PutOutcome, SettingsError> {
        let at = (category.to_owned(), key.to_owned());
        match self.writer.write(Room::OrWait, Request::Setting { at, value: Some(value), expected }).await? {
            Outcome::Setting(Some(version)) => Ok(PutOutcome { version }),
            Outcome::SettingConflict(current) => Err(SettingsError::Conflict { current }),
            other => Err(unexpected(&other).into()),
        }
    }

    async fn delete(&self, category: &str, key: &str, expected: Version) -> Result<(), SettingsError> {
        let at = (category.to_owned(), key.to_owned());
        let request = Request::Setting { at, value: None, expected: Some(expected) };
        match self.writer.write(Room::OrWait, request).await? {
            Outcome::Setting(None) => Ok(()),
            Outcome::SettingConflict(current) => Err(SettingsError::Conflict { current }),
            other => Err(unexpected(&other).into()),
        }
    }

    async fn scan(&self, category: &str, after: Option<&str>, limit: NonZeroU32) -> Result<Vec<Setting>, StoreError> {
        let table = self.core.table();
        let found = table.settings_of(category, after).take(limit.get() as usize);
        let setting = |(key, (version, value)): (&str, &(Version, Bytes))| Setting {
            key: key.to_owned(),
            value: value.clone(),
            version: *version,
        };
        Ok(found.map(setting).collect())
    }
}

#[async_trait]
impl Backend for LocalStore {
    async fn failed(&self) {
        self.writer.failed().await;
    }

    fn stats(&self) -> Stats {
        let core = &self.core;
        let counted = core.counters.read();
        let (spill, archive) = (core.spill.info(), core.archive.info());
        let table = core.table();
        let oldest = [table.oldest_unfinished(), spill.oldest_created_at].into_iter().flatten().min();
        let backlog = table.backlog() as u64;
        Stats {
            full: core.is_full(),
            live: table.len() as u64 - backlog,
            other_syncs: core.segments.syncs().saturating_sub(counted.batches)
                + core.spill.syncs()
                + core.archive.syncs(),
            embedded: Some(EmbeddedStats {
                segments: core.segments.count(),
                segment_bytes: core.segments.bytes(),
                archive_backlog: backlog,
                partitions: archive.partitions,
                archived: archive.rows,
                spilled: spill.rows,
                held: spill.held,
                oldest_unfinished_at: oldest.map(Timestamp::as_micros),
            }),
            ..counted
        }
    }
}

/// The writer answered with what belongs to another kind of request.
pub(crate) fn unexpected(outcome: &Outcome) -> StoreError {
    StoreError::Down { source: format!("the writer answered {outcome:?}").into() }
}
