//! What banks report. A notice that fits is stored together with the message that carries it on; one that does not is
//! stored as `REJECTED` and settles nothing. Either is answered `success`: asking again would not help.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use sqlx::sqlite::SqliteConnection;

use super::App;
use crate::barrier::Entry;
use crate::contract::banks::{BankNotice, SUCCESS, TradeEvent};
use crate::contract::merchants::{RECORD, RecordView};
use crate::contract::order::BankResult;
use crate::contract::{CALL_TIMEOUT, Topic};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::branch::{BranchContext, BranchResult, Done};
use crate::foundation::http::CallError;
use crate::foundation::outbox::{OutboxMessage, enqueue};
use crate::foundation::service::ServiceName;
use crate::ids::Gid;
use crate::signing::webhook::verify_attempt;
use crate::time::Timestamp;

use super::check::is_number;

/// Why a notice settles nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misfit {
    /// No attempt at this bank has this number, or it is no number.
    UnknownOrder,
    /// Another amount or currency than was to be paid.
    Amount,
    /// It contradicts itself, or is not about us.
    Content,
}

/// One notice as it came.
struct Received<'a> {
    bank_code: &'a str,
    notice_id: &'a str,
    notice: &'a BankNotice,
    raw: &'a str,
}

/// Checks the signature over the raw body, asks what was to be paid, stores, and only then acknowledges.
pub(super) async fn receive(
    State(app): State<App>,
    Path(bank_code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<&'static str> {
    let secret = app.settings.bank_secrets.get(&bank_code).ok_or(ApiError::Unauthorized("SIGNATURE"))?;
    let now = app.service.clock.now();
    let notice_id =
        verify_attempt(secret, &headers, &body, now.as_seconds()).map_err(|_| ApiError::Unauthorized("SIGNATURE"))?;
    let raw = std::str::from_utf8(&body).map_err(|_| ApiError::BadRequest("BODY"))?;
    let notice: BankNotice = serde_json::from_str(raw).map_err(|_| ApiError::BadRequest("BODY"))?;
    let misfit = misfit(&app, &bank_code, &notice).await?;
    let received = Received { bank_code: &bank_code, notice_id: &notice_id, notice: &notice, raw };
    let mut tx = app.service.db.begin().await?;
    match misfit {
        None => accept(&mut tx, &received, now).await?,
        Some(misfit) => {
            tracing::warn!(bank_code, bank_order_no = notice.data.bank_order_no, ?misfit, "bank notice rejected");
            reject(&mut tx, &received, now).await?;
        }
    }
    tx.commit().await?;
    app.service.outbox.wake();
    Ok(SUCCESS)
}

async fn misfit(app: &App, bank_code: &str, notice: &BankNotice) -> ApiResult<Option<Misfit>> {
    let trade = &notice.data;
    let says = match notice.event {
        TradeEvent::Succeeded => "SUCCESS",
        TradeEvent::Failed => "FAILED",
    };
    if trade.status != says || trade.platform_no != app.settings.platform_no || trade.cost < 0 {
        return Ok(Some(Misfit::Content));
    }
    if !is_number(&trade.bank_order_no) {
        return Ok(Some(Misfit::UnknownOrder));
    }
    let path = RECORD.replace("{bank_order_no}", &trade.bank_order_no);
    let url = app.service.directory.url(ServiceName::Order, &path);
    let reply = app.service.client.get(&url, CALL_TIMEOUT).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(Some(Misfit::UnknownOrder)),
        status => return Err(CallError::Status { status }.into()),
    }
    let record: RecordView = reply.json()?;
    if record.bank_code != bank_code {
        return Ok(Some(Misfit::UnknownOrder));
    }
    Ok((record.money != trade.money).then_some(Misfit::Amount))
}

/// Stores a notice that fits, in place of one that was rejected under the same key, and its message. A repeat finds both.
async fn accept(db: &mut SqliteConnection, received: &Received<'_>, now: Timestamp) -> ApiResult<()> {
    let stored = insert(
        db,
        received,
        "ACCEPTED",
        "ON CONFLICT (bank_code, ref_no, event) DO UPDATE SET notice_id = excluded.notice_id, amount = excluded.amount,
           currency = excluded.currency, acct_date = excluded.acct_date, payload = excluded.payload,
           source = excluded.source, status = excluded.status, updated_at = excluded.updated_at
          WHERE bank_notice.status = 'REJECTED'",
        now,
    );
    if !stored.await? {
        return Ok(());
    }
    let (trade, event) = (&received.notice.data, received.notice.event);
    let result = BankResult {
        bank_code: received.bank_code.to_owned(),
        bank_order_no: trade.bank_order_no.clone(),
        bank_trade_no: trade.trade_no.clone(),
        paid: event == TradeEvent::Succeeded,
        money: trade.money,
        cost: trade.cost,
        finished_at: trade.finished_at,
        bank_acct_date: trade.acct_date,
    };
    let msg_id = Gid::new(format!("bank-{}-{}-{}", received.bank_code, trade.bank_order_no, event.ending()));
    let message = OutboxMessage::new(msg_id, Topic::BankResult, trade.bank_order_no.as_str(), &result)?;
    Ok(enqueue(db, now, &message).await?)
}

/// Keeps a notice that fits nothing, for people to look at. It replaces none.
async fn reject(db: &mut SqliteConnection, received: &Received<'_>, now: Timestamp) -> Result<(), sqlx::Error> {
    insert(db, received, "REJECTED", "ON CONFLICT DO NOTHING", now).await.map(|_| ())
}

/// True if a row was written. `status` and `on_conflict` are this module's own constants.
async fn insert(
    db: &mut SqliteConnection,
    received: &Received<'_>,
    status: &'static str,
    on_conflict: &'static str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let trade = &received.notice.data;
    let sql = sqlx::AssertSqlSafe(format!(
        "INSERT INTO bank_notice (bank_code, ref_no, event, notice_id, amount, currency, acct_date, payload, source, status,
           created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'NOTIFY', ?9, ?10, ?10) {on_conflict}"
    ));
    let stored = sqlx::query(sql)
        .bind(received.bank_code)
        .bind(&trade.bank_order_no)
        .bind(received.notice.event.as_str())
        .bind(received.notice_id)
        .bind(trade.money.minor)
        .bind(trade.money.currency.code())
        .bind(trade.acct_date.to_string())
        .bind(received.raw)
        .bind(status)
        .bind(now.as_micros())
        .execute(db)
        .await?;
    Ok(stored.rows_affected() == 1)
}

/// Last branch of the message: the payment-order service has dealt with the result.
pub(super) async fn done(State(app): State<App>, call: BranchContext, Json(result): Json<BankResult>) -> BranchResult {
    let event = if result.paid { TradeEvent::Succeeded } else { TradeEvent::Failed };
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        sqlx::query(
            "UPDATE bank_notice SET status = 'DONE', updated_at = ?4
              WHERE bank_code = ?1 AND ref_no = ?2 AND event = ?3 AND status = 'ACCEPTED'",
        )
        .bind(&result.bank_code)
        .bind(&result.bank_order_no)
        .bind(event.as_str())
        .bind(app.service.clock.now().as_micros())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Done)
}
