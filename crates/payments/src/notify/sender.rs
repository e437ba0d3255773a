//! Sends what is due. A delivery's row is its lease: an attempt is counted and the row put off before the call, so a sender
//! that dies costs an attempt and loses nothing.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::contract::banks::SUCCESS;
use crate::foundation::http::{CallError, Reply};
use crate::ids::{MerchantNo, NotificationId};
use crate::signing::webhook::sign_attempt;

/// How often the sender looks without being rung: delays of the schedule end about that late.
const POLL: Duration = Duration::from_millis(100);
/// How much longer than its call an attempt keeps its row.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How much of an answer is looked at.
const ACKNOWLEDGEMENT_BYTES_MAX: usize = 64;

/// One attempt, counted already.
#[derive(Debug)]
struct Attempt {
    ntf_id: NotificationId,
    merchant_no: MerchantNo,
    url: String,
    body: String,
    /// Counted from 1.
    number: i64,
}

/// Why an attempt was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// We cannot sign for this merchant. Further attempts cannot help.
    NoSecret,
    /// The answer took too long.
    Timeout,
    /// No answer.
    NoAnswer,
    /// Another status than 2xx.
    Status(StatusCode),
    /// 2xx without the word: the most common mistake of a receiver.
    Body,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret => out.write_str("NO_SECRET"),
            Self::Timeout => out.write_str("TIMEOUT"),
            Self::NoAnswer => out.write_str("NO_ANSWER"),
            Self::Status(status) => write!(out, "STATUS_{}", status.as_u16()),
            Self::Body => out.write_str("BODY"),
        }
    }
}

/// Sends until told to stop; attempts under way are finished.
pub(super) async fn run(app: App, stop: CancellationToken) {
    let mut attempts = JoinSet::new();
    while !stop.is_cancelled() {
        let places = app.settings.in_flight_max - attempts.len();
        match take(&app, places).await {
            Ok(due) => due.into_iter().for_each(|attempt| {
                attempts.spawn(make(app.clone(), attempt));
            }),
            Err(error) => tracing::warn!(%error, "notifications wait for the next look"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(_) = attempts.join_next() => {}
            () = app.asked.notified(), if attempts.len() < app.settings.in_flight_max => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    attempts.join_all().await;
}

/// Takes up to `places` due deliveries and counts their attempts.
async fn take(app: &App, places: usize) -> Result<Vec<Attempt>, sqlx::Error> {
    let now = app.service.clock.now();
    let due: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM notify_delivery WHERE status = 'PENDING' AND next_at <= ?1)")
            .bind(now.as_micros())
            .fetch_one(app.service.db.readers())
            .await?;
    if !due || places == 0 {
        return Ok(Vec::new());
    }
    let mut tx = app.service.db.begin().await?;
    let rows = sqlx::query(
        "UPDATE notify_delivery SET attempts = attempts + 1, next_at = ?3, updated_at = ?1
          WHERE ntf_id IN (SELECT ntf_id FROM notify_delivery WHERE status = 'PENDING' AND next_at <= ?1
                            ORDER BY next_at LIMIT ?2)
         RETURNING ntf_id, merchant_no, url, body, attempts",
    )
    .bind(now.as_micros())
    .bind(i64::try_from(places).unwrap_or(i64::MAX))
    .bind(now.plus(app.settings.timeout + LEASE_MARGIN).as_micros())
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Attempt, sqlx::Error> {
    Ok(Attempt {
        ntf_id: NotificationId::new(row.try_get::<String, _>("ntf_id")?),
        merchant_no: MerchantNo::new(row.try_get::<String, _>("merchant_no")?),
        url: row.try_get("url")?,
        body: row.try_get("body")?,
        number: row.try_get("attempts")?,
    })
}

/// Makes one attempt and records it.
async fn make(app: App, attempt: Attempt) {
    let outcome = send(&app, &attempt).await;
    tracing::debug!(ntf_id = %attempt.ntf_id, number = attempt.number, ?outcome, "notification attempt");
    if let Err(error) = record(&app, &attempt, outcome).await {
        // The lease ends, and the attempt is made once more: receivers know notifications by their id.
        tracing::warn!(ntf_id = %attempt.ntf_id, %error, "notification attempt not recorded");
    }
}

async fn send(app: &App, attempt: &Attempt) -> Result<(), Failure> {
    let secret = app.settings.secrets.get(&attempt.merchant_no).ok_or(Failure::NoSecret)?;
    let now = app.service.clock.now().as_seconds();
    let body = Bytes::from(attempt.body.clone());
    let headers = sign_attempt(secret, attempt.ntf_id.as_str(), now, &body).into_iter().collect();
    match app.service.client.post(&attempt.url, headers, body, app.settings.timeout).await {
        Ok(reply) => judge(&reply),
        Err(CallError::Timeout { .. }) => Err(Failure::Timeout),
        Err(_) => Err(Failure::NoAnswer),
    }
}

/// Success is a 2xx with the word, and nothing else.
fn judge(reply: &Reply) -> Result<(), Failure> {
    if !reply.status.is_success() {
        return Err(Failure::Status(reply.status));
    }
    let looked_at = reply.body.get(..ACKNOWLEDGEMENT_BYTES_MAX).unwrap_or(&reply.body);
    if looked_at.trim_ascii() == SUCCESS.as_bytes() { Ok(()) } else { Err(Failure::Body) }
}

async fn record(app: &App, attempt: &Attempt, outcome: Result<(), Failure>) -> Result<(), sqlx::Error> {
    let now = app.service.clock.now();
    let pause = usize::try_from(attempt.number - 1).ok().and_then(|made| app.settings.schedule.get(made));
    let (status, next_at, failure) = match (outcome, pause) {
        (Ok(()), _) => ("ACKNOWLEDGED", now, None),
        (Err(failure @ Failure::NoSecret), _) | (Err(failure), None) => ("EXHAUSTED", now, Some(failure)),
        (Err(failure), Some(pause)) => ("PENDING", now.plus(*pause), Some(failure)),
    };
    if status == "EXHAUSTED" {
        tracing::warn!(ntf_id = %attempt.ntf_id, ?failure, "notification exhausted");
    }
    let mut tx = app.service.db.begin().await?;
    sqlx::query(
        "UPDATE notify_delivery SET status = ?3, next_at = ?4, last_failure = ?5, finished_at = ?6, updated_at = ?7
          WHERE ntf_id = ?1 AND attempts = ?2 AND status = 'PENDING'",
    )
    .bind(attempt.ntf_id.as_str())
    .bind(attempt.number)
    .bind(status)
    .bind(next_at.as_micros())
    .bind(failure.map(|failure| failure.to_string()))
    .bind((status != "PENDING").then_some(now.as_micros()))
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn judged(status: u16, body: &'static str) -> Result<(), Failure> {
        let status = StatusCode::from_u16(status).unwrap();
        judge(&Reply { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn only_the_word_on_a_2xx_acknowledges() {
        assert_eq!(judged(200, "success"), Ok(()));
        assert_eq!(judged(202, " success\r\n"), Ok(()));
        assert_eq!(judged(200, "SUCCESS"), Err(Failure::Body));
        assert_eq!(judged(200, "{\"code\":\"success\"}"), Err(Failure::Body));
        assert_eq!(judged(302, "success"), Err(Failure::Status(StatusCode::FOUND)));
        assert_eq!(judged(500, "success"), Err(Failure::Status(StatusCode::INTERNAL_SERVER_ERROR)));
    }

    #[test]
    fn no_more_of_an_answer_is_looked_at_than_the_limit() {
        let padded: &'static str = "success                                                             x";
        assert!(padded.len() > ACKNOWLEDGEMENT_BYTES_MAX);
        assert_eq!(judged(200, padded), Ok(()));
    }
}
