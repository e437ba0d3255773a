use std::sync::{Mutex, PoisonError};

use escrow_txn::{Gid, Timestamp};

use crate::Schedule;

/// One call of `claim_due` on a store that serves one process: what it has taken is given back if it does not come to its end.
#[derive(Debug)]
pub struct Claim<'a, T: AsMut<Schedule>> {
    holder: &'a Mutex<T>,
    now: Timestamp,
    /// With the time each was due at.
    taken: Vec<(Gid, Timestamp)>,
}

impl<'a, T: AsMut<Schedule>> Claim<'a, T> {
    /// A call at `now`, which has taken nothing yet.
    pub fn new(holder: &'a Mutex<T>, now: Timestamp) -> Self {
        Self { holder, now, taken: Vec::new() }
    }

    /// Takes what is due, up to `limit` in all. The schedule is the holder's, whose lock the caller has.
    pub fn take_due(&mut self, schedule: &mut Schedule, limit: usize) {
        let room = limit.saturating_sub(self.taken.len());
        self.taken.extend(schedule.claim(self.now, room));
    }

    /// The end of the call: what was taken stays claimed.
    pub fn complete(mut self) -> Vec<Gid> {
        std::mem::take(&mut self.taken).into_iter().map(|(gid, _)| gid).collect()
    }
}

impl<T: AsMut<Schedule>> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
            for (gid, due_at) in self.taken.drain(..) {
                holder.as_mut().release(&gid, due_at, self.now);
            }
        }
    }
}
