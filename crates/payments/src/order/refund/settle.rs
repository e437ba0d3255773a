//! The two ends of a refund: step 4 makes it `SUCCESS`; the undo of step 1 makes it `FAILED`.

use axum::Json;
use axum::extract::State;
use sqlx::sqlite::SqliteConnection;

use super::super::rows::{OrderRow, RefundRow, RefundState};
use super::super::{App, accounting, notice};
use crate::barrier::Entry;
use crate::contract::order::RefundRef;
use crate::contract::{RefundPosting, Topic};
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done};
use crate::foundation::outbox::{OutboxMessage, enqueue};
use crate::ids::{Gid, RefundNo};
use crate::money::Money;
use crate::time::{AcctDate, Timestamp};

/// The refund is not where its saga left it. Nothing was changed; a person has to look.
#[derive(Debug, thiserror::Error)]
enum RefundError {
    #[error("refund {refund_no} is not known here")]
    Unknown { refund_no: RefundNo },
    #[error("refund {refund_no} cannot be settled while {state:?}, bank final: {bank_final}")]
    NotSettled { refund_no: RefundNo, state: RefundState, bank_final: bool },
    #[error("refund {refund_no} cannot fail: the bank has paid it")]
    BankHasPaid { refund_no: RefundNo },
}

/// The refund is a success, and whatever follows from that is in the outbox: one transaction.
pub(in super::super) async fn action(
    State(app): State<App>,
    call: BranchContext,
    Json(RefundRef { refund_no }): Json<RefundRef>,
) -> BranchResult {
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        succeed(&mut tx, &refund_no, app.service.clock.now()).await?;
    }
    tx.commit().await?;
    app.service.outbox.wake();
    Ok(Done)
}

/// The saga turned back: the refund has failed.
pub(in super::super) async fn compensate(
    State(app): State<App>,
    call: BranchContext,
    Json(RefundRef { refund_no }): Json<RefundRef>,
) -> BranchResult {
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        fail(&mut tx, &refund_no, app.service.clock.now()).await?;
    }
    tx.commit().await?;
    app.service.outbox.wake();
    Ok(Done)
}

async fn get(db: &mut SqliteConnection, refund_no: &RefundNo) -> Result<(RefundRow, OrderRow), BranchError> {
    let refund = RefundRow::find(db, refund_no).await?;
    let refund = refund.ok_or_else(|| RefundError::Unknown { refund_no: refund_no.clone() })?;
    let order = OrderRow::get(db, &refund.pay_no).await?;
    Ok((refund, order))
}

async fn succeed(db: &mut SqliteConnection, refund_no: &RefundNo, now: Timestamp) -> Result<(), BranchError> {
    let (refund, order) = get(db, refund_no).await?;
    match refund.state {
        RefundState::AtBank if refund.bank_finished_at.is_some() => {}
        // Only without a barrier does a repeat come this far.
        RefundState::Success => return Ok(()),
        state => {
            let (refund_no, bank_final) = (refund.refund_no, refund.bank_finished_at.is_some());
            return Err(RefundError::NotSettled { refund_no, state, bank_final }.into());
        }
    }
    let acct_date = now.acct_date();
    sqlx::query(
        "UPDATE refund_order SET status = 'SUCCESS', acct_date = ?2, updated_at = ?3
          WHERE refund_no = ?1 AND status = 'AT_BANK'",
    )
    .bind(refund.refund_no.as_str())
    .bind(acct_date.to_string())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE payment_order SET refunded_amount = refunded_amount + ?2, refunded_fee = refunded_fee + ?3,
           version = version + 1, updated_at = ?4 WHERE pay_no = ?1",
    )
    .bind(order.pay_no.as_str())
    .bind(refund.money.minor)
    .bind(refund.fee_back)
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    enqueue_postings(db, &order, &refund, acct_date, now).await?;
    notice::refund_ended(db, &order, &refund, Some(acct_date), now).await
}

/// The held money leaves and points are taken back; the voucher is booked.
async fn enqueue_postings(
    db: &mut SqliteConnection,
    order: &OrderRow,
    refund: &RefundRow,
    acct_date: AcctDate,
    now: Timestamp,
) -> Result<(), BranchError> {
    let refund_no = &refund.refund_no;
    let posting = RefundPosting {
        refund_no: refund_no.clone(),
        merchant_no: refund.merchant_no.clone(),
        money: Money { minor: refund.money.minor - refund.fee_back, ..refund.money },
        owner_no: order.payer_no.clone(),
        points: refund.points_back,
        acct_date,
    };
    let voucher = accounting::refund_voucher(refund, acct_date);
    let gid = |prefix| Gid::new(format!("{prefix}-{refund_no}"));
    let key = refund_no.as_str();
    enqueue(db, now, &OutboxMessage::new(gid("refund"), Topic::Refund, key, &posting)?).await?;
    enqueue(db, now, &OutboxMessage::new(gid("acct"), Topic::Voucher, key, &voucher)?).await?;
    Ok(())
}

async fn fail(db: &mut SqliteConnection, refund_no: &RefundNo, now: Timestamp) -> Result<(), BranchError> {
    let (refund, order) = get(db, refund_no).await?;
    if refund.bank_finished_at.is_some() {
        return Err(RefundError::BankHasPaid { refund_no: refund.refund_no }.into());
    }
    // Without a code from the bank's step, it was the hold that was refused.
    let failed = sqlx::query(
        "UPDATE refund_order SET status = 'FAILED', fail_code = coalesce(fail_code, 'HOLD_REFUSED'), updated_at = ?2
          WHERE refund_no = ?1 AND status IN ('CREATED','HELD','AT_BANK','ABNORMAL')",
    )
    .bind(refund.refund_no.as_str())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    if failed.rows_affected() == 0 {
        return Ok(());
    }
    notice::refund_ended(db, &order, &refund, None, now).await
}
