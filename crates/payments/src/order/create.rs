//! Creating a payment order: one local transaction, idempotent by the merchant's number.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;

use super::rows::{Numbers, OrderRow, next_number};
use super::{App, fee};
use crate::contract::CALL_TIMEOUT;
use crate::contract::funds::{self, AccountView};
use crate::contract::merchants::{NewPayment, PaymentRequest, PaymentView};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::http::CallError;
use crate::foundation::service::ServiceName;
use crate::ids::{MerchantNo, PayNo};
use crate::money;
use crate::time::Timestamp;

/// No payment order can be paid for longer than this.
const LIFETIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// Creates the order, or returns the one that stands.
pub(super) async fn create(
    State(app): State<App>,
    Json(new): Json<NewPayment>,
) -> ApiResult<(StatusCode, Json<PaymentView>)> {
    let req_hash = digest_of(&new.request)?;
    let mut reader = app.service.db.readers().acquire().await?;
    if let Some(view) = existing(&mut reader, &new.request, &req_hash).await? {
        return Ok((StatusCode::OK, Json(view)));
    }
    drop(reader);
    check_account(&app, &new.request.merchant_no).await?;
    let mut tx = app.service.db.begin().await?;
    if let Some(view) = existing(&mut tx, &new.request, &req_hash).await? {
        return Ok((StatusCode::OK, Json(view)));
    }
    let order = insert(&mut tx, &new, &req_hash, app.service.clock.now()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(order.view())))
}

/// Whose order it must be.
#[derive(Debug, Deserialize)]
pub(super) struct Owner {
    pub(super) merchant_no: MerchantNo,
}

/// Answers the query interface.
pub(super) async fn show(
    State(app): State<App>,
    Path(pay_no): Path<PayNo>,
    Query(owner): Query<Owner>,
) -> ApiResult<Json<PaymentView>> {
    let mut reader = app.service.db.readers().acquire().await?;
    let order = OrderRow::find(&mut reader, &pay_no).await?;
    let own = order.filter(|order| order.merchant_no == owner.merchant_no).ok_or(ApiError::NotFound)?;
    Ok(Json(own.view()))
}

async fn existing(
    db: &mut SqliteConnection,
    request: &PaymentRequest,
    req_hash: &str,
) -> ApiResult<Option<PaymentView>> {
    match OrderRow::find_of_merchant(db, &request.merchant_no, &request.merchant_order_no).await? {
        Some(order) if order.req_hash == req_hash => Ok(Some(order.view())),
        Some(_) => Err(ApiError::Conflict("IDEMPOTENCY_CONFLICT")),
        None => Ok(None),
    }
}

/// The merchant must have an account that can receive. Asked before the transaction, never inside.
async fn check_account(app: &App, merchant_no: &MerchantNo) -> ApiResult<()> {
    let path = funds::ACCOUNT.replace("{merchant_no}", merchant_no.as_str());
    let url = app.service.directory.url(ServiceName::Funds, &path);
    let reply = app.service.client.get(&url, CALL_TIMEOUT).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(ApiError::Conflict("NO_ACCOUNT")),
        status => return Err(CallError::Status { status }.into()),
    }
    match reply.json::<AccountView>()?.status.as_str() {
        "ACTIVE" | "FROZEN" => Ok(()),
        _ => Err(ApiError::Conflict(funds::ACCOUNT_CLOSED)),
    }
}

async fn insert(db: &mut SqliteConnection, new: &NewPayment, req_hash: &str, now: Timestamp) -> ApiResult<OrderRow> {
    let request = &new.request;
    if request.expire_at <= now {
        return Err(ApiError::Conflict("EXPIRED"));
    }
    let (fee, fee_lines) = fee::reckon(&new.terms, request.money)?;
    let pay_no = PayNo::new(next_number(db, Numbers::Payment, now.acct_date()).await?);
    sqlx::query(
        "INSERT INTO payment_order (pay_no, merchant_no, merchant_order_no, req_hash, payer_no, subject, amount, currency,
           fee, points, notify_url, return_url, status, expire_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'WAIT_PAY', ?13, ?14, ?14)",
    )
    .bind(pay_no.as_str())
    .bind(request.merchant_no.as_str())
    .bind(&request.merchant_order_no)
    .bind(req_hash)
    .bind(request.payer_no.as_str())
    .bind(&request.subject)
    .bind(request.money.minor)
    .bind(request.money.currency.code())
    .bind(fee.minor)
    .bind(money::payment_points(request.money))
    .bind(request.notify_url.as_ref().or(new.default_notify_url.as_ref()))
    .bind(&request.return_url)
    .bind(request.expire_at.min(now.plus(LIFETIME_MAX)).as_micros())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    for line in fee_lines {
        sqlx::query(
            "INSERT INTO fee_item (pay_no, kind, basis, amount, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )
        .bind(pay_no.as_str())
        .bind(line.kind.as_str())
        .bind(&line.basis)
        .bind(line.minor)
        .bind(now.as_micros())
        .execute(&mut *db)
        .await?;
    }
    Ok(OrderRow::get(db, &pay_no).await?)
}

/// Tells a repeat from another request under the same number: SHA-256, in hexadecimal, over the request as JSON.
fn digest_of(request: &PaymentRequest) -> Result<String, serde_json::Error> {
    let canonical = serde_json::to_vec(request)?;
    Ok(Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect())
}
