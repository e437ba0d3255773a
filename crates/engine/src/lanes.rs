//! Who may call now: one lane per target, each with a cap and a bounded queue, all sharing a total round-robin, so that a
//! target which hangs delays only its own transactions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest time for which a lane puts anything off: its target may come back to life.
const PUT_OFF_MAX: Duration = Duration::from_secs(15);
/// What is taken for the time between two turns of a lane of which nothing is known yet.
const PACE_ASSUMED: Duration = Duration::from_micros(500);

/// Hands out the right to call.
#[derive(Debug)]
pub(crate) struct Lanes {
    caps: Caps,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) total: usize,
    pub(crate) per_lane: usize,
    pub(crate) queue: usize,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Lanes with somebody waiting, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

#[derive(Debug)]
struct Lane {
    name: Arc<str>,
    running: usize,
    waiting: Waiting,
    /// The time between two turns, lately, while somebody waited.
    pace: Duration,
    /// When the last turn came, or somebody began to wait.
    moved_at: Instant,
    /// The last turn that was promised to somebody who was put off.
    promised: Instant,
}

/// Who goes first in a lane's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Its transaction has answers that are not stored yet. Were it to wait behind all that has not begun, an overload would make
    /// every transaction take long, and cost an additional commit for what it has so far.
    Begun,
    New,
}

/// Those who wait in a lane, of each rank in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    begun: VecDeque<oneshot::Sender<Permit>>,
    new: VecDeque<oneshot::Sender<Permit>>,
}

/// The lane's queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LaneFull;

/// The right to make one call; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    lanes: Arc<Lanes>,
    lane: Arc<str>,
}

impl Lanes {
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, state: Mutex::default() })
    }

    /// Waits for the right to call in this lane.
    ///
    /// # Errors
    /// [`LaneFull`] if as many are waiting already as may.
    pub(crate) async fn acquire(self: &Arc<Self>, lane: &str, rank: Rank) -> Result<Permit, LaneFull> {
        let turn = {
            let mut state = self.lock();
            let State { running, lanes, turns } = &mut *state;
            let entry = lanes.entry(lane.into()).or_insert_with_key(|name| Lane::new(Arc::clone(name)));
            if *running < self.caps.total && entry.running < self.caps.per_lane && entry.waiting.is_empty() {
                *running += 1;
                entry.running += 1;
                return Ok(Permit { lanes: Arc::clone(self), lane: Arc::clone(&entry.name) });
            }
            if entry.waiting.len() >= self.caps.queue {
                return Err(LaneFull);
            }
            if entry.waiting.is_empty() {
                entry.moved_at = Instant::now();
                turns.push_back(Arc::clone(&entry.name));
            }
            let (grant, turn) = oneshot::channel();
            entry.waiting.push(grant, rank);
            turn
        };
        turn.await.map_err(|_| LaneFull)
    }

    /// How long to put off what would wait in this lane, if as many as `queue` wait there already. Whoever is put off is
    /// promised a turn of its own, at the lane's present pace, so that nobody looks again and again in vain.
    pub(crate) fn put_off(&self, lane: &str, queue: usize) -> Option<Duration> {
        let mut state = self.lock();
        let entry = state.lanes.get_mut(lane).filter(|entry| entry.waiting.len() >= queue)?;
        let now = Instant::now();
        let pace = entry.pace.max(now - entry.moved_at);
        // Before the queue is empty: a lane should not run dry because somebody is late.
        let free =
            now + pace.saturating_mul(u32::try_from(entry.waiting.len() / 2).unwrap_or(u32::MAX)).min(PUT_OFF_MAX);
        entry.promised = (entry.promised.max(free) + pace).min(now + PUT_OFF_MAX);
        Some(entry.promised - now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(self: &Arc<Self>, lane: &str) {
        let mut state = self.lock();
        state.running -= 1;
        if let Some(entry) = state.lanes.get_mut(lane) {
            entry.running -= 1;
            entry.turn_came();
            if entry.running == 0 && entry.waiting.is_empty() {
                state.lanes.remove(lane);
            }
        }
        let grants = self.grant_turns(&mut state);
        drop(state);
        // Outside the lock: a permit whose taker has gone just now is dropped here, and gives itself back.
        for (grant, permit) in grants {
            drop(grant.send(permit));
        }
    }

    /// Gives free calls to the lanes whose turn it is.
    fn grant_turns(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut grants = Vec::new();
        let mut blocked = 0;
        while state.running < self.caps.total && blocked < state.turns.len() {
            let Some(lane) = state.turns.pop_front() else { break };
            let Some(entry) = state.lanes.get_mut(&lane) else { continue };
            if entry.running >= self.caps.per_lane {
                state.turns.push_back(lane);
                blocked += 1;
                continue;
            }
            if let Some(grant) = entry.waiting.pop() {
                entry.running += 1;
                state.running += 1;
                blocked = 0;
                grants.push((grant, Permit { lanes: Arc::clone(self), lane: Arc::clone(&lane) }));
            }
            if !entry.waiting.is_empty() {
                state.turns.push_back(lane);
            } else if entry.running == 0 {
                state.lanes.remove(&lane);
            }
        }
        grants
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.begun.len() + self.new.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, grant: oneshot::Sender<Permit>, rank: Rank) {
        match rank {
            Rank::Begun => self.begun.push_back(grant),
            Rank::New => self.new.push_back(grant),
        }
    }

    /// The next. Whoever gave up its wait is passed over.
    fn pop(&mut self) -> Option<oneshot::Sender<Permit>> {
        let next = || self.begun.pop_front().or_else(|| self.new.pop_front());
        std::iter::from_fn(next).find(|grant| !grant.is_closed())
    }
}

impl Lane {
    fn new(name: Arc<str>) -> Self {
        let now = Instant::now();
        Self { name, running: 0, waiting: Waiting::default(), pace: PACE_ASSUMED, moved_at: now, promised: now }
    }

    /// Follows the pace. Without anybody who waits the calls come as they are made, which says nothing.
    fn turn_came(&mut self) {
        let now = Instant::now();
        if !self.waiting.is_empty() {
            self.pace = (self.pace * 7 + (now - self.moved_at)) / 8;
        }
        self.moved_at = now;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lanes.give_back(&self.lane);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lanes(total: usize, per_lane: usize, queue: usize) -> Arc<Lanes> {
        Lanes::new(Caps { total, per_lane, queue })
    }

    #[tokio::test]
    async fn a_full_lane_leaves_the_others_free() {
        let lanes = lanes(10, 2, 10);
        let held = (lanes.acquire("slow", Rank::New).await, lanes.acquire("slow", Rank::New).await);
        assert!(lanes.acquire("slow", Rank::New).now_or_never().is_none());
        assert!(lanes.acquire("quick", Rank::New).now_or_never().is_some());
        drop(held);
        assert!(
            lanes.acquire("slow", Rank::New).now_or_never().is_some(),
            "the one that gave up its wait holds nothing"
        );
    }

    #[tokio::test]
    async fn the_total_is_shared_in_turns() {
        let lanes = lanes(1, 1, 10);
        let first = lanes.acquire("a", Rank::New).await.unwrap();
        let mut waiting: Vec<_> = ["a", "a", "b"].map(|l| Box::pin(lanes.acquire(l, Rank::New))).into();
        assert!(waiting.iter_mut().all(|w| w.now_or_never().is_none()));
        drop(first);
        let second = (&mut waiting[0]).now_or_never().unwrap().unwrap();
        assert_eq!(&*second.lane, "a");
        drop(second);
        let third = (&mut waiting[2]).now_or_never().unwrap().unwrap();
        assert_eq!(&*third.lane, "b", "the other lane's turn comes before the second of the same lane");
    }

    #[tokio::test]
    async fn what_has_begun_goes_before_what_has_not_and_each_in_its_order() {
        let lanes = lanes(1, 1, 10);
        let mut held = lanes.acquire("a", Rank::New).await.unwrap();
        let asked = [Rank::New, Rank::Begun, Rank::New, Rank::Begun];
        let mut waiting: Vec<_> = asked.map(|rank| Box::pin(lanes.acquire("a", rank))).into();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        for expected in [1, 3, 0, 2] {
            drop(held);
            held = (&mut waiting[expected]).now_or_never().expect("it is its turn").unwrap();
        }
    }

    #[tokio::test]
    async fn a_queue_is_bounded() {
        let lanes = lanes(1, 1, 1);
        let _held = lanes.acquire("a", Rank::New).await.unwrap();
        let mut waiting = Box::pin(lanes.acquire("a", Rank::New));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(lanes.acquire("a", Rank::New).now_or_never().unwrap().unwrap_err(), LaneFull);
    }

    #[tokio::test]
    async fn any_number_that_gave_up_waiting_is_passed_over() {
        let lanes = lanes(1, 1, 1_000_000);
        let held = lanes.acquire("a", Rank::New).await.unwrap();
        for _ in 0..10_000 {
            assert!(lanes.acquire("a", Rank::New).now_or_never().is_none());
        }
        let mut waiting = Box::pin(lanes.acquire("a", Rank::New));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert!((&mut waiting).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_lane_whose_waiters_all_gave_up_is_forgotten() {
        let lanes = lanes(1, 1, 9);
        let held = lanes.acquire("a", Rank::New).await.unwrap();
        assert!(lanes.acquire("a", Rank::New).now_or_never().is_none());
        drop(held);
        assert!(lanes.lock().lanes.is_empty());
        assert_eq!(lanes.lock().running, 0);
    }

    #[tokio::test]
    async fn a_lane_nobody_uses_is_forgotten() {
        let lanes = lanes(2, 1, 1);
        drop(lanes.acquire("a", Rank::New).await);
        assert!(lanes.lock().lanes.is_empty());
        assert_eq!(lanes.lock().running, 0);
    }
}
