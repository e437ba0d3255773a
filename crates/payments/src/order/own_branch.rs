//! Branch 01 of the settlement: the order itself.

use axum::Json;
use axum::extract::State;
use sqlx::sqlite::SqliteConnection;

use super::rows::{OrderRow, OrderState};
use super::{App, accounting, notice};
use crate::barrier::Entry;
use crate::contract::Topic;
use crate::contract::order::Settlement;
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done};
use crate::foundation::outbox::{OutboxMessage, enqueue};
use crate::ids::{Gid, PayNo};
use crate::time::Timestamp;

/// The order is not where its settlement left it. Nothing was changed; a person has to look.
#[derive(Debug, thiserror::Error)]
#[error("attempt {attempt} to settle {pay_no} finds the order {state:?} at attempt {found}")]
struct Misplaced {
    pay_no: PayNo,
    attempt: i64,
    state: OrderState,
    found: i64,
}

/// The order becomes `SUCCESS`, and whatever follows from that is in the outbox: one transaction.
pub(super) async fn confirm(
    State(app): State<App>,
    call: BranchContext,
    Json(settlement): Json<Settlement>,
) -> BranchResult {
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        succeed(&mut tx, &settlement, app.service.clock.now()).await?;
    }
    tx.commit().await?;
    app.service.outbox.wake();
    Ok(Done)
}

/// The order waits for its payment again; the bank's result is delivered again and begins the next attempt.
pub(super) async fn cancel(
    State(app): State<App>,
    call: BranchContext,
    Json(settlement): Json<Settlement>,
) -> BranchResult {
    cancel_locally(&app, &call, &settlement.pay_no, settlement.attempt).await?;
    Ok(Done)
}

/// What the cancel call does, also for the sweeper, which has no coordinator to be called by.
pub(super) async fn cancel_locally(
    app: &App,
    call: &BranchContext,
    pay_no: &PayNo,
    attempt: i64,
) -> Result<(), BranchError> {
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(call).enter(&mut tx).await? == Entry::Run {
        sqlx::query(
            "UPDATE payment_order SET status = 'WAIT_PAY', version = version + 1, updated_at = ?3
              WHERE pay_no = ?1 AND settle_attempt = ?2 AND status = 'SETTLING'",
        )
        .bind(pay_no.as_str())
        .bind(attempt)
        .bind(app.service.clock.now().as_micros())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn succeed(db: &mut SqliteConnection, settlement: &Settlement, now: Timestamp) -> Result<(), BranchError> {
    let order = OrderRow::get(db, &settlement.pay_no).await?;
    if order.settle_attempt != settlement.attempt || order.state != OrderState::Settling {
        // Only without a barrier does a repeat come this far.
        let repeat = order.settle_attempt == settlement.attempt && order.state == OrderState::Success;
        let Settlement { pay_no, attempt, .. } = settlement.clone();
        let misplaced = Misplaced { pay_no, attempt, state: order.state, found: order.settle_attempt };
        return if repeat { Ok(()) } else { Err(misplaced.into()) };
    }
    sqlx::query(
        "UPDATE payment_order SET status = 'SUCCESS', success_record_no = ?2, success_at = ?3, version = version + 1,
           updated_at = ?3 WHERE pay_no = ?1 AND status = 'SETTLING'",
    )
    .bind(settlement.pay_no.as_str())
    .bind(settlement.record_no.as_str())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE payment_record SET status = 'SUCCESS', updated_at = ?2
          WHERE record_no = ?1 AND status IN ('WAITING','CLOSED','FAILED')",
    )
    .bind(settlement.record_no.as_str())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    if accounting::Mode::of(&order.pay_no) == accounting::Mode::Outbox {
        let voucher = accounting::payment_voucher(&order, settlement.acct_date);
        let msg_id = Gid::new(format!("acct-{}", order.pay_no));
        let message = OutboxMessage::new(msg_id, Topic::Voucher, order.pay_no.as_str(), &voucher)?;
        enqueue(db, now, &message).await?;
    }
    notice::payment_succeeded(db, &order, settlement.acct_date, now).await
}
