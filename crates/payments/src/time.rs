//! Moments and business dates. One clock serves the whole platform, so that rows of different services compare.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Asia/Shanghai has been eight hours ahead of UTC, without summer time, since 1991.
const SHANGHAI_OFFSET_HOURS: i8 = 8;

/// A moment, in microseconds since the Unix epoch. Databases store the number, JSON carries RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Text that is no RFC 3339 moment between the years -9999 and 9999.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 moment")]
pub struct BadTimestamp(#[source] jiff::Error);

impl Timestamp {
    /// The moment that many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch, as the databases store it.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down, as signatures carry it.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment plus a span; the far end of time instead of an overflow.
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment minus a span; the beginning of time instead of an overflow.
    pub fn minus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The accounting date of this moment: its calendar day in Asia/Shanghai.
    pub fn acct_date(self) -> AcctDate {
        let offset = jiff::tz::Offset::constant(SHANGHAI_OFFSET_HOURS);
        AcctDate(offset.to_datetime(self.to_jiff()).date())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let limit = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(limit)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(out)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let moment: jiff::Timestamp = text.parse().map_err(BadTimestamp)?;
        Ok(Self(moment.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An accounting date (会计日期): a calendar day of Asia/Shanghai, written `yyyy-mm-dd` in rows and JSON.
///
/// It is fixed once, by the local transaction that decides to settle, and carried from there in every payload:
/// nothing downstream asks a clock for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcctDate(jiff::civil::Date);

/// Text that is no calendar day.
#[derive(Debug, thiserror::Error)]
#[error("not a date of the form yyyy-mm-dd")]
pub struct BadAcctDate(#[source] jiff::Error);

impl AcctDate {
    /// The date without hyphens, `yyyymmdd`, as business numbers contain it.
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

impl fmt::Display for AcctDate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::str::FromStr for AcctDate {
    type Err = BadAcctDate;

    fn from_str(text: &str) -> Result<Self, BadAcctDate> {
        Ok(Self(text.parse().map_err(BadAcctDate)?))
    }
}

impl Serialize for AcctDate {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AcctDate {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where services read the time: the system's clock, or one that a test sets.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(|| Timestamp(jiff::Timestamp::now().as_microsecond())))
    }

    /// A clock that reads whatever `now` returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shanghai_day_begins_at_sixteen_hours_utc() {
        let before: Timestamp = "2026-01-05T15:59:59.999999Z".parse().unwrap();
        let after: Timestamp = "2026-01-05T16:00:00Z".parse().unwrap();
        assert_eq!(before.acct_date().to_string(), "2026-01-05");
        assert_eq!(after.acct_date().to_string(), "2026-01-06");
        assert_eq!(after.acct_date().compact(), "20260106");
    }

    #[test]
    fn moments_and_dates_survive_json() {
        let moment: Timestamp = "2026-01-05T02:03:04Z".parse().unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-01-05T02:03:04Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>("\"2026-01-05T02:03:04Z\"").unwrap(), moment);
        let date = moment.acct_date();
        assert_eq!(serde_json::to_string(&date).unwrap(), "\"2026-01-05\"");
        assert_eq!(serde_json::from_str::<AcctDate>("\"2026-01-05\"").unwrap(), date);
        assert!(serde_json::from_str::<AcctDate>("\"2026-02-30\"").is_err());
    }

    #[test]
    fn seconds_are_rounded_down() {
        assert_eq!(Timestamp::from_micros(-1).as_seconds(), -1);
        assert_eq!(Timestamp::from_micros(1_999_999).as_seconds(), 1);
    }
}
