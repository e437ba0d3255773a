use std::time::Duration;

use crate::Digest;

/// What the coordinator uses where a transaction says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How long one branch call may take.
    pub request_timeout: Duration,
    /// The base of the retry intervals.
    pub retry_interval: Duration,
    /// When an undecided TCC or XA is turned back and an undecided message is checked back.
    pub timeout_to_fail: Duration,
    /// The longest retry interval; back-off doubles up to here.
    pub retry_cap: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(3),
            retry_interval: Duration::from_secs(10),
            timeout_to_fail: Duration::from_secs(35),
            retry_cap: Duration::from_secs(600),
        }
    }
}

/// How one transaction wants to be driven. `None`, zero and empty mean: not said, the coordinator's default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How long one branch call may take.
    pub request_timeout: Option<Duration>,
    /// The base of the retry intervals.
    pub retry_interval: Option<Duration>,
    /// Saga: turned back when not finished by then (`None`: never). TCC, XA: turned back when undecided by then.
    /// Message: checked back when undecided by then.
    pub timeout_to_fail: Option<Duration>,
    /// Saga: how many unknown answers of actions are called again, at once, before the saga is turned back. 0: no limit,
    /// and the calls are spaced by the retry intervals.
    pub retry_limit: u32,
    /// Headers added to every branch call, in the order given.
    pub branch_headers: Vec<(String, String)>,
    /// Calls branches side by side instead of one after the other.
    pub concurrent: bool,
    /// Message: how long after its creation the first delivery may leave.
    pub delay: Option<Duration>,
    /// The initiator waits for the end, or for a durable wait: a submit by its own value, an abort by the one stored with
    /// the transaction.
    pub wait_result: bool,
}

/// What a submit changes of a transaction that was prepared earlier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// The options in force since then.
    pub options: Options,
    /// Free text of the initiator, in place of the one sent with prepare.
    pub custom_data: String,
    /// The digest of the steps as they were sent, where the submit brought the first ones.
    pub digest: Option<Digest>,
}

impl Options {
    /// These options with everything that `later` sets put in their place. `concurrent: true` holds once said: some
    /// clients always send `false`.
    pub fn amended_by(&self, later: &Self) -> Self {
        Self {
            request_timeout: later.request_timeout.or(self.request_timeout),
            retry_interval: later.retry_interval.or(self.retry_interval),
            timeout_to_fail: later.timeout_to_fail.or(self.timeout_to_fail),
            retry_limit: if later.retry_limit > 0 { later.retry_limit } else { self.retry_limit },
            branch_headers: if later.branch_headers.is_empty() {
                self.branch_headers.clone()
            } else {
                later.branch_headers.clone()
            },
            concurrent: self.concurrent || later.concurrent,
            delay: later.delay.or(self.delay),
            wait_result: self.wait_result,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn options() -> impl Strategy<Value = Options> {
        let time = || option::of((1_u64..100).prop_map(Duration::from_secs));
        let headers = prop::collection::vec(("[a-z]{1,3}", "[a-z]{0,3}"), 0..3);
        let flags = (any::<bool>(), any::<bool>());
        (time(), time(), time(), 0_u32..3, headers, flags, time()).prop_map(
            |(request_timeout, retry_interval, timeout_to_fail, retry_limit, branch_headers, flags, delay)| Options {
                request_timeout,
                retry_interval,
                timeout_to_fail,
                retry_limit,
                branch_headers,
                concurrent: flags.0,
                wait_result: flags.1,
                delay,
            },
        )
    }

    proptest! {
        #[test]
        fn what_a_submit_sets_holds_and_the_rest_stays(first in options(), later in options()) {
            let both = first.amended_by(&later);
            let either = |a: Option<Duration>, b: Option<Duration>| if b.is_some() { b } else { a };
            prop_assert_eq!(both.request_timeout, either(first.request_timeout, later.request_timeout));
            prop_assert_eq!(both.retry_interval, either(first.retry_interval, later.retry_interval));
            prop_assert_eq!(both.timeout_to_fail, either(first.timeout_to_fail, later.timeout_to_fail));
            prop_assert_eq!(both.delay, either(first.delay, later.delay));
            prop_assert_eq!(both.retry_limit, [first.retry_limit, later.retry_limit][usize::from(later.retry_limit > 0)]);
            prop_assert_eq!(both.concurrent, first.concurrent || later.concurrent);
            let headers = if later.branch_headers.is_empty() { &first } else { &later };
            prop_assert_eq!(&both.branch_headers, &headers.branch_headers);
            // An abort later on waits as the prepare said.
            prop_assert_eq!(both.wait_result, first.wait_result);
        }

        #[test]
        fn a_submit_that_sets_nothing_changes_nothing(first in options()) {
            prop_assert_eq!(first.amended_by(&Options::default()), first);
        }

        #[test]
        fn saying_it_twice_is_saying_it_once(first in options(), later in options()) {
            let once = first.amended_by(&later);
            prop_assert_eq!(once.amended_by(&later), once);
        }
    }
}
