//! The outbox (本地消息表): a message written by the local transaction it belongs to, handed to the coordinator afterwards.
//!
//! The row itself is the lease of whoever hands it over. A crash between hand-over and mark sends it twice, under the same
//! gid, which the coordinator absorbs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::coordinator::{Coordinator, CoordinatorError, Message, Saga, SagaStep};
use super::db::Database;
use crate::contract::Topic;
use crate::ids::Gid;
use crate::time::{Clock, Timestamp};

/// How often the relay looks without being woken.
const POLL: Duration = Duration::from_millis(200);
/// How long a row is left to whoever took it: longer than two calls to the coordinator take.
const LEASE: Duration = Duration::from_secs(10);
/// How long a row waits that could not be handed over.
const PAUSE: Duration = Duration::from_millis(500);
/// Rows taken at once, and handed over at the same time.
const BATCH_MAX: u32 = 64;
const IN_FLIGHT_MAX: usize = 16;

/// A message about to be enqueued.
#[derive(Debug, Clone)]
pub struct OutboxMessage {
    /// Deterministic, so that a business event is enqueued once. Becomes the gid.
    pub msg_id: Gid,
    /// Decides where it goes.
    pub topic: Topic,
    /// Messages of one key are handed over in the order in which they were enqueued.
    pub key: Option<String>,
    /// JSON text.
    pub payload: String,
}

impl OutboxMessage {
    /// A message with this payload, ordered by `key`.
    ///
    /// # Errors
    /// The payload cannot be written as JSON.
    pub fn new<T: Serialize>(
        msg_id: Gid,
        topic: Topic,
        key: impl Into<String>,
        payload: &T,
    ) -> Result<Self, serde_json::Error> {
        let payload = serde_json::to_string(payload)?;
        Ok(Self { msg_id, topic, key: Some(key.into()), payload })
    }
}

/// Writes the message in the caller's transaction: it exists if and only if that commits. Enqueued twice, it exists once.
///
/// # Errors
/// The database did not answer; roll back.
pub async fn enqueue(db: &mut SqliteConnection, now: Timestamp, message: &OutboxMessage) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (msg_id, topic, msg_key, payload, next_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (msg_id) DO NOTHING",
    )
    .bind(message.msg_id.as_str())
    .bind(message.topic.as_str())
    .bind(&message.key)
    .bind(&message.payload)
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Wakes the relay of one database after a commit that enqueued something. Without it the next poll finds the row.
#[derive(Debug, Clone, Default)]
pub struct WakeUp(Arc<Notify>);

impl WakeUp {
    /// The relay looks at once.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Why rows could not be taken or marked. The relay goes on at the next poll.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The database did not answer.
    #[error("outbox not reached")]
    Database(#[from] sqlx::Error),
}

/// What the rows of one topic become at the coordinator.
#[derive(Debug, Clone)]
pub enum Route {
    /// A message that is delivered to these URLs.
    Message {
        /// Where to.
        destinations: Vec<String>,
        /// One after the other, not all at once.
        in_order: bool,
    },
    /// A saga, every step of which carries the row's payload.
    Saga {
        /// Action and compensation of each step; an empty URL is not called.
        steps: Vec<(String, String)>,
    },
}

/// Hands the rows of one outbox over.
#[derive(Debug)]
pub struct Relay {
    /// Whose outbox.
    pub db: Database,
    /// To whom.
    pub coordinator: Coordinator,
    /// What becomes of each topic's rows.
    pub routes: BTreeMap<Topic, Route>,
    /// The service's clock.
    pub clock: Clock,
    /// Rung after a commit.
    pub wake_up: WakeUp,
}

/// A row whose lease we hold.
#[derive(Debug)]
struct Taken {
    seq: i64,
    msg_id: String,
    topic: String,
    key: Option<String>,
    payload: String,
    attempts: i64,
}

impl Relay {
    /// Hands over until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.hand_over().await {
                // The next row of a key is due only now.
                Ok(sent) if sent > 0 => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "outbox relay will try again"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake_up.0.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Takes what is due, hands it over and marks it; returns how many rows were handed over.
    ///
    /// # Errors
    /// [`RelayError`]; rows that were taken come back when their lease ends.
    pub async fn hand_over(&self) -> Result<usize, RelayError> {
        if !self.is_anything_due().await? {
            return Ok(0);
        }
        let taken = self.take().await?;
        let done: Vec<(Taken, bool)> = futures_util::stream::iter(taken)
            .map(|row| async move {
                let sent = self.send(&row).await;
                (row, sent)
            })
            .buffer_unordered(IN_FLIGHT_MAX)
            .collect()
            .await;
        self.mark(&done).await?;
        Ok(done.iter().filter(|(_, sent)| *sent).count())
    }

    /// A look without the write lock: most polls find nothing.
    async fn is_anything_due(&self) -> Result<bool, RelayError> {
        let due = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox WHERE status = 'NEW' AND next_at <= ?1)")
            .bind(self.clock.now().as_micros())
            .fetch_one(self.db.readers());
        Ok(due.await?)
    }

    /// Leases the oldest unsent row of each key.
    async fn take(&self) -> Result<Vec<Taken>, RelayError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query(
            "WITH due AS (
               SELECT o.seq FROM outbox o
                WHERE o.status = 'NEW' AND o.next_at <= ?1
                  AND (o.msg_key IS NULL OR NOT EXISTS (SELECT 1 FROM outbox e
                        WHERE e.msg_key = o.msg_key AND e.status = 'NEW' AND e.seq < o.seq))
                ORDER BY o.next_at, o.seq LIMIT ?2)
             UPDATE outbox SET attempts = attempts + 1, next_at = ?3
              WHERE seq IN (SELECT seq FROM due) RETURNING seq, msg_id, topic, msg_key, payload, attempts",
        )
        .bind(now.as_micros())
        .bind(BATCH_MAX)
        .bind(now.plus(LEASE).as_micros())
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let taken = |row: sqlx::sqlite::SqliteRow| -> Result<Taken, sqlx::Error> {
            Ok(Taken {
                seq: row.try_get("seq")?,
                msg_id: row.try_get("msg_id")?,
                topic: row.try_get("topic")?,
                key: row.try_get("msg_key")?,
                payload: row.try_get("payload")?,
                attempts: row.try_get("attempts")?,
            })
        };
        Ok(rows.into_iter().map(taken).collect::<Result<_, _>>()?)
    }

    /// Submits one row; true once the coordinator holds it for good.
    async fn send(&self, row: &Taken) -> bool {
        let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == row.topic);
        let Some(route) = topic.and_then(|topic| self.routes.get(&topic)) else {
            tracing::error!(msg_id = row.msg_id, topic = row.topic, "outbox row with a topic that goes nowhere");
            return false;
        };
        let gid = Gid::new(&row.msg_id);
        match self.submit(gid, row, route).await {
            Ok(()) => true,
            Err(error @ CoordinatorError::Refused { .. }) => {
                tracing::error!(%error, "coordinator refuses an outbox row");
                false
            }
            Err(error) => {
                tracing::debug!(%error, "outbox row not handed over");
                false
            }
        }
    }

    async fn submit(&self, gid: Gid, row: &Taken, route: &Route) -> Result<(), CoordinatorError> {
        let business_key = row.key.clone().unwrap_or_else(|| row.msg_id.clone());
        match route.clone() {
            Route::Message { destinations, in_order } => {
                let payload = row.payload.clone();
                let message = Message { gid, business_key, destinations, in_order, payload, query_prepared: None };
                self.coordinator.submit_message(&message).await
            }
            Route::Saga { steps } => {
                let step = |(action, compensate)| SagaStep { action, compensate, payload: row.payload.clone() };
                let saga = Saga { gid, business_key, steps: steps.into_iter().map(step).collect() };
                self.coordinator.submit_saga(&saga).await
            }
        }
    }

    /// Marks what was sent and shortens the lease of what was not, unless somebody else has taken the row since.
    async fn mark(&self, done: &[(Taken, bool)]) -> Result<(), RelayError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        for (row, sent) in done {
            let statement = match sent {
                true => "UPDATE outbox SET status = 'SENT', sent_at = ?1 WHERE seq = ?2 AND attempts = ?3",
                false => "UPDATE outbox SET next_at = ?1 WHERE seq = ?2 AND attempts = ?3 AND status = 'NEW'",
            };
            let at = if *sent { now } else { now.plus(PAUSE) };
            let update = sqlx::query(statement).bind(at.as_micros()).bind(row.seq).bind(row.attempts);
            update.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
