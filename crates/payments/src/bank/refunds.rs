//! Refunds at the bank: idempotent by the platform's number, each final answer given for ever.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::Bank;
use super::temper::Temper;
use crate::contract::banks::{BankRefundRequest, BankRefundStatus, BankRefundView, REFUND_BUSY};
use crate::foundation::api::{ApiError, ApiResult};
use crate::money::{Currency, Money};
use crate::signing::request::Claims;
use crate::signing::signed_answer;
use crate::time::{AcctDate, Timestamp};

/// A refund as it stands here.
struct Refund {
    refund_no: String,
    bank_order_no: String,
    money: Money,
    status: BankRefundStatus,
    asked: i64,
    finished_at: Option<Timestamp>,
    acct_date: Option<AcctDate>,
}

/// `POST /v1/refunds`
pub(super) async fn create(
    State(bank): State<Bank>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Response> {
    let claims = verify(&bank, &method, &uri, &headers, &body)?;
    let outcome = async {
        let request: BankRefundRequest = serde_json::from_slice(&body).map_err(|_| ApiError::BadRequest("BODY"))?;
        refund(&bank, &request).await
    };
    Ok(answer(&bank, &claims, outcome.await))
}

/// `GET /v1/refunds/{platform_refund_no}`
pub(super) async fn show(
    State(bank): State<Bank>,
    Path(platform_refund_no): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let claims = verify(&bank, &method, &uri, &headers, b"")?;
    let outcome = async {
        let mut reader = bank.db.readers().acquire().await?;
        let refund = find(&mut reader, &platform_refund_no).await?;
        Ok(refund.ok_or(ApiError::NotFound)?.view())
    };
    Ok(answer(&bank, &claims, outcome.await))
}

/// Nonces are not remembered here: a replayed request is a repeat, and gets the same answer.
fn verify(bank: &Bank, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> ApiResult<Claims> {
    let refused = |_| ApiError::Unauthorized("SIGNATURE");
    let claims = Claims::read(headers).map_err(refused)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let now = bank.clock.now().as_seconds();
    claims.verify(&bank.settings.api_secret, method.as_str(), path, body, now).map_err(refused)?;
    if claims.merchant_no == bank.settings.platform_no { Ok(claims) } else { Err(ApiError::Unauthorized("SIGNATURE")) }
}

fn answer<T: Serialize>(bank: &Bank, claims: &Claims, outcome: ApiResult<T>) -> Response {
    let outcome = outcome.and_then(|view| Ok((StatusCode::OK, serde_json::to_vec(&view)?)));
    let (status, body) = outcome.unwrap_or_else(|error| {
        let (status, body) = error.answer();
        // Texts and a bool always make JSON.
        (status, serde_json::to_vec(&body).unwrap_or_default())
    });
    let now = bank.clock.now().as_seconds();
    signed_answer(&bank.settings.api_secret, now, &claims.nonce, status, body.into())
}

async fn refund(bank: &Bank, request: &BankRefundRequest) -> ApiResult<BankRefundView> {
    if request.platform_no != bank.settings.platform_no || request.money.minor <= 0 {
        return Err(ApiError::BadRequest("BODY"));
    }
    let now = bank.clock.now();
    let mut tx = bank.db.begin().await?;
    let refund = find_or_begin(&mut tx, request, now).await?;
    if refund.status == BankRefundStatus::Processing {
        let temper = Temper::of(bank.settings.seed, bank.settings.refunds, &request.platform_refund_no);
        advance(&mut tx, request, &refund, temper, now).await?;
    }
    let refund = find(&mut tx, &request.platform_refund_no).await?.ok_or(ApiError::NotFound)?;
    tx.commit().await?;
    Ok(refund.view())
}

async fn find_or_begin(db: &mut SqliteConnection, request: &BankRefundRequest, now: Timestamp) -> ApiResult<Refund> {
    if let Some(refund) = find(db, &request.platform_refund_no).await? {
        let same = refund.bank_order_no == request.bank_order_no && refund.money == request.money;
        return if same { Ok(refund) } else { Err(ApiError::Conflict("IDEMPOTENCY_CONFLICT")) };
    }
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM trade WHERE bank_order_no = ?1)")
        .bind(&request.bank_order_no)
        .fetch_one(&mut *db)
        .await?;
    if !known {
        return Err(ApiError::NotFound);
    }
    let busy: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM refund WHERE bank_order_no = ?1 AND status = 'PROCESSING')")
            .bind(&request.bank_order_no)
            .fetch_one(&mut *db)
            .await?;
    if busy {
        return Err(ApiError::Conflict(REFUND_BUSY));
    }
    sqlx::query(
        "INSERT INTO refund (platform_refund_no, refund_no, bank_order_no, amount, currency, status, created_at, updated_at)
         VALUES (?1, 'BR' || ?1, ?2, ?3, ?4, 'PROCESSING', ?5, ?5)",
    )
    .bind(&request.platform_refund_no)
    .bind(&request.bank_order_no)
    .bind(request.money.minor)
    .bind(request.money.currency.code())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    find(db, &request.platform_refund_no).await?.ok_or(ApiError::NotFound)
}

/// Counts that it was asked for, and ends it when its time has come: paid if the temper and the trade allow it.
async fn advance(
    db: &mut SqliteConnection,
    request: &BankRefundRequest,
    refund: &Refund,
    temper: Temper,
    now: Timestamp,
) -> ApiResult<()> {
    let ends = refund.asked >= i64::from(temper.processing);
    let pays = ends && !temper.refuses && pay(db, request, now).await?;
    let status = match (ends, pays) {
        (false, _) => "PROCESSING",
        (true, true) => "SUCCESS",
        (true, false) => "FAILED",
    };
    sqlx::query(
        "UPDATE refund SET asked = asked + 1, status = ?2, finished_at = ?3, acct_date = ?4, updated_at = ?5
          WHERE platform_refund_no = ?1 AND status = 'PROCESSING'",
    )
    .bind(&request.platform_refund_no)
    .bind(status)
    .bind(ends.then(|| now.as_micros()))
    .bind(ends.then(|| now.acct_date().to_string()))
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// True if the trade was paid and has that much left.
async fn pay(db: &mut SqliteConnection, request: &BankRefundRequest, now: Timestamp) -> Result<bool, sqlx::Error> {
    let paid = sqlx::query(
        "UPDATE trade SET refunded = refunded + ?2, updated_at = ?4
          WHERE bank_order_no = ?1 AND status = 'SUCCESS' AND currency = ?3 AND refunded + ?2 <= amount",
    )
    .bind(&request.bank_order_no)
    .bind(request.money.minor)
    .bind(request.money.currency.code())
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(paid.rows_affected() == 1)
}

async fn find(db: &mut SqliteConnection, platform_refund_no: &str) -> Result<Option<Refund>, sqlx::Error> {
    let row = sqlx::query("SELECT * FROM refund WHERE platform_refund_no = ?1").bind(platform_refund_no);
    row.fetch_optional(db).await?.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<Refund, sqlx::Error> {
    let bad = |what: &str| sqlx::Error::Decode(format!("unreadable refund: {what}").into());
    let status = match row.try_get::<&str, _>("status")? {
        "PROCESSING" => BankRefundStatus::Processing,
        "SUCCESS" => BankRefundStatus::Success,
        "FAILED" => BankRefundStatus::Failed,
        other => return Err(bad(other)),
    };
    let currency = Currency::from_code(row.try_get("currency")?).ok_or_else(|| bad("currency"))?;
    let acct_date: Option<&str> = row.try_get("acct_date")?;
    Ok(Refund {
        refund_no: row.try_get("refund_no")?,
        bank_order_no: row.try_get("bank_order_no")?,
        money: Money { minor: row.try_get("amount")?, currency },
        status,
        asked: row.try_get("asked")?,
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(Timestamp::from_micros),
        acct_date: acct_date.map(|date| date.parse().map_err(|_| bad("acct_date"))).transpose()?,
    })
}

impl Refund {
    fn view(&self) -> BankRefundView {
        BankRefundView {
            refund_no: self.refund_no.clone(),
            status: self.status,
            money: self.money,
            finished_at: self.finished_at,
            acct_date: self.acct_date,
        }
    }
}
