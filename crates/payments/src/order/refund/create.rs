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
    if money.minor <= 0 {
        return Err(ApiError::BadRequest("AMOUNT"));
    }
    let done = given.amount.checked_add(money.minor).ok_or(MoneyError::Overflow)?;
    if money.currency != order.money.currency || done > order.money.minor {
        return Err(ApiError::Conflict("REFUND_EXCEEDS_PAYMENT"));
    }
    // Refunds that failed in between may have left more given than the share would be now, or so much less that catching up
    // at once would give back more fee than amount: the merchant cannot be held for less than nothing.
    let share = |total, given: i64| Ok::<_, MoneyError>(cumulative_share(total, done, order.money.minor)? - given);
    Ok(Shares {
        fee: share(order.fee, given.fee)?.clamp(0, money.minor),
        points: share(order.points, given.points)?.max(0),
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{MerchantNo, PayNo, PayerNo};

    fn order(amount: i64, fee: i64, points: i64) -> OrderRow {
        OrderRow {
            pay_no: PayNo::new("P1"),
            merchant_no: MerchantNo::new("M1001"),
            merchant_order_no: "SO1".to_owned(),
            req_hash: String::new(),
            payer_no: PayerNo::new("U1"),
            money: Money::cny(amount),
            fee,
            points,
            notify_url: None,
            return_url: None,
            state: OrderState::Success,
            settle_attempt: 1,
            success_record_no: None,
            refunded_amount: 0,
            acct_date: None,
            expire_at: Timestamp::from_micros(0),
            success_at: None,
            closed_at: None,
            version: 1,
        }
    }

    const NOTHING: Given = Given { amount: 0, fee: 0, points: 0 };

    impl Given {
        /// One more refund is open; returns what it gives back.
        fn take(&mut self, order: &OrderRow, amount: i64) -> Shares {
            let shares = shares(order, Money::cny(amount), *self).unwrap();
            self.add(1, amount, shares);
            shares
        }

        fn add(&mut self, sign: i64, amount: i64, shares: Shares) {
            self.amount += sign * amount;
            self.fee += sign * shares.fee;
            self.points += sign * shares.points;
        }
    }

    #[test]
    fn a_refund_is_of_something_and_of_no_more_than_is_left() {
        let given = Given { amount: 40, fee: 0, points: 0 };
        assert_eq!(shares(&order(100, 0, 0), Money::cny(60), given).unwrap(), Shares { fee: 0, points: 0 });
        for minor in [i64::MIN, -1, 0, 61, i64::MAX] {
            assert!(shares(&order(100, 0, 0), Money::cny(minor), given).is_err(), "{minor}");
        }
    }

    /// Half of the payment is fee, and the refunds that take a unit of it along all fail.
    #[test]
    fn refunds_that_failed_do_not_make_a_later_one_give_back_more_fee_than_amount() {
        let order = order(100, 50, 1);
        let mut given = NOTHING;
        let small: Vec<Shares> = (0..10).map(|_| given.take(&order, 1)).collect();
        assert_eq!(small.iter().map(|shares| shares.fee).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
        for failed in small.into_iter().filter(|shares| shares.fee == 1) {
            given.add(-1, 1, failed);
        }
        assert_eq!(given, Given { amount: 5, fee: 0, points: 0 });
        assert_eq!(given.take(&order, 1), Shares { fee: 1, points: 0 });
        assert_eq!(given.take(&order, 94), Shares { fee: 49, points: 1 });
    }

    proptest! {
        /// Whichever refunds fail, none gives back more fee than amount, and those that complete the amount complete the rest.
        #[test]
        fn refunds_in_parts_give_everything_back_whichever_of_them_fail(
            (amount, fee) in (1_i64..300).prop_flat_map(|amount| (Just(amount), 0..=amount)),
            points in 0_i64..5,
            first in prop::collection::vec((1_i64..40, any::<bool>()), 0..20),
            second in prop::collection::vec(1_i64..40, 0..20),
        ) {
            let order = order(amount, fee, points);
            let (mut given, mut failed) = (NOTHING, Vec::new());
            for (part, fails) in first {
                let part = part.min(amount - given.amount);
                if part > 0 {
                    let shares = given.take(&order, part);
                    prop_assert!((0..=part).contains(&shares.fee));
                    failed.extend(fails.then_some((part, shares)));
                }
            }
            for (part, shares) in failed {
                given.add(-1, part, shares);
            }
            for part in second.into_iter().chain([amount]) {
                let part = part.min(amount - given.amount);
                if part > 0 {
                    let shares = given.take(&order, part);
                    prop_assert!((0..=part).contains(&shares.fee));
                }
            }
            prop_assert_eq!(given, Given { amount, fee, points });
        }
    }
}
