//! How each refund goes at the bank: fixed by the seed and the refund's number, whatever happens around it.

use crate::foundation::faults::digest;

/// How often refunds go which way, of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundRates {
    /// Not final at first: `PROCESSING` once or twice.
    pub processing: u16,
    /// Finally refused under the first number or the first few, then paid.
    pub refused: u16,
    /// Finally refused under every number.
    pub hopeless: u16,
}

impl RefundRates {
    /// Every refund is paid at once.
    pub const SMOOTH: Self = Self { processing: 0, refused: 0, hopeless: 0 };
    /// A third waits, a tenth needs another number, a few fail.
    pub const MIXED: Self = Self { processing: 300, refused: 100, hopeless: 40 };
}

/// How one number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Temper {
    /// How often the answer is `PROCESSING` before it is final.
    pub(super) processing: u32,
    /// Whether the final answer is a refusal.
    pub(super) refuses: bool,
}

impl Temper {
    /// The way of `platform_refund_no`: `R…`, or `R…-1` and so on for the numbers after refusals.
    pub(super) fn of(seed: u64, rates: RefundRates, platform_refund_no: &str) -> Self {
        let (refund_no, number) = match platform_refund_no.rsplit_once('-') {
            Some((refund_no, number)) => (refund_no, number.parse().unwrap_or(0)),
            None => (platform_refund_no, 0),
        };
        let way = roll(seed, "way", refund_no);
        let refused_numbers = match way % 1000 {
            way if way < u64::from(rates.hopeless) => u64::MAX,
            way if way < u64::from(rates.hopeless) + u64::from(rates.refused) => 1 + (way % 3),
            _ => 0,
        };
        let wait = roll(seed, "wait", platform_refund_no);
        let waits = wait % 1000 < u64::from(rates.processing);
        Self {
            processing: if waits { 1 + u32::from(wait / 1000 % 2 == 1) } else { 0 },
            refuses: number < refused_numbers,
        }
    }
}

fn roll(seed: u64, what: &str, number: &str) -> u64 {
    let digest = digest(&[&seed.to_be_bytes(), what.as_bytes(), number.as_bytes()]);
    u128::from_be_bytes(digest) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tempers(seed: u64, rates: RefundRates, suffix: &str) -> Vec<Temper> {
        (0..2_000).map(|n| Temper::of(seed, rates, &format!("R{n:08}{suffix}"))).collect()
    }

    #[test]
    fn the_seed_fixes_how_refunds_go() {
        assert_eq!(tempers(1, RefundRates::MIXED, ""), tempers(1, RefundRates::MIXED, ""));
        assert_ne!(tempers(1, RefundRates::MIXED, ""), tempers(2, RefundRates::MIXED, ""));
        assert!(tempers(1, RefundRates::SMOOTH, "").iter().all(|one| !one.refuses && one.processing == 0));
    }

    #[test]
    fn a_few_are_refused_under_every_number_and_more_under_the_first() {
        let refused = |suffix| tempers(1, RefundRates::MIXED, suffix).iter().filter(|one| one.refuses).count();
        let counts = ["", "-1", "-2", "-3"].map(refused);
        assert!(counts.is_sorted_by(|before, after| before > after), "{counts:?}");
        assert!((40..160).contains(&counts[3]), "{counts:?}");
        assert!((200..360).contains(&counts[0]), "{counts:?}");
    }
}
