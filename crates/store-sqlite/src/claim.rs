//! One call of `claim_due`, which gives back what it has taken if it does not come to its end.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use escrow_store::Claimed;
use escrow_txn::{Gid, Timestamp};

use crate::timers::Timers;

#[derive(Debug)]
pub(crate) struct Claim<'a> {
    timers: &'a Mutex<Timers>,
    now: Timestamp,
    /// With the time each was due at.
    taken: Vec<(Gid, Timestamp)>,
}

impl<'a> Claim<'a> {
    pub(crate) fn new(timers: &'a Mutex<Timers>, now: Timestamp) -> Self {
        Self { timers, now, taken: Vec::new() }
    }

    /// Takes what is due, up to `limit` in all.
    pub(crate) fn take_due(&mut self, timers: &mut Timers, limit: NonZeroU32) {
        let room = (limit.get() as usize).saturating_sub(self.taken.len());
        self.taken.extend(timers.schedule.claim(self.now, room));
    }

    /// The end of the call: what was taken stays claimed.
    pub(crate) fn complete(mut self, next_due_at: Option<Timestamp>) -> Claimed {
        let gids = std::mem::take(&mut self.taken).into_iter().map(|(gid, _)| gid).collect();
        Claimed { gids, next_due_at }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
            for (gid, due_at) in self.taken.drain(..) {
                timers.schedule.release(&gid, due_at, self.now);
            }
        }
    }
}
