//! A store in memory, for tests and simulations: durable in name only.
//!
//! It keeps two images of everything, as a store with a write-behind cache does. *Pending* is what has been accepted:
//! versions are checked against it. *Durable* is what a crash leaves: everything that is read comes from it, and no reply
//! leaves before what it tells is in it. Normally a write is durable at once; a test can hold the sync back
//! ([`MemoryStore::hold_sync`]) and crash the store ([`MemoryStore::crash`]).
//!
//! It starts no tasks and no threads, iterates in a fixed order and has no clock but the one it is given, so that the same
//! calls give the same answers in every run.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use escrow_txn::{Gid, Timestamp, Txn};
use tokio::sync::watch;

use crate::{
    Change, Claimed, Clock, CommitError, Created, ListQuery, NewTxn, OwnerEpoch, Page, PutOutcome, Setting, Settings,
    SettingsError, Store, StoreError, StoredTxn, TxnSummary, Version, Versioned,
};

mod image;

use image::{SettingKey, State};

/// A store in memory. Clones are handles on the same store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Replies wait here for what they tell to be durable.
    synced: watch::Sender<Synced>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Synced {
    /// How many writes are durable.
    writes: u64,
    crashed: bool,
}

/// The store has crashed, and this handle is on its former life.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the in-memory store has crashed")]
struct Crashed;

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::open(State::default(), clock)
    }

    fn open(state: State, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, state: Mutex::new(state), synced: watch::Sender::default() }) }
    }

    /// From now on nothing becomes durable, and no write is answered, until [`MemoryStore::release_sync`].
    pub fn hold_sync(&self) {
        self.state().sync_held = true;
    }

    /// Makes everything that was held back durable, and what comes after it at once.
    pub fn release_sync(&self) {
        let mut state = self.state();
        state.sync_held = false;
        self.sync(&mut state);
    }

    /// Ends this life of the store, for all its handles, and opens the next one on what is durable.
    ///
    /// Writes that were not durable are gone: who waits for their answer gets [`StoreError::Unknown`], and every later call
    /// [`StoreError::Down`]. In the new store everything that was in flight is due at once.
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        state.crashed = true;
        self.shared.synced.send_modify(|synced| synced.crashed = true);
        let survivor = state.after_crash(self.shared.clock.now());
        Self::open(survivor, Arc::clone(&self.shared.clock))
    }

    /// Damages the stored progress of a transaction, so that its record cannot be read. Whether there is one.
    pub fn damage(&self, gid: &Gid) -> bool {
        self.state().damage(gid)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while the images differ from what was meant.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for reading.
    fn alive(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.crashed { Err(StoreError::Down { source: Crashed.into() }) } else { Ok(state) }
    }

    /// Runs a write against the pending image, and returns its outcome once everything it can tell of is durable.
    async fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let (outcome, accepted) = {
            let mut state = self.alive()?;
            let outcome = write(&mut state);
            if !state.sync_held {
                self.sync(&mut state);
            }
            (outcome, state.accepted)
        };
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as `self`, so an error cannot come up; it would mean the same as a crash.
        let reached = synced.wait_for(|synced| synced.crashed || synced.writes >= accepted).await;
        match reached {
            Ok(synced) if synced.writes >= accepted => Ok(outcome),
            _ => Err(StoreError::Unknown { source: Crashed.into() }),
        }
    }

    fn sync(&self, state: &mut State) {
        state.sync();
        let writes = state.accepted;
        self.shared.synced.send_modify(|synced| synced.writes = writes);
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, txn: NewTxn) -> Result<Created, StoreError> {
        let gid = txn.gid.clone();
        loop {
            let txn = txn.clone();
            let created = self.write(|state| state.create(txn)).await?;
            if created {
                return Ok(Created::New(Version::FIRST));
            }
            // What stands may have been purged since.
            if let Some(stands) = self.load(&gid).await? {
                return Ok(Created::Exists(Box::new(stands)));
            }
        }
    }

    async fn load(&self, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
        let state = self.alive()?;
        state.durable.txns.get(gid).map(StoredTxn::decode).transpose()
    }

    async fn commit(&self, change: Change) -> Result<Version, CommitError> {
        self.write(|state| state.commit(change.into())).await?.map_err(|current| CommitError::Conflict { current })
    }

    async fn claim_due(&self, _owner: OwnerEpoch, limit: NonZeroU32) -> Result<Claimed, StoreError> {
        let now = self.shared.clock.now();
        let mut state = self.alive()?;
        let gids = state.schedule.claim(now, limit.get() as usize).into_iter().map(|(gid, _)| gid).collect();
        Ok(Claimed { gids, next_due_at: state.schedule.next_due_at() })
    }

    async fn release(&self, gid: &Gid, due_at: Timestamp) {
        let now = self.shared.clock.now();
        self.state().schedule.release(gid, due_at, now);
    }

    async fn list(&self, query: &ListQuery) -> Result<Page<TxnSummary>, StoreError> {
        Ok(self.alive()?.list(query))
    }

    async fn purge(&self, final_before: Timestamp, limit: NonZeroU32) -> Result<u32, StoreError> {
        self.write(|state| state.purge(final_before, limit)).await
    }
}

#[async_trait]
impl Settings for MemoryStore {
    async fn get(&self, category: &str, key: &str) -> Result<Option<Setting>, StoreError> {
        let state = self.alive()?;
        Ok(state.durable.settings.get(&setting_key(category, key)).map(|row| row.setting(key)))
    }

    async fn put(
        &self,
        category: &str,
        key: &str,
        value: Bytes,
        expected: Option<Version>,
    ) -> Result<PutOutcome, SettingsError> {
        let at = setting_key(category, key);
        let put = self.write(|state| state.put_setting(at, value, expected)).await?;
        put.map(|version| PutOutcome { version }).map_err(|current| SettingsError::Conflict { current })
    }

    async fn delete(&self, category: &str, key: &str, expected: Version) -> Result<(), SettingsError> {
        let at = setting_key(category, key);
        let deleted = self.write(|state| state.delete_setting(at, expected)).await?;
        deleted.map_err(|current| SettingsError::Conflict { current })
    }

    async fn scan(&self, category: &str, after: Option<&str>, limit: NonZeroU32) -> Result<Vec<Setting>, StoreError> {
        let state = self.alive()?;
        let from = match after {
            Some(key) => Bound::Excluded(setting_key(category, key)),
            None => Bound::Included(setting_key(category, "")),
        };
        let rows = state.durable.settings.range((from, Bound::Unbounded)).take_while(|((of, _), _)| of == category);
        Ok(rows.take(limit.get() as usize).map(|((_, key), row)| row.setting(key)).collect())
    }
}

fn setting_key(category: &str, key: &str) -> SettingKey {
    (category.to_owned(), key.to_owned())
}

#[cfg(test)]
mod tests;
