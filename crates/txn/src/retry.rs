//! When an operation is asked again.

use std::time::Duration;

use crate::{Defaults, Moment, Options, Timestamp};

/// The shortest base interval that a transaction may ask for.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Retries are spread over this share of their interval, so that a million waiting transactions do not wake at once.
const JITTER_SHARE: f64 = 0.15;

/// The base of a transaction's retry intervals.
pub(crate) fn base_interval(options: &Options, defaults: &Defaults) -> Duration {
    match (options.retry_interval, options.timeout_to_fail) {
        (Some(interval), _) => interval.max(INTERVAL_MIN),
        (None, Some(timeout)) if timeout < defaults.retry_interval => timeout.max(INTERVAL_MIN),
        (None, _) => defaults.retry_interval,
    }
}

/// When to ask again after `failures` unknown answers in a row: the base doubles with each, up to the cap, or stays as it
/// is where the transaction asks for a longer base than that.
pub(crate) fn after_failure(base: Duration, failures: u32, cap: Duration, moment: Moment) -> Timestamp {
    let doubled = 2_u32.checked_pow(failures).and_then(|factor| base.checked_mul(factor)).unwrap_or(Duration::MAX);
    spread(doubled.min(cap.max(base)), moment)
}

/// When to ask again after *in progress*: at the base interval, whatever came before.
pub(crate) fn after_in_progress(base: Duration, moment: Moment) -> Timestamp {
    spread(base, moment)
}

fn spread(interval: Duration, moment: Moment) -> Timestamp {
    moment.now.plus(interval.mul_f64(1.0 + JITTER_SHARE * moment.jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(600);

    fn wait(failures: u32, jitter: f64) -> Duration {
        let now = Timestamp::from_micros(1_000);
        after_failure(SECOND, failures, CAP, Moment { now, jitter }).since(now)
    }

    #[test]
    fn the_first_retry_comes_after_twice_the_base_and_doubles_up_to_the_cap() {
        assert_eq!([1, 2, 3].map(|n| wait(n, 0.0)), [2, 4, 8].map(Duration::from_secs));
        assert_eq!(wait(10, 0.0), CAP);
        assert_eq!(wait(u32::MAX, 0.0), CAP);
    }

    #[test]
    fn the_base_is_what_the_transaction_says_or_a_shorter_timeout_or_the_default() {
        let defaults = Defaults::default();
        let base = |retry_interval: Option<u64>, timeout: Option<u64>| {
            let options = Options {
                retry_interval: retry_interval.map(Duration::from_secs),
                timeout_to_fail: timeout.map(Duration::from_secs),
                ..Options::default()
            };
            base_interval(&options, &defaults).as_secs()
        };
        assert_eq!(base(Some(150), Some(3)), 150);
        assert_eq!(base(None, Some(3)), 3);
        assert_eq!(base(None, Some(60)), 10);
        assert_eq!(base(None, None), 10);
    }

    proptest! {
        #[test]
        fn a_retry_is_never_early_and_at_most_15_percent_late(failures in 1_u32..40, jitter in 0.0_f64..1.0) {
            let exact = wait(failures, 0.0);
            let spread = wait(failures, jitter);
            prop_assert!(spread >= exact && spread <= exact.mul_f64(1.151));
        }
    }
}
