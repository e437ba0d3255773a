//! What a store has to hold: what was acknowledged, and what may have happened besides.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use escrow_store::{StoredTxn, Version};
use escrow_txn::{Gid, Timestamp};

use crate::record::SettingKey;

/// What is known of one gid: every image that it may have, the acknowledged one first.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// `None`: absent.
    pub(super) acknowledged: Option<Arc<StoredTxn>>,
    /// What was asked for since, and not acknowledged.
    pub(super) attempted: Vec<Option<Arc<StoredTxn>>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct KnownSetting {
    pub(super) acknowledged: Option<(Version, Bytes)>,
    pub(super) attempted: Vec<Option<(Version, Bytes)>>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) txns: BTreeMap<Gid, Known>,
    pub(super) settings: BTreeMap<SettingKey, KnownSetting>,
    /// Finished ones from before are gone.
    pub(super) purged_before: Timestamp,
    /// The same, asked for and not acknowledged.
    pub(super) purge_attempted: Option<Timestamp>,
}

impl Known {
    /// Whether this can be found, by one who knows of a purge.
    pub(super) fn is_possible(&self, found: &Option<Arc<StoredTxn>>, purged_before: Timestamp) -> bool {
        let shown = |image: &Option<Arc<StoredTxn>>| image.clone().filter(|row| !is_purged(row, purged_before));
        std::iter::once(&self.acknowledged).chain(&self.attempted).any(|image| shown(image) == *found)
    }
}

impl KnownSetting {
    pub(super) fn is_possible(&self, found: Option<&(Version, Bytes)>) -> bool {
        std::iter::once(&self.acknowledged).chain(&self.attempted).any(|value| value.as_ref() == found)
    }
}

impl Model {
    pub(super) fn acknowledged(&self, gid: &Gid) -> Option<&Arc<StoredTxn>> {
        self.txns.get(gid)?.acknowledged.as_ref()
    }

    pub(super) fn attempt(&mut self, row: Arc<StoredTxn>) {
        let known = self.txns.entry(row.gid.clone()).or_insert(Known { acknowledged: None, attempted: vec![] });
        known.attempted.push(Some(row));
    }

    /// The last attempt was acknowledged.
    pub(super) fn acknowledge(&mut self, gid: &Gid) {
        if let Some(known) = self.txns.get_mut(gid)
            && let Some(last) = known.attempted.pop()
        {
            known.acknowledged = last;
            known.attempted.clear();
        }
    }

    /// Nothing happened.
    pub(super) fn withdraw(&mut self, gid: &Gid) {
        if let Some(known) = self.txns.get_mut(gid) {
            known.attempted.pop();
        }
    }

    /// A purge was acknowledged.
    pub(super) fn purge(&mut self, before: Timestamp) {
        self.purged_before = self.purged_before.max(before);
        self.purge_attempted = None;
        for known in self.txns.values_mut() {
            if known.acknowledged.as_ref().is_some_and(|row| is_purged(row, before)) {
                known.acknowledged = None;
            }
        }
    }

    /// What was found after a restart is what there is from now on. It has to be one of what is possible.
    pub(super) fn settle(&mut self, gid: &Gid, found: Option<Arc<StoredTxn>>) {
        let Some(known) = self.txns.get_mut(gid) else {
            assert!(found.is_none(), "{gid} was never created: {found:?}");
            return;
        };
        assert!(
            known.is_possible(&found, Timestamp::from_micros(0)),
            "{gid}: found {}; acknowledged {}; attempted {:?}",
            shown(found.as_ref()),
            shown(known.acknowledged.as_ref()),
            known.attempted.iter().map(|image| shown(image.as_ref())).collect::<Vec<_>>()
        );
        *known = Known { acknowledged: found, attempted: vec![] };
    }

    /// The same for a setting.
    pub(super) fn settle_setting(&mut self, at: &SettingKey, found: Option<&(Version, Bytes)>) {
        let known = self.settings.entry(at.clone()).or_default();
        assert!(known.is_possible(found), "{at:?}: found {found:?} of {known:?}");
        *known = KnownSetting { acknowledged: found.cloned(), attempted: vec![] };
    }
}

pub(super) fn is_purged(row: &StoredTxn, before: Timestamp) -> bool {
    row.head.status.is_final() && row.head.finished_at.is_some_and(|at| at < before)
}

fn shown(row: Option<&Arc<StoredTxn>>) -> String {
    row.map_or("nothing".to_owned(), |row| format!("v{} {:?} w{}", row.version.0, row.head.status, row.write.0))
}
