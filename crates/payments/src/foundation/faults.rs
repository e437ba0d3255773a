//! Faults on purpose: what a network and slow machines do, decided by a seed.
//!
//! *Request lost* and *reply lost* are different faults: the caller cannot tell them apart, but after the second one the work
//! is done. A fault depends on seed, place, call and how often that call was seen there, not on the order in which different
//! calls happen to arrive.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// How often each fault happens, in calls per thousand. Together at most 1000; what is over is cut off, last row first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultRates {
    /// The connection breaks before the call is processed.
    pub request_lost: u16,
    /// The call is processed, then the connection breaks without an answer.
    pub reply_lost: u16,
    /// The call is processed after a delay of up to [`FaultRates::slow_ms_max`].
    pub slow: u16,
    /// Longest delay of a slow call, in milliseconds.
    pub slow_ms_max: u64,
    /// A Try is refused, code [`INJECTED`], without being processed.
    pub try_refused: u16,
    /// A Try is processed only after [`FaultRates::try_late_ms`], whether or not its caller still waits.
    pub try_late: u16,
    /// The delay of a late Try, in milliseconds: just past the transaction's time-out, so that it comes after its own cancel and
    /// before the Try of the next attempt, whose live row would keep it out.
    pub try_late_ms: u64,
}

/// The code of an injected refusal.
pub const INJECTED: &str = "INJECTED";

/// How rough the weather is.
///
/// | per thousand calls | off | low | high |
/// |---|---|---|---|
/// | request lost | 0 | 10 | 30 |
/// | reply lost | 0 | 10 | 30 |
/// | slow (up to) | 0 | 20 (100 ms) | 50 (300 ms) |
/// | Try refused | 0 | 5 | 20 |
/// | Try late (by) | 0 | 0 | 20 (3.15 s) |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChaosLevel {
    /// No faults.
    Off,
    /// Now and then.
    Low,
    /// All the time, and actions that come after their undo.
    High,
}

impl ChaosLevel {
    /// The level's rates.
    pub fn rates(self) -> FaultRates {
        match self {
            Self::Off => FaultRates::default(),
            Self::Low => FaultRates {
                request_lost: 10,
                reply_lost: 10,
                slow: 20,
                slow_ms_max: 100,
                try_refused: 5,
                ..FaultRates::default()
            },
            Self::High => FaultRates {
                request_lost: 30,
                reply_lost: 30,
                slow: 50,
                slow_ms_max: 300,
                try_refused: 20,
                try_late: 20,
                try_late_ms: 3_150,
            },
        }
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Not processed, no answer.
    RequestLost,
    /// Processed, no answer.
    ReplyLost,
    /// Processed after this long.
    Slow(Duration),
    /// A Try answered with a refusal, not processed.
    TryRefused,
    /// A Try processed after this long, past its transaction's time-out.
    TryLate(Duration),
}

/// How many faults of each kind were injected so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts {
    /// Requests lost.
    pub request_lost: u64,
    /// Replies lost.
    pub reply_lost: u64,
    /// Calls slowed down.
    pub slow: u64,
    /// Tries refused.
    pub try_refused: u64,
    /// Tries delayed past their time-out.
    pub try_late: u64,
}

impl FaultCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.request_lost + self.reply_lost + self.slow + self.try_refused + self.try_late
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_lost, reply_lost, slow, try_refused, try_late } = self;
        write!(
            out,
            "{request_lost} requests lost, {reply_lost} replies lost, {slow} calls slow, \
             {try_refused} Tries refused, {try_late} Tries late"
        )
    }
}

/// The source of all faults of a platform. Clones share counters and memory.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seed: u64,
    rates: FaultRates,
    /// How often each call was seen at each place. Grows with the number of distinct calls of a run.
    seen: Mutex<HashMap<[u8; 16], u32>>,
    request_lost: AtomicU64,
    reply_lost: AtomicU64,
    slow: AtomicU64,
    try_refused: AtomicU64,
    try_late: AtomicU64,
}

impl Faults {
    /// Faults at these rates, fixed by the seed.
    pub fn new(seed: u64, rates: FaultRates) -> Self {
        Self(Arc::new(Inner {
            seed,
            rates,
            seen: Mutex::default(),
            request_lost: AtomicU64::default(),
            reply_lost: AtomicU64::default(),
            slow: AtomicU64::default(),
            try_refused: AtomicU64::default(),
            try_late: AtomicU64::default(),
        }))
    }

    /// No faults at all.
    pub fn none() -> Self {
        Self::new(0, FaultRates::default())
    }

    /// What has been injected so far.
    pub fn counts(&self) -> FaultCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FaultCounts {
            request_lost: read(&self.0.request_lost),
            reply_lost: read(&self.0.reply_lost),
            slow: read(&self.0.slow),
            try_refused: read(&self.0.try_refused),
            try_late: read(&self.0.try_late),
        }
    }

    /// Decides about the next appearance of call `key` at `place`, and counts it. Only a Try can be refused or late.
    pub fn next(&self, place: &str, key: &str, is_try: bool) -> Fault {
        if self.0.rates == FaultRates::default() {
            return Fault::None;
        }
        let call = digest(&[place.as_bytes(), key.as_bytes()]);
        let attempt = self.attempt(call);
        let roll = digest(&[&self.0.seed.to_be_bytes(), &call, &attempt.to_be_bytes()]);
        let fault = self.0.rates.pick(roll, is_try);
        self.count(fault);
        fault
    }

    fn attempt(&self, call: [u8; 16]) -> u32 {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = seen.entry(call).or_default();
        *attempt += 1;
        *attempt
    }

    fn count(&self, fault: Fault) {
        let counter = match fault {
            Fault::None => return,
            Fault::RequestLost => &self.0.request_lost,
            Fault::ReplyLost => &self.0.reply_lost,
            Fault::Slow(_) => &self.0.slow,
            Fault::TryRefused => &self.0.try_refused,
            Fault::TryLate(_) => &self.0.try_late,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl FaultRates {
    /// The fault that a roll of 128 random bits stands for.
    fn pick(&self, roll: [u8; 16], is_try: bool) -> Fault {
        let roll = u128::from_be_bytes(roll);
        let mut left = u16::try_from(roll % 1000).unwrap_or(0);
        let spread = roll / 1000;
        let slow_ms = 1 + u64::try_from(spread % u128::from(self.slow_ms_max.max(1))).unwrap_or(0);
        let try_rate = |rate| if is_try { rate } else { 0 };
        for (rate, fault) in [
            (self.request_lost, Fault::RequestLost),
            (self.reply_lost, Fault::ReplyLost),
            (self.slow, Fault::Slow(Duration::from_millis(slow_ms))),
            (try_rate(self.try_refused), Fault::TryRefused),
            (try_rate(self.try_late), Fault::TryLate(Duration::from_millis(self.try_late_ms))),
        ] {
            if left < rate {
                return fault;
            }
            left -= rate;
        }
        Fault::None
    }
}

/// The first 128 bits of a hash over the parts, each prefixed by its length.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.finalize()[..16]);
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, is_try: bool) -> (Vec<Fault>, FaultCounts) {
        let faults = Faults::new(seed, ChaosLevel::High.rates());
        let list = (0..20_000).map(|n| faults.next("funds", &format!("call-{n}"), is_try)).collect();
        (list, faults.counts())
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_one_others() {
        assert_eq!(run(7, true), run(7, true));
        assert_ne!(run(7, true).0, run(8, true).0);
    }

    #[test]
    fn a_fault_depends_on_the_attempt_but_not_on_the_order_of_other_calls() {
        let rates = ChaosLevel::High.rates();
        let (one, other) = (Faults::new(1, rates), Faults::new(1, rates));
        let a_first: Vec<Fault> = (0..200).map(|_| one.next("funds", "a", true)).collect();
        for _ in 0..200 {
            other.next("funds", "b", true);
        }
        let a_second: Vec<Fault> = (0..200).map(|_| other.next("funds", "a", true)).collect();
        assert_eq!(a_first, a_second);
        assert!(a_first.iter().any(|fault| *fault != a_first[0]), "attempts differ");
    }

    #[test]
    fn faults_come_about_as_often_as_their_rates_say() {
        let (list, counts) = run(3, true);
        let expected =
            [(counts.request_lost, 30), (counts.reply_lost, 30), (counts.slow, 50), (counts.try_refused, 20)];
        for (count, per_mille) in expected.into_iter().chain([(counts.try_late, 20)]) {
            assert!(count.abs_diff(per_mille * 20) < per_mille * 5, "{count} of {per_mille} per mille in 20,000");
        }
        assert_eq!(list.iter().filter(|fault| **fault != Fault::None).count() as u64, counts.total());
    }

    #[test]
    fn only_a_try_is_refused_or_late() {
        let (_, counts) = run(3, false);
        assert_eq!((counts.try_refused, counts.try_late), (0, 0));
        assert!(counts.request_lost > 0);
    }

    #[test]
    fn without_rates_nothing_happens() {
        let faults = Faults::none();
        assert!((0..1000).all(|n| faults.next("funds", &n.to_string(), true) == Fault::None));
        assert_eq!(faults.counts(), FaultCounts::default());
    }
}
