//! Merchant notification (商户通知): told on a schedule, success not promised.
//!
//! A message asks for a notification; it is noted, and a sender posts it, signed, until the merchant acknowledges it or the
//! schedule is used up. Either end is listed in `notify_delivery`; an exhausted one is no error of the payment, which the
//! merchant can always query.
//!
//! ```text
//! PENDING -> ACKNOWLEDGED | EXHAUSTED
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::barrier::Entry;
use crate::contract;
use crate::contract::notify::Notice;
use crate::foundation::branch::{BranchContext, BranchResult, Done};
use crate::foundation::service::Service;
use crate::ids::MerchantNo;
use crate::signing::Secret;

mod sender;

/// What this service is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Signs each merchant's notifications.
    pub secrets: BTreeMap<MerchantNo, Secret>,
    /// The pauses between attempts; there is one attempt more than pauses.
    pub schedule: Vec<Duration>,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Attempts under way at once.
    pub in_flight_max: usize,
}

/// The state of this service's routes and its sender.
#[derive(Debug, Clone)]
struct App {
    service: Service,
    settings: Arc<Settings>,
    /// Rung when there is something new to send.
    asked: Arc<Notify>,
}

/// Starts the sender in `tasks`, until `stop`, and returns the routes.
pub fn start(service: Service, settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) -> Router {
    let app = App { service, settings: Arc::new(settings), asked: Arc::default() };
    tasks.spawn(sender::run(app.clone(), stop.clone()));
    Router::new().route(contract::notify::NOTIFY, post(register)).with_state(app)
}

/// Notes what is to be told, once for each fact.
async fn register(State(app): State<App>, call: BranchContext, Json(notice): Json<Notice>) -> BranchResult {
    let now = app.service.clock.now().as_micros();
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        sqlx::query(
            "INSERT INTO notify_request (pay_no, ntf_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT DO NOTHING",
        )
        .bind(notice.pay_no.as_str())
        .bind(notice.ntf_id.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO notify_delivery (ntf_id, merchant_no, url, body, status, next_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'PENDING', ?5, ?5, ?5) ON CONFLICT DO NOTHING",
        )
        .bind(notice.ntf_id.as_str())
        .bind(notice.merchant_no.as_str())
        .bind(&notice.url)
        .bind(&notice.body)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    app.asked.notify_one();
    Ok(Done)
}
