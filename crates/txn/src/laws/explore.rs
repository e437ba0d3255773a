//! Breadth first through everything that can happen to a small transaction.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::moves::Move;
use super::samples::{SagaShape, definition};
use super::world::World;
use crate::{BranchOutcome, Definition, Pattern, Status};

/// How a state was first reached: from which one, by what.
type Origin = Option<(usize, Move)>;

/// What an exploration saw.
#[derive(Debug, Default)]
struct Explored {
    /// Where each state came from.
    origins: Vec<Origin>,
    statuses: Vec<Status>,
    waits_for_initiator: Vec<bool>,
    /// Where participants that answer done, and time, lead from each state.
    onward: Vec<Vec<usize>>,
}

impl Explored {
    fn path(&self, mut state: usize) -> Vec<Move> {
        let mut path = Vec::new();
        while let Some((before, step)) = self.origins[state] {
            path.push(step);
            state = before;
        }
        path.reverse();
        path
    }
}

/// Walks through everything that can happen after the beginning, and checks that all of it keeps the laws and can end.
fn explore(def: Definition, submitted: bool) -> Explored {
    let coarse = def.branches.len() > 2;
    let what =
        format!("{:?} of {} branches, {:?}, orders {:?}", def.pattern, def.branches.len(), def.options, def.orders);
    let begun = World::begin(def, submitted).unwrap_or_else(|broken| panic!("{what}: {broken}"));
    let mut known = BTreeMap::from([(begun.fingerprint(coarse), 0)]);
    let mut explored = Explored::default();
    explored.add(&begun, None);
    let mut queue = VecDeque::from([(0, begun)]);
    while let Some((from, world)) = queue.pop_front() {
        for step in world.moves() {
            let mut after = world.clone();
            if let Err(broken) = after.take(step) {
                panic!("{what}: after {:?}, {step:?}: {broken}", explored.path(from));
            }
            let new = known.len();
            let to = *known.entry(after.fingerprint(coarse)).or_insert(new);
            if matches!(step, Move::Wake | Move::Answer(_, BranchOutcome::Done)) {
                explored.onward[from].push(to);
            }
            if to == new {
                explored.add(&after, Some((from, step)));
                queue.push_back((to, after));
            }
        }
    }
    explored.check_that_all_ends(&what);
    explored
}

impl Explored {
    fn add(&mut self, world: &World, origin: Origin) {
        self.origins.push(origin);
        self.statuses.push(world.status());
        self.waits_for_initiator.push(world.waits_for_initiator());
        self.onward.push(Vec::new());
    }

    /// While participants answer done and time passes, every way ends, and it ends in a final state; what waits for its
    /// initiator may wait for ever. Ways end if they form no circle: states are taken away once nothing leads to them.
    fn check_that_all_ends(&self, what: &str) {
        let mut leading_here = vec![0_usize; self.onward.len()];
        self.onward.iter().flatten().for_each(|&to| leading_here[to] += 1);
        let mut free: Vec<usize> = (0..self.onward.len()).filter(|&state| leading_here[state] == 0).collect();
        let mut taken = 0;
        while let Some(state) = free.pop() {
            taken += 1;
            let ends = self.statuses[state].is_final() || self.waits_for_initiator[state];
            assert!(ends || !self.onward[state].is_empty(), "{what}: stuck after {:?}", self.path(state));
            for &to in &self.onward[state] {
                leading_here[to] -= 1;
                if leading_here[to] == 0 {
                    free.push(to);
                }
            }
        }
        let in_circle = (0..self.onward.len()).find(|&state| leading_here[state] > 0);
        assert_eq!(taken, self.onward.len(), "{what}: never ends after {:?}", in_circle.map(|state| self.path(state)));
    }
}

/// Explores, and checks that the exploration came everywhere.
fn explore_all(def: Definition, submitted: bool) {
    use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
    let (pattern, begun_with) = (def.pattern, def.branches.len());
    let explored = explore(def, submitted);
    let reached = |status| explored.statuses.contains(&status);
    assert!([Committed, Stopped].into_iter().all(reached), "{pattern:?} of {begun_with}");
    assert!(submitted || reached(Prepared), "{pattern:?} of {begun_with}");
    if begun_with > 0 || pattern.registers_branches() {
        let turns_back = pattern.backward_op().is_some();
        assert!(reached(Submitted) && (!turns_back || reached(Aborting)), "{pattern:?} of {begun_with}");
        assert!(reached(Aborted) || (pattern == Pattern::Message && submitted), "{pattern:?} of {begun_with}");
    }
}

/// With and without a retry limit. Each has a time-out, which also may never fire.
fn explore_sagas(steps: usize, concurrent: bool, orders: &[&[u16]]) {
    let orders: Vec<Vec<u16>> = orders.iter().map(|earlier| earlier.to_vec()).collect();
    for retry_limit in [0, 1] {
        let timeout = Some(Duration::from_secs(35));
        let shape = SagaShape { steps, concurrent, orders: orders.clone(), retry_limit, timeout };
        explore_all(shape.definition(), false);
    }
}

#[test]
fn a_sequential_saga_keeps_the_laws_whatever_happens() {
    for steps in 0..=3 {
        explore_sagas(steps, false, &[]);
    }
    explore_sagas(3, false, &[&[], &[], &[0]]);
    let without_timeout = definition(Pattern::Saga, 3);
    explore_all(without_timeout.clone(), false);
    explore_all(without_timeout, true);
}

#[test]
fn a_concurrent_saga_keeps_the_laws_whatever_happens() {
    for steps in 1..=3 {
        explore_sagas(steps, true, &[]);
    }
}

#[test]
fn a_saga_with_orders_keeps_the_laws_whatever_happens() {
    explore_sagas(2, true, &[&[], &[0]]);
    explore_sagas(2, true, &[&[1]]);
    explore_sagas(3, true, &[&[], &[0], &[1]]);
    explore_sagas(3, true, &[&[1], &[2]]);
    explore_sagas(3, true, &[&[], &[0], &[0]]);
    explore_sagas(3, true, &[&[], &[], &[0, 1]]);
}

#[test]
fn a_tcc_and_an_xa_keep_the_laws_whatever_happens() {
    for pattern in [Pattern::Tcc, Pattern::Xa] {
        for (declared, concurrent) in [(0, false), (0, true), (2, false), (3, true)] {
            let mut def = definition(pattern, declared);
            def.options.concurrent = concurrent;
            explore_all(def, false);
        }
    }
}

#[test]
fn a_message_keeps_the_laws_whatever_happens() {
    for (steps, concurrent, submitted, asks) in [
        (0, false, false, true),
        (3, false, false, true),
        (3, true, false, true),
        (3, true, true, true),
        (2, false, false, false),
    ] {
        let mut def = definition(Pattern::Message, steps);
        def.options.concurrent = concurrent;
        def.options.delay = submitted.then_some(Duration::from_secs(5));
        if !asks {
            def.check_back_url.clear();
        }
        explore_all(def, submitted);
    }
}
