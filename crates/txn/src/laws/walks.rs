//! Random walks through larger transactions.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::moves::Move;
use super::samples::{SagaShape, definition};
use super::world::{Broken, World};
use crate::{BranchOutcome, Definition, Pattern};

/// One random step: which of the moves, how long after the one before, and whether the store answers.
#[derive(Clone, Debug)]
struct Stride {
    which: Index,
    after: Duration,
    store_answers: bool,
}

fn strides() -> impl Strategy<Value = Vec<Stride>> {
    let stride = (any::<Index>(), 0_u64..3_000, prop::bool::weighted(0.8));
    let stride =
        stride.prop_map(|(which, ms, store_answers)| Stride { which, after: Duration::from_millis(ms), store_answers });
    vec(stride, 1..80)
}

/// A saga of up to 8 steps; where it is concurrent, with a random graph of orders.
fn saga() -> impl Strategy<Value = Definition> {
    let edges = vec(any::<[bool; 8]>(), 8);
    let ranks = Just((0..8).collect::<Vec<u16>>()).prop_shuffle();
    (1_usize..=8, any::<bool>(), edges, ranks, 0_u32..3, any::<bool>()).prop_map(
        |(steps, concurrent, edges, ranks, retry_limit, has_timeout)| {
            let rank = |step: usize| if concurrent { ranks[step] } else { step as u16 };
            let earlier = |step: usize| {
                (0..steps).filter(|&e| rank(e) < rank(step) && edges[step][e]).map(|e| e as u16).collect()
            };
            let orders = (0..steps).map(earlier).collect();
            let timeout = has_timeout.then_some(Duration::from_secs(35));
            SagaShape { steps, concurrent, orders, retry_limit, timeout }.definition()
        },
    )
}

fn others() -> impl Strategy<Value = Definition> {
    let patterns = prop::sample::select(vec![Pattern::Tcc, Pattern::Xa, Pattern::Message]);
    (patterns, 0_usize..=8, any::<bool>()).prop_map(|(pattern, branches, concurrent)| {
        let mut def = definition(pattern, branches);
        def.options.concurrent = concurrent;
        def
    })
}

/// Walks, then lets every participant answer done: it has to end.
fn walk(def: Definition, submitted: bool, strides: &[Stride]) -> Result<(), Broken> {
    let mut world = World::begin(def, submitted)?;
    for stride in strides {
        world.now = world.now.plus(stride.after);
        // An operator's force would end nearly every walk.
        let moves: Vec<Move> = world.moves().into_iter().filter(|&step| step != Move::ForceStop).collect();
        let step = *stride.which.get(&moves);
        if stride.store_answers { world.take(step) } else { world.take_without_settling(step) }
            .map_err(|broken| format!("{step:?}: {broken}"))?;
    }
    world.settle()?;
    for _ in 0..200 {
        if world.status().is_final() {
            return [Move::Submit, Move::Abort, Move::RetryNow].into_iter().try_for_each(|step| world.take(step));
        }
        let step = match world.in_flight.first() {
            Some(&call) => Move::Answer(call, BranchOutcome::Done),
            None if world.waits_for_initiator() => Move::Submit,
            None => Move::Wake,
        };
        world.take(step)?;
    }
    Err(format!("still {:?} although every participant answers done", world.status()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_large_saga_keeps_the_laws_on_random_walks(def in saga(), submitted in any::<bool>(), strides in strides()) {
        prop_assert_eq!(walk(def, submitted, &strides), Ok(()));
    }

    #[test]
    fn other_large_transactions_keep_the_laws_on_random_walks(def in others(), strides in strides()) {
        prop_assert_eq!(walk(def, false, &strides), Ok(()));
    }
}
