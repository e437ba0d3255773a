use std::collections::{BTreeSet, HashMap};

use escrow_txn::{Gid, Timestamp};

use crate::Head;

/// Who waits for what in a store that serves one process: timers and claims, in memory.
///
/// Follows the durable image: a store calls [`Schedule::stored`] once a write is durable. A transaction that is not in
/// here is final, or only its initiator can move it, or the store has kept its far timer to itself.
#[derive(Debug, Default)]
pub struct Schedule {
    places: HashMap<Gid, Place>,
    due: BTreeSet<(Timestamp, Gid)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Waits, and is due at this time; `stored` is the time that is durable.
    Waiting { at: Timestamp, stored: Option<Timestamp> },
    /// Somebody has it.
    Claimed { stored: Option<Timestamp> },
}

impl Schedule {
    /// Follows a durable write: in flight is claimed, a stored time is due then, anything else is out.
    pub fn stored(&mut self, gid: &Gid, head: &Head) {
        match (head.owner, head.next_run_at) {
            _ if head.status.is_final() => self.forget(gid),
            (Some(_), stored) => self.put(gid, Place::Claimed { stored }),
            (None, Some(at)) => self.put(gid, Place::Waiting { at, stored: Some(at) }),
            (None, None) => self.forget(gid),
        }
    }

    /// Takes a transaction up that waits until `at`, unless it is known already. Whether it was taken up.
    pub fn wait(&mut self, gid: &Gid, at: Timestamp) -> bool {
        self.take_up(gid, at, Some(at))
    }

    /// Takes a transaction up that was in flight when the store was opened, at `at`, unless it is known already. Whether it
    /// was taken up.
    pub fn resume(&mut self, gid: &Gid, at: Timestamp) -> bool {
        self.take_up(gid, at, None)
    }

    fn take_up(&mut self, gid: &Gid, at: Timestamp, stored: Option<Timestamp>) -> bool {
        let is_new = !self.places.contains_key(gid);
        if is_new {
            self.put(gid, Place::Waiting { at, stored });
        }
        is_new
    }

    /// Knows nothing of the transaction any more.
    pub fn forget(&mut self, gid: &Gid) {
        if let Some(Place::Waiting { at, .. }) = self.places.remove(gid) {
            self.due.remove(&(at, gid.clone()));
        }
    }

    /// Claims up to `limit` transactions that are due at `now`, the longest due first, each with its due time.
    pub fn claim(&mut self, now: Timestamp, limit: usize) -> Vec<(Gid, Timestamp)> {
        let mut claimed = Vec::new();
        while claimed.len() < limit && self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, gid)) = self.due.pop_first() else { break };
            if let Some(place) = self.places.get_mut(&gid)
                && let Place::Waiting { stored, .. } = *place
            {
                *place = Place::Claimed { stored };
            }
            claimed.push((gid, at));
        }
        claimed
    }

    /// Gives a claimed transaction back: it is due at `due_at`, or at the earlier time stored with it if that is still to
    /// come (one that has passed is why it was claimed). Anything else is left alone.
    pub fn release(&mut self, gid: &Gid, due_at: Timestamp, now: Timestamp) {
        if let Some(&Place::Claimed { stored }) = self.places.get(gid) {
            let at = stored.filter(|&stored| stored > now && stored < due_at).unwrap_or(due_at);
            self.put(gid, Place::Waiting { at, stored });
        }
    }

    /// Whether somebody has claimed the transaction, or has it in flight.
    pub fn is_claimed(&self, gid: &Gid) -> bool {
        matches!(self.places.get(gid), Some(Place::Claimed { .. }))
    }

    /// When the transaction is due, if it is known and waits.
    pub fn due_at(&self, gid: &Gid) -> Option<Timestamp> {
        match self.places.get(gid) {
            Some(Place::Waiting { at, .. }) => Some(*at),
            Some(Place::Claimed { .. }) | None => None,
        }
    }

    /// When the next transaction is due that nobody has claimed.
    pub fn next_due_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many transactions it knows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn put(&mut self, gid: &Gid, place: Place) {
        self.forget(gid);
        if let Place::Waiting { at, .. } = place {
            self.due.insert((at, gid.clone()));
        }
        self.places.insert(gid.clone(), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(text: &str) -> Gid {
        Gid::parse(text).unwrap()
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_release_keeps_the_earlier_stored_time_only_while_it_is_to_come() {
        let mut schedule = Schedule::default();
        schedule.wait(&gid("a"), at(10));
        assert_eq!(schedule.claim(at(10), 9), [(gid("a"), at(10))]);
        schedule.release(&gid("a"), at(30), at(12));
        assert_eq!(schedule.next_due_at(), Some(at(30)), "10 has passed");

        // A clock that was set back: 10 is to come once more.
        schedule.claim(at(30), 9);
        schedule.release(&gid("a"), at(50), at(5));
        assert_eq!(schedule.next_due_at(), Some(at(10)));
    }

    #[test]
    fn what_is_known_is_not_taken_up_again() {
        let mut schedule = Schedule::default();
        schedule.wait(&gid("a"), at(5));
        schedule.wait(&gid("a"), at(1));
        assert_eq!(schedule.next_due_at(), Some(at(5)));
        schedule.claim(at(5), 9);
        schedule.wait(&gid("a"), at(1));
        assert_eq!(schedule.next_due_at(), None);
    }
}
