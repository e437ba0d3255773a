//! Counts what ended within the measured time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::LoadResult;

/// Longer than a transaction may take.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Three digits: the histogram's error stays below a thousandth.
const DIGITS: u8 = 3;

/// What has been counted so far.
#[derive(Debug)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    /// Of the measured time; `None` until it is reached.
    begin: Option<Instant>,
    end: Option<Instant>,
    /// At any time.
    made: u64,
    finished: u64,
    errors: u64,
    first_error: Option<String>,
    latency: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are in order");
        let (finished, errors, first_error) = (0, 0, None);
        Self(Mutex::new(Counted { begin: None, end: None, made: 0, finished, errors, first_error, latency }))
    }

    /// The measured time begins now.
    pub(super) fn begin(&self) -> Instant {
        *self.counted().begin.insert(Instant::now())
    }

    /// The measured time ends now.
    pub(super) fn end(&self) {
        self.counted().end = Some(Instant::now());
    }

    /// A transaction that was due then has ended now.
    pub(super) fn record(&self, due: Instant, outcome: anyhow::Result<()>) {
        let now = Instant::now();
        let mut counted = self.counted();
        counted.made += u64::from(outcome.is_ok());
        match (counted.begin, counted.end, outcome) {
            (Some(_), None, Ok(())) => {
                counted.finished += 1;
                counted.latency.saturating_record(micros(now.duration_since(due)));
            }
            (Some(_), None, Err(error)) => counted.fail(&error),
            (Some(_), Some(end), Err(error)) if due < end => counted.fail(&error),
            _ => {}
        }
    }

    /// All of it, at the end.
    pub(super) fn result(&self) -> LoadResult {
        let counted = self.counted();
        let elapsed = counted.begin.zip(counted.end).map(|(begin, end)| end.duration_since(begin));
        LoadResult {
            made: counted.made,
            finished: counted.finished,
            errors: counted.errors,
            first_error: counted.first_error.clone(),
            latency: counted.latency.clone(),
            elapsed: elapsed.unwrap_or_default(),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(format!("{error:#}"));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGO: Duration = Duration::from_millis(30);

    fn failure(what: &'static str) -> anyhow::Result<()> {
        Err(anyhow::anyhow!(what))
    }

    #[test]
    fn only_what_ends_within_the_measured_time_counts_from_when_it_was_due() {
        let tally = Tally::new();
        tally.record(Instant::now(), Ok(()));
        tally.record(Instant::now(), failure("in the warm-up"));
        let before = Instant::now();
        tally.begin();
        tally.record(before - AGO, Ok(()));
        tally.end();
        tally.record(before, Ok(()));
        let result = tally.result();
        assert_eq!((result.finished, result.errors, result.first_error), (1, 0, None));
        assert_eq!(result.made, 3);
        assert_eq!(result.latency.len(), 1);
        assert!(result.latency.max() >= 30_000);
        assert!(result.elapsed <= before.elapsed());
    }

    #[test]
    fn what_was_under_way_at_the_end_and_fails_later_is_an_error() {
        let tally = Tally::new();
        let begin = tally.begin();
        tally.end();
        tally.record(begin, failure("never answered"));
        tally.record(Instant::now(), failure("begun after the end"));
        let result = tally.result();
        assert_eq!((result.finished, result.errors), (0, 1));
        assert_eq!(result.first_error.as_deref(), Some("never answered"));
    }

    #[test]
    fn the_first_error_is_kept_and_longest_latencies_are_cut() {
        let tally = Tally::new();
        let begin = tally.begin();
        tally.record(begin, failure("first"));
        tally.record(begin, failure("second"));
        if let Some(long_ago) = begin.checked_sub(Duration::from_secs(90)) {
            tally.record(long_ago, Ok(()));
        }
        tally.end();
        let result = tally.result();
        assert_eq!((result.errors, result.first_error.as_deref()), (2, Some("first")));
        assert!(result.latency.max() < 61_000_000);
    }
}
