use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use crate::filter::{Fingerprint, GidFilter};

/// A filter over the gids of the database; until it is built, it says *maybe* to everything. Nothing is written before.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(RwLock<Option<GidFilter>>);

impl Fingerprints {
    pub(super) fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        let filter = self.0.read().unwrap_or_else(PoisonError::into_inner);
        filter.as_ref().is_none_or(|filter| filter.may_hold(fingerprint))
    }

    /// These are all.
    pub(super) fn build(&self, fingerprints: Vec<Fingerprint>) {
        *self.write() = Some(GidFilter::of(fingerprints, 0));
    }

    /// These gids are being inserted, and were not there.
    pub(super) fn insert(&self, fingerprints: &[Fingerprint]) {
        if let Some(filter) = &mut *self.write() {
            fingerprints.iter().for_each(|fingerprint| filter.insert_counted(*fingerprint));
        }
    }

    /// These gids were there, or were about to be, and are not any more.
    pub(super) fn remove(&self, fingerprints: &[Fingerprint]) {
        if let Some(filter) = &mut *self.write() {
            fingerprints.iter().for_each(|fingerprint| filter.remove(*fingerprint));
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<GidFilter>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
