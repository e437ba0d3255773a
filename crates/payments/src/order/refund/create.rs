//! T0 of a refund: the row, its barrier row, and the saga in the outbox.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::super::App;
use super::super::create::Owner;
use super::super::rows::{Numbers, OrderRow, OrderState, RefundRow, next_number};
use super::OWN_BRANCH;
use crate::barrier::{BarrierOp, Entry};
use crate::contract::Topic;
use crate::contract::funds::RefundHold;
use crate::contract::merchants::{RefundRequest, RefundView};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::branch::BranchContext;
use crate::foundation::outbox::{OutboxMessage, enqueue};
use crate::ids::{Gid, RecordNo, RefundNo};
use crate::money::{Money, MoneyError, cumulative_share};
use crate::time::Timestamp;

/// Begins the refund, or returns the one that stands.
pub(in super::super) async fn create(
    State(app): State<App>,
    Json(request): Json<RefundRequest>,
) -> ApiResult<(StatusCode, Json<RefundView>)> {
    let mut tx = app.service.db.begin().await?;
    let standing = RefundRow::find_of_merchant(&mut tx, &request.merchant_no, &request.merchant_refund_no).await?;
    if let Some(refund) = standing {
        return match refund.pay_no == request.pay_no && refund.money == request.money {
            true => Ok((StatusCode::OK, Json(refund.view()))),
            false => Err(ApiError::Conflict("IDEMPOTENCY_CONFLICT")),
        };
    }
    let order = OrderRow::find(&mut tx, &request.pay_no).await?;
    let order = order.filter(|order| order.merchant_no == request.merchant_no).ok_or(ApiError::NotFound)?;
    let (OrderState::Success, Some(record_no)) = (order.state, order.success_record_no.clone()) else {
        return Err(ApiError::Conflict("STATE"));
    };
    let shares = shares(&order, request.money, Given::read(&mut tx, &order).await?)?;
    let refund = insert(&app, &mut tx, &order, &record_no, &request, shares).await?;
    tx.commit().await?;
    app.service.outbox.wake();
    Ok((StatusCode::CREATED, Json(refund.view())))
}

/// Answers what became of a refund.
pub(in super::super) async fn show(
    State(app): State<App>,
    Path(merchant_refund_no): Path<String>,
    Query(owner): Query<Owner>,
) -> ApiResult<Json<RefundView>> {
    let mut reader = app.service.db.readers().acquire().await?;
    let refund = RefundRow::find_of_merchant(&mut reader, &owner.merchant_no, &merchant_refund_no).await?;
    Ok(Json(refund.ok_or(ApiError::NotFound)?.view()))
}

/// What an order's refunds, succeeded or open, have taken already, in minor units and points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    amount: i64,
    fee: i64,
    points: i64,
}

impl Given {
    async fn read(db: &mut SqliteConnection, order: &OrderRow) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(
            "SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(fee_back), 0) AS fee,
               coalesce(sum(points_back), 0) AS points
               FROM refund_order WHERE pay_no = ?1 AND kind = 'MERCHANT' AND status <> 'FAILED'",
        )
        .bind(order.pay_no.as_str())
        .fetch_one(db)
        .await?;
        Ok(Self { amount: row.try_get("amount")?, fee: row.try_get("fee")?, points: row.try_get("points")? })
    }
}

/// What one refund gives back beside its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    fee: i64,
    points: i64,
}

/// Cumulative shares: the refund that completes the amount takes the remainder, whatever the split.
fn shares(order: &OrderRow, money: Money, given: Given) -> ApiResult<Shares> {
    let done = given.amount.checked_add(money.minor).ok_or(MoneyError::Overflow)?;
    if money.currency != order.money.currency || done > order.money.minor {
        return Err(ApiError::Conflict("REFUND_EXCEEDS_PAYMENT"));
    }
    // Not below zero: a refund that failed in between may have left more given than its share would be now.
    let share =
        |total, given: i64| Ok::<_, MoneyError>((cumulative_share(total, done, order.money.minor)? - given).max(0));
    Ok(Shares { fee: share(order.fee, given.fee)?, points: share(order.points, given.points)? })
}

/// The barrier of a refund that does not exist yet has an entry already.
#[derive(Debug, thiserror::Error)]
#[error("refund {refund_no} began before")]
struct BegunBefore {
    refund_no: RefundNo,
}

async fn insert(
    app: &App,
    db: &mut SqliteConnection,
    order: &OrderRow,
    record_no: &RecordNo,
    request: &RefundRequest,
    shares: Shares,
) -> ApiResult<RefundRow> {
    let now: Timestamp = app.service.clock.now();
    let refund_no = RefundNo::new(next_number(db, Numbers::Refund, now.acct_date()).await?);
    let gid = Gid::refund(&refund_no);
    let own_action = BranchContext {
        gid: gid.clone(),
        trans_type: "saga".to_owned(),
        branch_id: OWN_BRANCH.to_owned(),
        op: BarrierOp::Action,
    };
    if app.service.barrier(&own_action).enter(db).await? != Entry::Run {
        return Err(BegunBefore { refund_no }.into());
    }
    sqlx::query(
        "INSERT INTO refund_order (refund_no, kind, pay_no, record_no, merchant_no, merchant_refund_no, amount, currency,
           fee_back, points_back, status, saga_gid, bank_refund_no, created_at, updated_at)
         VALUES (?1, 'MERCHANT', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'CREATED', ?10, ?1, ?11, ?11)",
    )
    .bind(refund_no.as_str())
    .bind(order.pay_no.as_str())
    .bind(record_no.as_str())
    .bind(order.merchant_no.as_str())
    .bind(&request.merchant_refund_no)
    .bind(request.money.minor)
    .bind(request.money.currency.code())
    .bind(shares.fee)
    .bind(shares.points)
    .bind(gid.as_str())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    let hold = RefundHold {
        refund_no: refund_no.clone(),
        pay_no: order.pay_no.clone(),
        merchant_no: order.merchant_no.clone(),
        money: Money { minor: request.money.minor - shares.fee, ..request.money },
    };
    let saga = OutboxMessage::new(gid, Topic::RefundSaga, refund_no.as_str(), &hold)?;
    enqueue(db, now, &saga).await?;
    RefundRow::find(db, &refund_no).await?.ok_or(ApiError::NotFound)
}
