//! Where the merchant is told. It believes only what is signed, stores it, and answers the word that it is told to answer.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use serde::Deserialize;

use crate::contract::banks::SUCCESS;
use crate::contract::merchants::PAY_NOTICES;
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::db::Database;
use crate::ids::PayNo;
use crate::money::Money;
use crate::signing::Secret;
use crate::signing::webhook::verify_attempt;
use crate::time::Clock;

/// What the endpoint is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shared with the platform: one for each merchant that this endpoint stands in for.
    pub secrets: Vec<Secret>,
}

#[derive(Debug, Clone)]
struct App {
    db: Database,
    clock: Clock,
    secrets: Vec<Secret>,
}

/// The endpoint's routes.
pub fn routes(db: Database, clock: Clock, settings: Settings) -> Router {
    let app = App { db, clock, secrets: settings.secrets };
    Router::new().route(PAY_NOTICES, post(receive)).with_state(app)
}

/// As much of a notification as the merchant reads.
#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "type")]
    event: String,
    data: Fact,
}

#[derive(Deserialize)]
struct Fact {
    pay_no: PayNo,
    #[serde(flatten)]
    money: Money,
    status: String,
}

async fn receive(State(app): State<App>, headers: HeaderMap, body: Bytes) -> ApiResult<&'static str> {
    let now = app.clock.now();
    let verified = |secret: &Secret| verify_attempt(secret, &headers, &body, now.as_seconds()).ok();
    let notice_id = app.secrets.iter().find_map(verified).ok_or(ApiError::Unauthorized("SIGNATURE"))?;
    let raw = std::str::from_utf8(&body).map_err(|_| ApiError::BadRequest("BODY"))?;
    let notification: Notification = serde_json::from_str(raw).map_err(|_| ApiError::BadRequest("BODY"))?;
    let mut tx = app.db.begin().await?;
    sqlx::query(
        "INSERT INTO pay_notice (notice_id, event, pay_no, amount, currency, status, payload, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
         ON CONFLICT (notice_id) DO UPDATE SET arrivals = arrivals + 1, updated_at = excluded.updated_at",
    )
    .bind(&notice_id)
    .bind(&notification.event)
    .bind(notification.data.pay_no.as_str())
    .bind(notification.data.money.minor)
    .bind(notification.data.money.currency.code())
    .bind(&notification.data.status)
    .bind(raw)
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(SUCCESS)
}
