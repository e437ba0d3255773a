use std::hash::{DefaultHasher, Hash, Hasher};

use super::world::{World, save_at};
use crate::{CallId, OpProgress, Progress, Reach, Status, Timestamp, message};

impl World {
    /// A number that is equal for worlds in which the same can happen: of a time it counts only
    /// whether it is still to come, and of the deadline whether it comes next.
    ///
    /// Of a concurrent transaction without orders, branches may change places. With `coarse`, what became of the actions of
    /// a saga that has turned back does not count.
    pub(super) fn fingerprint(&self, coarse: bool) -> u64 {
        let durable = self.stored.as_ref().map(|txn| &txn.progress);
        let live = &self.drive.txn.progress;
        let to_come = |at: Option<Timestamp>| at.is_some_and(|at| at > self.now);
        let op = |op: &OpProgress| (op.status, to_come(op.next_at));
        let forward = |progress: &Progress, index: usize| {
            let over = coarse && progress.status == Status::Aborting;
            let (status, to_come) = op(&progress.branches.get(index)?.forward);
            Some((status, to_come && !over))
        };
        let backward =
            |progress: &Progress, index: usize| progress.branches.get(index).map(|branch| op(&branch.backward));
        let of_branch = |index: usize| {
            let of_progress = |p: &Progress| (forward(p, index), backward(p, index), p.reach.covers(index));
            let in_flight: Vec<_> =
                self.in_flight.iter().filter(|call| call.branch == Some(index)).map(|c| c.op).collect();
            let facts = self.facts.of(index, coarse && durable.is_some_and(|d| d.status == Status::Aborting));
            hash(&(of_progress(live), durable.map(of_progress), self.drive.started.covers(index), in_flight, facts))
        };
        let mut branches: Vec<u64> = (0..self.def().branches.len()).map(of_branch).collect();
        if self.drive.txn.options().concurrent && self.def().orders.is_empty() {
            branches.sort_unstable();
        }
        let rest = |p: &Progress| (p.status, p.retries, to_come(p.next_run_at), op(&p.check_back), p.amended.is_some());
        let counts = (self.stored.as_ref().map(|txn| txn.def.branches.len()), self.facts.unknown_actions);
        let reaches =
            [&live.reach, durable.map_or(&live.reach, |d| &d.reach), &self.drive.started].map(|r| *r == Reach::All);
        let deadline = self.drive.deadline().map(|(at, _)| at);
        let deadline_is_next = deadline == self.wake_at();
        let times = [deadline, message::not_before(&self.drive), self.drive.unsaved_since.map(save_at)].map(to_come);
        let checks_back = self.in_flight.contains(&CallId::CHECK_BACK);
        let drive = (times, deadline_is_next, self.drive.unsaved_since.is_some(), checks_back);
        hash(&(branches, rest(live), durable.map(rest), counts, reaches, drive))
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
