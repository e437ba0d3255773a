//! An attempt to pay: a record that waits, and the address of the bank's cashier. No call to the bank is made here.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use sqlx::sqlite::SqliteConnection;

use super::App;
use super::rows::{OrderRow, OrderState, RecordRow};
use crate::contract::banks;
use crate::contract::merchants::{AttemptView, Channel, NewAttempt, RecordView};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::service::ServiceName;
use crate::ids::{PayNo, RecordNo};
use crate::signing;
use crate::time::Timestamp;

/// Inserts the attempt, or returns the one that the same key made.
pub(super) async fn create(
    State(app): State<App>,
    Path(pay_no): Path<PayNo>,
    Json(new): Json<NewAttempt>,
) -> ApiResult<(StatusCode, Json<AttemptView>)> {
    let Channel::Bank = new.request.channel;
    if new.request.bank_code != app.settings.bank_code {
        return Err(ApiError::Conflict("NO_SUCH_BANK"));
    }
    let mut tx = app.service.db.begin().await?;
    let order = OrderRow::find(&mut tx, &pay_no).await?;
    let order = order.filter(|order| order.merchant_no == new.merchant_no).ok_or(ApiError::NotFound)?;
    if let Some(record) = RecordRow::find_by_key(&mut tx, &pay_no, &new.idem_key).await? {
        return match record.bank_code == new.request.bank_code {
            true => Ok((StatusCode::OK, Json(view(&app, &order, &record)))),
            false => Err(ApiError::Conflict("IDEMPOTENCY_CONFLICT")),
        };
    }
    let now = app.service.clock.now();
    if order.state != OrderState::WaitPay || order.expire_at <= now {
        return Err(ApiError::Conflict("STATE"));
    }
    let record = insert(&mut tx, &order, &new, now).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(view(&app, &order, &record))))
}

/// Tells the gateway what a bank's notice must agree with.
pub(super) async fn show(State(app): State<App>, Path(bank_order_no): Path<String>) -> ApiResult<Json<RecordView>> {
    let mut reader = app.service.db.readers().acquire().await?;
    let record = RecordRow::find_at_bank(&mut reader, &bank_order_no).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(RecordView { bank_code: record.bank_code, money: record.money }))
}

async fn insert(
    db: &mut SqliteConnection,
    order: &OrderRow,
    new: &NewAttempt,
    now: Timestamp,
) -> Result<RecordRow, sqlx::Error> {
    let seq: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) + 1 FROM payment_record WHERE pay_no = ?1")
        .bind(order.pay_no.as_str())
        .fetch_one(&mut *db)
        .await?;
    let record_no = RecordNo::new(format!("{}-{seq}", order.pay_no));
    sqlx::query(
        "INSERT INTO payment_record (record_no, pay_no, seq, idem_key, channel, bank_code, bank_order_no, amount, status,
           created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, 'BANK', ?5, ?6, ?7, 'WAITING', ?8, ?8)",
    )
    .bind(record_no.as_str())
    .bind(order.pay_no.as_str())
    .bind(seq)
    .bind(&new.idem_key)
    .bind(&new.request.bank_code)
    .bind(format!("B{record_no}"))
    .bind(order.money.minor)
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    RecordRow::get(db, &record_no).await
}

fn view(app: &App, order: &OrderRow, record: &RecordRow) -> AttemptView {
    AttemptView {
        pay_no: order.pay_no.clone(),
        record_no: record.record_no.clone(),
        redirect_url: redirect_url(app, order, record),
    }
}

/// The bank's cashier with what the payer is to pay, signed, since it travels through the payer's browser.
fn redirect_url(app: &App, order: &OrderRow, record: &RecordRow) -> String {
    let directory = &app.service.directory;
    let notices = banks::BANK_NOTICES.replace("{bank_code}", &record.bank_code);
    let values = [
        app.settings.platform_no.clone(),
        record.bank_order_no.clone(),
        record.money.minor.to_string(),
        record.money.currency.code().to_owned(),
        order.expire_at.to_string(),
        directory.url(ServiceName::Gateway, &notices),
        order.return_url.clone().unwrap_or_default(),
    ];
    let pairs = banks::CASHIER_PARAMETERS.into_iter().zip(values);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let signed = signing::sign_query(&app.settings.bank_secret, &query);
    directory.url(ServiceName::Bank, &format!("{}?{signed}", banks::CASHIER))
}
