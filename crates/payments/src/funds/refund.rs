//! A refund's money: held on the merchant's account before the bank is asked, and taken off the balance afterwards.

use axum::Json;
use axum::extract::State;
use sqlx::sqlite::SqliteConnection;

use super::{Account, TxnState, account_of, find_posting, mark_cancelled, mark_posted, wrong_state};
use crate::barrier::Entry;
use crate::contract::RefundPosting;
use crate::contract::funds::{ACCOUNT_CLOSED, MERCHANT_SHORT, RefundHold};
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done, in_progress, refuse};
use crate::foundation::service::Service;
use crate::ids::{PayNo, RefundNo, TxnNo};
use crate::time::Timestamp;

/// The one posting of a refund: its number follows from the refund's.
fn hold_txn_no(refund_no: &RefundNo) -> TxnNo {
    TxnNo::new(format!("{refund_no}-hold"))
}

/// Step 1 of the refund's saga: the money is out of the merchant's reach from here on.
pub(super) async fn hold(
    State(service): State<Service>,
    call: BranchContext,
    Json(hold): Json<RefundHold>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && hold.money.minor != 0 {
        let account = account_of(&mut tx, &hold.merchant_no, hold.money.currency).await?;
        if account.is_closed() {
            return Err(refuse(ACCOUNT_CLOSED));
        }
        if !is_credit_posted(&mut tx, &account, &hold.pay_no).await? {
            return Err(in_progress("the payment is not credited yet"));
        }
        freeze(&mut tx, &account, &call, &hold, service.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(Done)
}

/// Undo of step 1.
pub(super) async fn release(
    State(service): State<Service>,
    call: BranchContext,
    Json(hold): Json<RefundHold>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && hold.money.minor != 0 {
        let txn_no = hold_txn_no(&hold.refund_no);
        match find_posting(&mut tx, &txn_no, hold.money).await? {
            Some(posting) if posting.state == TxnState::Trying => {
                let now = service.clock.now();
                sqlx::query("UPDATE funds_account SET frozen = frozen - ?1, updated_at = ?2 WHERE account_no = ?3")
                    .bind(posting.amount)
                    .bind(now.as_micros())
                    .bind(posting.account_no)
                    .execute(&mut *tx)
                    .await?;
                mark_cancelled(&mut tx, &txn_no, now).await?;
            }
            // The row's own guard, for a barrier that let an empty or repeated compensation through.
            None | Some(super::Posting { state: TxnState::Cancelled, .. }) => {}
            Some(posting) => return Err(wrong_state(&txn_no, Some(posting.state))),
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// After the refund has succeeded: the held money leaves the balance.
pub(super) async fn post(
    State(service): State<Service>,
    call: BranchContext,
    Json(refund): Json<RefundPosting>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && refund.money.minor != 0 {
        let txn_no = hold_txn_no(&refund.refund_no);
        match find_posting(&mut tx, &txn_no, refund.money).await? {
            Some(posting) if posting.state == TxnState::Trying => {
                let now = service.clock.now();
                let place = sqlx::query(
                    "UPDATE funds_account SET balance = balance - ?1, frozen = frozen - ?1, post_no = post_no + 1,
                            updated_at = ?2 WHERE account_no = ?3 RETURNING balance, post_no",
                )
                .bind(posting.amount)
                .bind(now.as_micros())
                .bind(posting.account_no)
                .fetch_one(&mut *tx)
                .await?;
                mark_posted(&mut tx, &txn_no, refund.acct_date, &place, now).await?;
            }
            // The row's own guard, for a barrier that let a repeated delivery through.
            Some(posting) if posting.state == TxnState::Posted => {}
            other => return Err(wrong_state(&txn_no, other.map(|posting| posting.state))),
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// Whether the payment's money has arrived on the account. A payment that was never credited cannot be refunded.
async fn is_credit_posted(db: &mut SqliteConnection, account: &Account, pay_no: &PayNo) -> Result<bool, BranchError> {
    let status: Option<String> = sqlx::query_scalar(
        "SELECT status FROM funds_txn WHERE account_no = ?1 AND biz_type = 'PAY' AND biz_no = ?2 AND direction = 'C'
            AND status <> 'CANCELLED'",
    )
    .bind(&account.account_no)
    .bind(pay_no.as_str())
    .fetch_optional(db)
    .await?;
    match status.as_deref().map(TxnState::parse).transpose()? {
        Some(TxnState::Posted) => Ok(true),
        Some(TxnState::Trying) => Ok(false),
        found => Err(wrong_state(&TxnNo::new(pay_no.as_str()), found)),
    }
}

/// Moves the amount from free to frozen, if there is that much, and notes what for.
async fn freeze(
    db: &mut SqliteConnection,
    account: &Account,
    call: &BranchContext,
    hold: &RefundHold,
    now: Timestamp,
) -> Result<(), BranchError> {
    let frozen = sqlx::query(
        "UPDATE funds_account SET frozen = frozen + ?1, updated_at = ?2
          WHERE account_no = ?3 AND balance - frozen >= ?1",
    )
    .bind(hold.money.minor)
    .bind(now.as_micros())
    .bind(&account.account_no)
    .execute(&mut *db)
    .await?;
    if frozen.rows_affected() == 0 {
        return Err(refuse(MERCHANT_SHORT));
    }
    sqlx::query(
        "INSERT INTO funds_txn (txn_no, account_no, direction, amount, biz_type, biz_no, status, gid, branch_id,
                                created_at, updated_at)
         VALUES (?1, ?2, 'D', ?3, 'REFUND', ?4, 'TRYING', ?5, ?6, ?7, ?7)",
    )
    .bind(hold_txn_no(&hold.refund_no).as_str())
    .bind(&account.account_no)
    .bind(hold.money.minor)
    .bind(hold.refund_no.as_str())
    .bind(call.gid.as_str())
    .bind(&call.branch_id)
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}
