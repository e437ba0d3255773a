//! One transaction that has to wait, and how late it was.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::Semaphore;

use crate::http::Connection;
use crate::participant::Reply;

use super::stored::{Moment, Stored};
use super::witness::Witness;
use super::{Kind, Outcome};

/// Begins transactions at one coordinator.
pub(super) struct Prober {
    coordinator: SocketAddr,
    witness: Witness,
    /// Connections that nobody uses at the moment.
    idle: Mutex<Vec<Connection>>,
    /// Requests at once.
    room: Semaphore,
}

/// The shortest delay, time-out and retry interval there are.
const WAIT: Duration = Duration::from_secs(1);

/// An unknown answer doubles the interval.
const AFTER_UNKNOWN: Duration = Duration::from_secs(2);

/// The share of an interval over which retries are spread, and a millisecond for roundings.
const JITTER_SHARE: f64 = 0.15;
const ROUNDING: Duration = Duration::from_millis(1);

/// By then an answer is stored, and the transaction still waits.
const ASK_AFTER: Duration = Duration::from_millis(300);

/// How often it is asked, if it is not stored yet.
const ASKS_MAX: u32 = 10;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

const REQUESTS_MAX: usize = 64;

impl Prober {
    /// # Errors
    /// No port can be had for the participant.
    pub(super) async fn start(coordinator: SocketAddr) -> anyhow::Result<Self> {
        let witness = Witness::start().await?;
        Ok(Self { coordinator, witness, idle: Mutex::default(), room: Semaphore::new(REQUESTS_MAX) })
    }

    /// Begins a transaction and sees it to its end.
    ///
    /// # Errors
    /// It did not go as its kind says.
    pub(super) async fn probe(&self, kind: Kind) -> Outcome {
        let gid = format!("late-{:032x}", rand::random::<u128>());
        match kind {
            Kind::Delay | Kind::DelayOfMany => self.after_creation(&gid, "submit", &self.delayed(&gid)).await,
            Kind::TimeOut => self.after_creation(&gid, "prepare", &self.undecided(&gid)).await,
            Kind::RetryAfterInProgress => self.after_answer(&gid, Reply::InProgress, WAIT).await,
            Kind::RetryAfterUnknown => self.after_answer(&gid, Reply::Broken, AFTER_UNKNOWN).await,
        }
    }

    /// Of a transaction that is called [`WAIT`] after its creation.
    async fn after_creation(&self, gid: &str, route: &str, body: &str) -> Outcome {
        let mut calls = self.witness.expect(gid, Reply::Done);
        let sent = Moment::now();
        self.post(route, body).await?;
        let created = self.query(gid).await?.created;
        ensure!(sent <= created && created <= Moment::now(), "the coordinator's clock is not this machine's");
        let called = calls.next().await?;
        Ok(called.late(created.plus(WAIT)))
    }

    /// Of a saga whose first call is answered so: the second one comes after `interval` and its jitter.
    async fn after_answer(&self, gid: &str, answer: Reply, interval: Duration) -> Outcome {
        let mut calls = self.witness.expect(gid, answer);
        self.post("submit", &self.retried(gid)).await?;
        let answered = calls.next().await?;
        let wait = self.stored_wait(gid).await?;
        ensure!(is_jittered(wait, interval), "a wait of {wait:?} is stored after {answer:?}");
        let called = calls.next().await?;
        Ok(called.late(answered.plus(wait)))
    }

    /// How long the transaction waits, once that is stored.
    async fn stored_wait(&self, gid: &str) -> anyhow::Result<Duration> {
        tokio::time::sleep(ASK_AFTER).await;
        for _ in 0..ASKS_MAX {
            if let Some(wait) = self.query(gid).await?.wait() {
                return Ok(wait);
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        anyhow::bail!("no wait is stored")
    }

    fn delayed(&self, gid: &str) -> String {
        let (url, delay) = (self.url(), WAIT.as_secs());
        format!(
            r#"{{"gid":"{gid}","trans_type":"msg","custom_data":"{{\"delay\":{delay}}}","steps":[{{"action":"{url}"}}],"payloads":["{{}}"]}}"#
        )
    }

    fn retried(&self, gid: &str) -> String {
        let (url, interval) = (self.url(), WAIT.as_secs());
        format!(
            r#"{{"gid":"{gid}","trans_type":"saga","retry_interval":{interval},"steps":[{{"action":"{url}","compensate":"{url}"}}],"payloads":["{{}}"]}}"#
        )
    }

    fn undecided(&self, gid: &str) -> String {
        let (url, timeout) = (self.url(), WAIT.as_secs());
        format!(
            r#"{{"gid":"{gid}","trans_type":"tcc","timeout_to_fail":{timeout},"branches":[{{"branch_id":"01","confirm":"{url}","cancel":"{url}","data":"{{}}"}}]}}"#
        )
    }

    fn url(&self) -> String {
        format!("http://{}/late", self.witness.address())
    }

    async fn query(&self, gid: &str) -> anyhow::Result<Stored> {
        Stored::parse(&self.request(&format!("/api/dtmsvr/query?gid={gid}"), None).await?)
    }

    async fn post(&self, route: &str, body: &str) -> anyhow::Result<()> {
        self.request(&format!("/api/dtmsvr/{route}"), Some(body)).await.map(|_| ())
    }

    /// A POST with a body, a GET without.
    async fn request(&self, path: &str, body: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let _room = self.room.acquire().await?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.coordinator).await?,
        };
        let reply = match body {
            Some(body) => connection.post(path, body).await,
            None => connection.get(path).await,
        };
        let reply = reply.with_context(|| path.to_owned())?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, String::from_utf8_lossy(reply.body));
        let body = reply.body.to_vec();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(body)
    }
}

/// Whether the rules make this wait of that interval.
fn is_jittered(wait: Duration, interval: Duration) -> bool {
    (interval..=interval.mul_f64(1.0 + JITTER_SHARE) + ROUNDING).contains(&wait)
}

#[cfg(test)]
mod tests;
