//! How late the coordinator is: scheduled against actual, of retries, delays and time-outs, under load.
//!
//! ```text
//!   load      ── sagas, open loop ───────────────────────────────────▶ coordinator
//!   probe     ── a transaction that has to wait ─────────────────────▶     │
//!             ── query: what was stored? ────────────────────────────▶     │   scheduled
//!   witness   ◀───────────────────────────────────────── its next call ────┘   actual; late by the difference
//! ```
//!
//! Both ends are read from the same clock, that of the machine: the coordinator says to the microsecond when a transaction was
//! created and from when to when it waits, and the witness notes when a call was read. What is off, is off towards *late*: until
//! a call is noted it has to be sent, to get through to a process that makes the load too, and to be read; and the wait for a
//! retry counts from when the participant answered, not from when the coordinator had understood it. Where a transaction is
//! scheduled, exactly, each [`Kind`] tells.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::load::{self, Load, Pace};
use crate::participant::Participants;
use crate::target::Running;
use crate::workload::Workload;

use probe::Prober;

mod probe;
mod stored;
mod witness;

/// Why a transaction waits, and with it from where its lateness counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A message with a delay.
    Delay,
    /// A saga whose participant is still at it.
    RetryAfterInProgress,
    /// A saga whose participant answers what means nothing.
    RetryAfterUnknown,
    /// A TCC that nobody submits.
    TimeOut,
    /// Many messages with the same delay, begun as fast as the coordinator takes them in.
    DelayOfMany,
}

/// How late the transactions of one kind were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lateness {
    pub(crate) kind: Kind,
    /// At least 1.
    pub(crate) samples: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Calls that came before their time: a mistake of the coordinator. They count as not late.
    pub(crate) early: u64,
    /// Transactions of which nothing can be told.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Which time counts as scheduled, in words.
    pub(crate) scheduled: String,
    /// Sagas that ended beside it, per second.
    pub(crate) beside_per_second: f64,
}

/// Transactions of each kind that begin within a second, evenly.
const PROBES_PER_SECOND: f64 = 50.0;

/// And of the kind that begins all at once.
const MANY: usize = 1_000;

/// In proportion, where little time is asked for.
const MANY_PER_SECOND: f64 = 100.0;

/// How long the load runs before the first transaction begins.
const LEAD: Duration = Duration::from_millis(500);

/// How long the load goes on after the last one has begun: the longest wait is 2.3 s.
const TAIL: Duration = Duration::from_secs(4);

/// Puts `rate` sagas per second on the coordinator, and beside them, for `length`, begins transactions that have to wait: 50 per
/// second of each kind, and at the end 1,000 at once (fewer if `length` is under 10 s). Takes 4.5 s longer than `length`.
///
/// The sagas call `participants`; the others have their own.
///
/// # Errors
/// The coordinator cannot be reached, or of some kind not one transaction was called as it should be.
pub(crate) async fn measure(
    target: &Running,
    participants: &Participants,
    rate: f64,
    length: Duration,
) -> anyhow::Result<Vec<Lateness>> {
    let load = Load {
        target: target.address(),
        dialect: target.dialect(),
        workload: Workload::Saga,
        pace: Pace::Open { per_second: rate },
        warmup: LEAD,
        length: length + TAIL,
    };
    let prober = Arc::new(Prober::start(target.address()).await?);
    let (beside, probed) = tokio::join!(load::drive(&load, participants, async |_| {}), probe_all(prober, length));
    let beside = beside.context("the load beside which lateness is measured")?;
    let beside_per_second = beside.finished as f64 / beside.elapsed.as_secs_f64();
    Kind::ALL
        .into_iter()
        .map(|kind| Lateness::of(kind, probed.iter().filter(|one| one.0 == kind).map(|one| &one.1), beside_per_second))
        .collect()
}

/// Microseconds after the scheduled time; negative: before it.
type Outcome = anyhow::Result<i64>;

async fn probe_all(prober: Arc<Prober>, length: Duration) -> Vec<(Kind, Outcome)> {
    let begin = Instant::now() + LEAD;
    let count = (PROBES_PER_SECOND * length.as_secs_f64()).ceil() as usize;
    let many = MANY.min((MANY_PER_SECOND * length.as_secs_f64()).ceil() as usize);
    let spread = Kind::SPREAD.into_iter().flat_map(|kind| (0..count).map(move |index| (kind, begin + place(index))));
    let at_once = (0..many).map(|_| (Kind::DelayOfMany, begin + length));
    let mut probes = JoinSet::new();
    for (kind, at) in spread.chain(at_once) {
        let prober = Arc::clone(&prober);
        probes.spawn(async move {
            tokio::time::sleep_until(at).await;
            (kind, prober.probe(kind).await)
        });
    }
    probes.join_all().await
}

/// When the transaction of this index begins: somewhere in its share of the time, lest all kinds keep step.
fn place(index: usize) -> Duration {
    Duration::from_secs_f64((index as f64 + rand::random::<f64>()) / PROBES_PER_SECOND)
}

impl Kind {
    /// In the order of the reports.
    const ALL: [Self; 5] =
        [Self::Delay, Self::RetryAfterInProgress, Self::RetryAfterUnknown, Self::TimeOut, Self::DelayOfMany];

    /// Those that are spread over the time.
    const SPREAD: [Self; 4] = [Self::Delay, Self::RetryAfterInProgress, Self::RetryAfterUnknown, Self::TimeOut];

    fn scheduled(self) -> &'static str {
        match self {
            Self::Delay | Self::DelayOfMany => "its creation, as stored, and its delay of 1 s",
            Self::RetryAfterInProgress => {
                "the participant's answer and the stored wait: the interval of 1 s and its jitter"
            }
            Self::RetryAfterUnknown => {
                "the participant's answer and the stored wait: twice the interval of 1 s, and its jitter"
            }
            Self::TimeOut => "its creation, as stored, and its time-out of 1 s",
        }
    }
}

impl Lateness {
    fn of<'a>(kind: Kind, outcomes: impl Iterator<Item = &'a Outcome>, beside_per_second: f64) -> anyhow::Result<Self> {
        let (mut late, mut errors, mut first_error) = (Vec::new(), 0, None);
        for outcome in outcomes {
            match outcome {
                Ok(micros) => late.push(*micros),
                Err(error) => {
                    errors += 1;
                    first_error.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        late.sort_unstable();
        let ms = |quantile| {
            let micros = at_quantile(&late, quantile).max(0);
            micros as f64 / 1e3
        };
        anyhow::ensure!(!late.is_empty(), "{kind:?}: nothing could be measured: {}", first_error.unwrap_or_default());
        Ok(Self {
            kind,
            samples: late.len() as u64,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            max_ms: ms(1.0),
            early: late.iter().filter(|micros| **micros < 0).count() as u64,
            errors,
            first_error,
            scheduled: kind.scheduled().to_owned(),
            beside_per_second,
        })
    }
}

/// The smallest of these values that this share of them does not exceed. They are sorted, and there is at least one.
fn at_quantile(sorted: &[i64], quantile: f64) -> i64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests;
