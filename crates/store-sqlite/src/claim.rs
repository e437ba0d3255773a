//! One call of `claim_due`, which gives back what it has taken if it does not come to its end.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use escrow_store::{Claimed, StoreError, Versioned};
use escrow_txn::{Gid, Timestamp, Txn};

use crate::timers::Timers;

#[derive(Debug)]
pub(crate) struct Claim<'a> {
    timers: &'a Mutex<Timers>,
    now: Timestamp,
    /// With the time each was due at.
    taken: Vec<(Gid, Timestamp)>,
}

/// What was found of one that was taken.
#[derive(Debug)]
pub(crate) enum Found {
    /// It is there.
    Txn(Box<Versioned<Txn>>),
    /// It cannot be read.
    Unreadable(StoreError),
    /// It became final, or was removed, just now.
    Over,
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

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    pub(crate) fn gids(&self) -> Vec<Gid> {
        self.taken.iter().map(|(gid, _)| gid.clone()).collect()
    }

    /// The end of the call: what was taken stays claimed, or is held if it cannot be read.
    pub(crate) fn complete(mut self, found: Vec<(Found, Gid)>, next_due_at: Option<Timestamp>) -> Claimed {
        let mut claimed = Claimed { next_due_at, ..Claimed::default() };
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        for (found, gid) in found {
            match found {
                Found::Txn(txn) => claimed.txns.push(*txn),
                Found::Unreadable(error) => {
                    timers.schedule.hold(&gid);
                    claimed.unreadable.push(error);
                }
                Found::Over => timers.schedule.forget(&gid),
            }
        }
        self.taken.clear();
        claimed
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
