use std::fmt;
use std::time::Duration;

/// A moment of the store's clock, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `duration` later; the end of time if that cannot be represented.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// When an event is applied, and the random share of the retry it may cause.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The store's clock.
    pub now: Timestamp,
    /// Uniform in `[0, 1)`; spreads retries over 15 % of their interval.
    pub jitter: f64,
}

impl Moment {
    /// A moment whose retries are not spread, for tests and replays.
    pub fn at(now: Timestamp) -> Self {
        Self { now, jitter: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_ends_instead_of_turning_over() {
        let late = Timestamp::from_micros(u64::MAX - 1);
        assert_eq!(late.plus(Duration::from_micros(2)).as_micros(), u64::MAX);
        assert_eq!(late.plus(Duration::MAX).as_micros(), u64::MAX);
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(7)), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(7).since(Timestamp::from_micros(5)), Duration::from_micros(2));
    }
}
