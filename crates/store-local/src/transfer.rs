//! Everything that a store holds, carried over into another one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use escrow_store::{Room, Setting, StoreError, StoredTxn, Transfer};
use escrow_txn::Gid;

use crate::core::{Core, Outcome, Request, is_own};
use crate::store::{LocalStore, unexpected};

/// Settings of one request.
const SETTINGS_AT_ONCE: usize = 100;

#[async_trait]
impl Transfer for LocalStore {
    async fn export(&self, after: Option<&Gid>, limit: NonZeroU32) -> Result<Vec<StoredTxn>, StoreError> {
        let (core, after) = (Arc::clone(&self.core), after.cloned());
        self.reads().read_long(move || export(&core, after.as_ref(), limit.get() as usize)).await
    }

    async fn import(&self, txns: Vec<StoredTxn>) -> Result<(), StoreError> {
        self.keeper().import(txns).await
    }

    async fn export_settings(&self) -> Result<Vec<(String, Setting)>, StoreError> {
        let table = self.core.table();
        let settings = table.settings().filter(|(at, _)| !is_own(at)).map(|((category, key), (version, value))| {
            (category.clone(), Setting { key: key.clone(), value: value.clone(), version: *version })
        });
        Ok(settings.collect())
    }

    async fn import_settings(&self, settings: Vec<(String, Setting)>) -> Result<(), StoreError> {
        let keyed = |(category, Setting { key, value, version })| ((category, key), (version, value));
        let settings: Vec<_> = settings.into_iter().map(keyed).filter(|(at, _)| !is_own(at)).collect();
        for chunk in settings.chunks(SETTINGS_AT_ONCE) {
            match self.writer().write(Room::OrWait, Request::Import { settings: chunk.to_vec() }).await? {
                Outcome::Imported => {}
                other => return Err(unexpected(&other)),
            }
        }
        Ok(())
    }
}

/// What is finished comes before what is not, then the highest version counts.
pub(crate) fn export(core: &Core, after: Option<&Gid>, limit: usize) -> Result<Vec<StoredTxn>, StoreError> {
    let mut found: BTreeMap<Gid, StoredTxn> = BTreeMap::new();
    let mut take = |txn: StoredTxn| {
        let rank = |txn: &StoredTxn| (txn.head.status.is_final(), txn.version);
        if found.get(&txn.gid).is_none_or(|stands| rank(stands) < rank(&txn)) {
            found.insert(txn.gid.clone(), txn);
        }
    };
    let mut live: Vec<Arc<StoredTxn>> = {
        let table = core.table();
        table.rows().filter(|row| Some(&row.gid) > after).map(Arc::clone).collect()
    };
    live.sort_unstable_by(|a, b| a.gid.cmp(&b.gid));
    live.into_iter().take(limit).for_each(|row| take(StoredTxn::clone(&row)));
    core.spill.export(after, limit)?.into_iter().for_each(|spilled| take(spilled.txn));
    core.archive.export(after, limit, Some(core.purged_before()))?.into_iter().for_each(take);
    Ok(found.into_values().take(limit).collect())
}
