//! Branch 02 of a settlement: the credit of a payment to its merchant.

use axum::Json;
use axum::extract::State;

use super::{TxnState, account_of, find_posting, mark_cancelled, mark_posted, wrong_state};
use crate::barrier::Entry;
use crate::contract::funds::{ACCOUNT_CLOSED, Credit};
use crate::foundation::branch::{BranchContext, BranchResult, Done, refuse};
use crate::foundation::service::Service;

/// Try: promises that the credit can be posted. The account row is only read.
pub(super) async fn reserve(
    State(service): State<Service>,
    call: BranchContext,
    Json(credit): Json<Credit>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        let account = account_of(&mut tx, &credit.merchant_no, credit.money.currency).await?;
        if account.is_closed() {
            return Err(refuse(ACCOUNT_CLOSED));
        }
        sqlx::query(
            "INSERT INTO funds_txn (txn_no, account_no, direction, amount, biz_type, biz_no, status, gid, branch_id,
                                    created_at, updated_at)
             VALUES (?1, ?2, 'C', ?3, 'PAY', ?4, 'TRYING', ?5, ?6, ?7, ?7)",
        )
        .bind(credit.txn_no.as_str())
        .bind(account.account_no)
        .bind(credit.money.minor)
        .bind(credit.biz_no.as_str())
        .bind(call.gid.as_str())
        .bind(call.branch_id)
        .bind(service.clock.now().as_micros())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Done)
}

/// Confirm: posts directly, so the account row moves and the posting takes its place in the account's history.
pub(super) async fn confirm(
    State(service): State<Service>,
    call: BranchContext,
    Json(credit): Json<Credit>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        let posting = find_posting(&mut tx, &credit.txn_no, credit.money).await?;
        match posting {
            Some(posting) if posting.state == TxnState::Trying => {
                let now = service.clock.now();
                let place = sqlx::query(
                    "UPDATE funds_account SET balance = balance + ?1, post_no = post_no + 1, updated_at = ?2
                      WHERE account_no = ?3 RETURNING balance, post_no",
                )
                .bind(posting.amount)
                .bind(now.as_micros())
                .bind(posting.account_no)
                .fetch_one(&mut *tx)
                .await?;
                mark_posted(&mut tx, &credit.txn_no, credit.acct_date, &place, now).await?;
            }
            // The row's own guard, for a barrier that let a repeated confirm through.
            Some(posting) if posting.state == TxnState::Posted => {}
            other => return Err(wrong_state(&credit.txn_no, other.map(|posting| posting.state))),
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// Cancel: the reservation goes, and with it the unique key that kept a second credit of this payment out.
pub(super) async fn cancel(
    State(service): State<Service>,
    call: BranchContext,
    Json(credit): Json<Credit>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run {
        match find_posting(&mut tx, &credit.txn_no, credit.money).await? {
            Some(posting) if posting.state == TxnState::Posted => {
                return Err(wrong_state(&credit.txn_no, Some(posting.state)));
            }
            Some(_) => mark_cancelled(&mut tx, &credit.txn_no, service.clock.now()).await?,
            None => {}
        }
    }
    tx.commit().await?;
    Ok(Done)
}
