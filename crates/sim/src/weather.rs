//! What goes wrong, and how often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::CrashPoint;

/// One simulation: everything in it follows from this.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many transactions the clients begin.
    pub transactions: usize,
    /// Faults per thousand of everything that can go wrong; `None`: drawn from the seed.
    pub faults_per_mille: Option<u32>,
    /// Crashes at exactly this point, and nowhere else; `None`: at random points.
    pub crash_at: Option<CrashPoint>,
    /// A planted bug.
    pub mutation: Option<Mutation>,
}

impl Plan {
    /// The ordinary simulation of a seed.
    pub fn of_seed(seed: u64) -> Self {
        Self { seed, transactions: 12, faults_per_mille: None, crash_at: None, mutation: None }
    }
}

/// A bug planted at a seam, to see that the audit finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The store answers before the write is durable.
    EarlyAnswer,
    /// The caller takes *unknown* for *refused*.
    UnknownIsRefused,
    /// The store forgets the reach of a saga when it loads it.
    ReachForgotten,
}

/// Chance, and whether things still go wrong.
#[derive(Clone, Debug)]
pub struct Weather {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: ChaCha8Rng,
    faults_per_mille: u32,
}

impl Weather {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let drawn = [20, 60, 150, 300][rng.random_range(0..4)];
        let faults_per_mille = plan.faults_per_mille.unwrap_or(drawn);
        Self { state: Arc::new(Mutex::new(State { rng, faults_per_mille })) }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a fault happens here.
    pub(crate) fn fault(&self) -> bool {
        self.with(|s| s.rng.random_range(0..1_000) < s.faults_per_mille)
    }

    /// Whether something happens that has nothing to do with faults.
    pub(crate) fn chance(&self, per_mille: u32) -> bool {
        self.with(|s| s.rng.random_range(0..1_000) < per_mille)
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        self.with(|s| s.rng.random_range(0..end.max(1)))
    }

    /// A time of up to `max` milliseconds.
    pub(crate) fn millis(&self, max: u64) -> Duration {
        self.with(|s| Duration::from_millis(s.rng.random_range(0..=max)))
    }

    /// A share in `[0, 1)`.
    pub(crate) fn share(&self) -> f64 {
        self.with(|s| s.rng.random())
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear_up(&self) {
        self.with(|s| s.faults_per_mille = 0);
    }
}
