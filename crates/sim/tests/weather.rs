//! The simulation finds nothing in the engine, and finds every planted bug.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use escrow_sim::{CrashPoint, Mutation, Plan, Report, Sight, simulate};
use escrow_txn::Status;

const SEEDS: u64 = 500;

fn run(plan: &Plan) -> Report {
    simulate(plan).unwrap()
}

fn assert_clean(plan: &Plan) -> Report {
    let report = run(plan);
    assert!(report.violations.is_empty(), "{plan:?}: {:#?}", report.violations);
    report
}

#[test]
fn no_seed_violates_an_invariant() {
    let mut ends: BTreeMap<Option<Status>, u32> = BTreeMap::new();
    let mut crashes = 0;
    let mut sights: BTreeMap<Sight, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let report = assert_clean(&Plan::of_seed(seed));
        crashes += report.crashes;
        report.sights.into_iter().for_each(|(sight, times)| *sights.entry(sight).or_default() += times);
        for (_, status) in report.history {
            *ends.entry(status).or_default() += 1;
        }
    }
    // A simulation in which everything fails, or nothing does, proves nothing.
    let total: u32 = ends.values().sum();
    for status in [Status::Committed, Status::Aborted] {
        let share = ends.get(&Some(status)).copied().unwrap_or_default();
        assert!(share * 10 >= total, "fewer than a tenth of the transactions ended {status:?}: {ends:?}");
    }
    assert!(crashes >= SEEDS, "only {crashes} crashes in {SEEDS} seeds");
    for sight in Sight::ALL {
        assert!(sights.get(sight).is_some_and(|&times| times >= 5), "hardly ever came across {sight:?}: {sights:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let (one, two) = (run(&Plan::of_seed(seed)), run(&Plan::of_seed(seed)));
        assert_eq!(
            (one.history, one.commits, one.calls, one.sights, one.simulated),
            (two.history, two.commits, two.calls, two.sights, two.simulated),
            "seed {seed}"
        );
    }
}

#[test]
fn a_crash_at_any_commit_or_call_violates_nothing() {
    let mut points = 0;
    for seed in 0..8 {
        let calm = Plan { transactions: 5, faults_per_mille: Some(0), ..Plan::of_seed(seed) };
        let uneventful = assert_clean(&calm);
        let commits = (0..uneventful.commits).flat_map(|n| [CrashPoint::BeforeCommit(n), CrashPoint::AfterCommit(n)]);
        let calls = (0..uneventful.calls).flat_map(|n| [CrashPoint::BeforeCall(n), CrashPoint::AfterCall(n)]);
        for crash_at in commits.chain(calls) {
            assert_clean(&Plan { crash_at: Some(crash_at), ..calm.clone() });
            points += 1;
        }
    }
    assert!(points > 200, "only {points} points were tried");
}

/// Seeds until the audit finds the planted bug.
fn seeds_until_caught(mutation: Mutation) -> Option<u64> {
    (0..SEEDS).find(|&seed| !run(&Plan { mutation: Some(mutation), ..Plan::of_seed(seed) }).violations.is_empty())
}

#[test]
fn a_store_that_answers_before_it_is_durable_is_caught() {
    assert!(seeds_until_caught(Mutation::EarlyAnswer).is_some());
}

#[test]
fn a_caller_that_turns_unknown_into_refused_is_caught() {
    assert!(seeds_until_caught(Mutation::UnknownIsRefused).is_some());
}

#[test]
fn a_store_that_forgets_the_reach_is_caught() {
    assert!(seeds_until_caught(Mutation::ReachForgotten).is_some());
}
