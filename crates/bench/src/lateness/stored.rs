//! What the coordinator has stored of a transaction, as far as it tells when it goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::Deserialize;

/// A moment of the machine's clock, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

/// The times of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) created: Moment,
    /// By an answer, say.
    pub(super) changed: Moment,
    /// When it goes on; `None` while something is on its way, and when it is final.
    pub(super) next: Option<Moment>,
}

impl Moment {
    pub(super) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(micros(since_epoch))
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0 + micros(duration))
    }

    /// Microseconds from `scheduled` to this moment; negative if it came first.
    pub(super) fn late(self, scheduled: Self) -> i64 {
        self.0 - scheduled.0
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let time: jiff::Timestamp = text.parse().with_context(|| format!("{text:?} is no time"))?;
        Ok(Self(time.as_microsecond()))
    }
}

/// Until the year 294247.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Stored {
    /// From the reply to a query.
    ///
    /// # Errors
    /// It is not what the coordinator answers for a transaction that exists.
    pub(super) fn parse(reply: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Query {
            transaction: Option<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            create_time: String,
            update_time: String,
            next_cron_time: Option<String>,
        }
        let query: Query = serde_json::from_slice(reply).context("the reply to a query")?;
        let row = query.transaction.context("the transaction does not exist")?;
        Ok(Self {
            created: Moment::parse(&row.create_time)?,
            changed: Moment::parse(&row.update_time)?,
            next: row.next_cron_time.as_deref().map(Moment::parse).transpose()?,
        })
    }

    /// How long it waits since it changed, as it is stored; `None` if it does not wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        let micros = u64::try_from(self.next?.late(self.changed)).ok()?;
        Some(Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(times: &str) -> Vec<u8> {
        format!(r#"{{"branches":[{{"create_time":"x"}}],"transaction":{{"id":0,{times},"gid":"g"}}}}"#).into_bytes()
    }

    #[test]
    fn times_come_to_the_microsecond_with_as_many_digits_as_they_need() {
        let times = r#""create_time":"2023-11-14T22:13:20Z","update_time":"2023-11-14T22:13:21.5Z","next_cron_time":"2023-11-14T22:13:22.600001Z""#;
        let stored = Stored::parse(&reply(times)).unwrap();
        assert_eq!(stored.created, Moment(1_700_000_000_000_000));
        assert_eq!(stored.changed, Moment(1_700_000_001_500_000));
        assert_eq!(stored.next, Some(Moment(1_700_000_002_600_001)));
        assert_eq!(stored.wait(), Some(Duration::from_micros(1_100_001)));
    }

    #[test]
    fn what_is_on_its_way_does_not_wait() {
        let times = r#""create_time":"2023-11-14T22:13:20Z","update_time":"2023-11-14T22:13:20Z""#;
        assert_eq!(Stored::parse(&reply(times)).unwrap().wait(), None);
    }

    #[test]
    fn a_transaction_that_does_not_exist_is_an_error() {
        assert!(Stored::parse(br#"{"branches":[],"transaction":null}"#).is_err());
        assert!(Stored::parse(b"").is_err());
    }

    #[test]
    fn lateness_counts_from_the_scheduled_time_and_is_negative_before_it() {
        let created = Moment(5_000_000);
        let scheduled = created.plus(Duration::from_secs(1));
        assert_eq!(Moment(6_000_250).late(scheduled), 250);
        assert_eq!(Moment(5_999_999).late(scheduled), -1);
    }

    #[test]
    fn a_wait_that_ends_before_it_begins_is_none() {
        let stored = Stored { created: Moment(0), changed: Moment(10), next: Some(Moment(9)) };
        assert_eq!(stored.wait(), None);
    }
}
