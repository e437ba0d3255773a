use std::sync::{Arc, PoisonError, RwLock};

use super::partition::Partition;
use crate::filter::{Fingerprint, GidFilter};

/// Fewer partitions than this are asked one by one.
const PARTITIONS_MIN: usize = 8;

/// Fingerprints are put in and taken out in pieces: whoever asks meanwhile does not wait for all of them.
const FINGERPRINTS_AT_ONCE: usize = 256;

/// One filter over all partitions, when they are many: a gid that was never used, as nearly every new one, is denied at once.
///
/// It has each fingerprint as often as the partitions' filters together, so that those of a partition that is removed can be
/// taken out. It is made and changed by whoever writes; until it is made, and when it says *maybe*, the partitions are asked.
#[derive(Debug, Default)]
pub(super) struct Front(RwLock<Option<GidFilter>>);

impl Front {
    /// Whether no partition has the gid.
    pub(super) fn denies(&self, fingerprint: Fingerprint) -> bool {
        let filter = self.0.read().unwrap_or_else(PoisonError::into_inner);
        filter.as_ref().is_some_and(|filter| !filter.may_hold(fingerprint))
    }

    /// Makes it, or makes it anew and larger, if it has no room for so many more gids: it never grows while others ask it.
    pub(super) fn prepare(&self, partitions: &[Arc<Partition>], more: u64) {
        let has_room = |filter: &GidFilter| filter.has_room(more);
        let is_ready = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(has_room);
        if is_ready || partitions.len() < PARTITIONS_MIN {
            return;
        }
        let mut fingerprints = Vec::new();
        let is_complete = partitions.iter().all(|partition| match partition.fingerprints() {
            Some(more) => {
                fingerprints.extend(more);
                true
            }
            None => false,
        });
        let capacity = (fingerprints.len() as u64 + more) * 3 / 2;
        let filter = is_complete.then(|| GidFilter::of(fingerprints, capacity));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }

    /// Follows a partition's filter, before anybody can see the rows.
    pub(super) fn insert(&self, new: &[Fingerprint]) {
        self.change(new, GidFilter::insert_counted);
    }

    /// Follows the removal of a partition that nobody asks any more.
    pub(super) fn remove(&self, partition: &Partition) {
        self.change(&partition.fingerprints().unwrap_or_default(), GidFilter::remove);
    }

    fn change(&self, fingerprints: &[Fingerprint], change: impl Fn(&mut GidFilter, Fingerprint)) {
        for piece in fingerprints.chunks(FINGERPRINTS_AT_ONCE) {
            let mut filter = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let Some(filter) = &mut *filter else { return };
            piece.iter().for_each(|fingerprint| change(filter, *fingerprint));
        }
    }
}
