//! Everything that a store holds, carried over into another one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use escrow_store::{Setting, StoreError, StoredTxn, Transfer};
use escrow_txn::Gid;

use crate::core::Core;
use crate::spill::SavedSetting;
use crate::store::LocalStore;

#[async_trait]
impl Transfer for LocalStore {
    async fn export(&self, after: Option<&Gid>, limit: NonZeroU32) -> Result<Vec<StoredTxn>, StoreError> {
        let (core, after) = (Arc::clone(&self.core), after.cloned());
        self.reads().read_long(move || export(&core, after.as_ref(), limit.get() as usize)).await
    }

    async fn import(&self, txns: Vec<StoredTxn>) -> Result<(), StoreError> {
        let core = Arc::clone(&self.core);
        self.reads().read_long(move || import(&core, txns)).await
    }

    async fn export_settings(&self) -> Result<Vec<(String, Setting)>, StoreError> {
        let table = self.core.table();
        let settings = table.settings().map(|((category, key), (version, value))| {
            (category.clone(), Setting { key: key.clone(), value: value.clone(), version: *version })
        });
        Ok(settings.collect())
    }

    async fn import_settings(&self, settings: Vec<(String, Setting)>) -> Result<(), StoreError> {
        let saved = |(category, setting): (String, Setting)| SavedSetting {
            category,
            key: setting.key,
            value: Some((setting.version, setting.value)),
        };
        let settings: Vec<_> = settings.into_iter().map(saved).collect();
        let core = Arc::clone(&self.core);
        self.reads()
            .read_long(move || {
                core.spill.save(&[], &settings)?;
                core.table().load_settings(settings);
                Ok(())
            })
            .await
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

fn import(core: &Core, txns: Vec<StoredTxn>) -> Result<(), StoreError> {
    let (finished, unfinished): (Vec<_>, Vec<_>) =
        txns.into_iter().map(Arc::new).partition(|txn| txn.head.status.is_final());
    core.spill.save(&unfinished, &[])?;
    core.archive.insert(&finished, core.clock.now())?;
    let mut table = core.table();
    table.far.any = true;
    table.far.horizon = None;
    Ok(())
}
