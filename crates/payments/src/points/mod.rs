//! The points service (积分账户): what payers have been granted.
//!
//! ```text
//! grant of a payment     TRYING -> POSTED | CANCELLED
//! revocation by refund   inserted as POSTED; the one thing that may push an account below zero
//! ```

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::barrier::Entry;
use crate::contract::RefundPosting;
use crate::contract::points::{GRANT_CANCEL, GRANT_CONFIRM, GRANT_TRY, Grant, REVOKE};
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done};
use crate::foundation::db::Database;
use crate::foundation::service::Service;
use crate::ids::{PayerNo, TxnNo};
use crate::time::Timestamp;

/// The service's routes.
pub fn router(service: Service) -> Router {
    Router::new()
        .route(GRANT_TRY, post(reserve))
        .route(GRANT_CONFIRM, post(confirm))
        .route(GRANT_CANCEL, post(cancel))
        .route(REVOKE, post(revoke))
        .with_state(service)
}

/// Opens an empty account for each payer that has none.
///
/// # Errors
/// The database did not answer.
pub async fn open_accounts(db: &Database, owners: &[PayerNo], now: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    for owner in owners {
        open_account(&mut tx, owner, now).await?;
    }
    tx.commit().await
}

async fn open_account(db: &mut SqliteConnection, owner: &PayerNo, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO points_account (owner_no, created_at, updated_at) VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING",
    )
    .bind(owner.as_str())
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// Rows that are not as they must be. Nothing was changed; the coordinator asks again, and a person finds out why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PointsError {
    /// A posting is missing, or has gone another way than the call assumes.
    #[error("points posting {txn_no} is {found:?}, which does not fit the call")]
    WrongState {
        /// The posting.
        txn_no: TxnNo,
        /// Its status; `None`: there is no such posting.
        found: Option<String>,
    },
    /// The call names another number of points than the posting was made with.
    #[error("points posting {txn_no} is of {stored} points, the call says {called}")]
    PointsDiffer {
        /// The posting.
        txn_no: TxnNo,
        /// Points as stored.
        stored: i64,
        /// Points as called.
        called: i64,
    },
    /// Points are to be taken from somebody who never had any.
    #[error("{owner_no} has no points account")]
    NoAccount {
        /// The payer.
        owner_no: PayerNo,
    },
}

/// Try of branch 03: the account is there, the grant is noted and counts for nothing yet.
async fn reserve(State(service): State<Service>, call: BranchContext, Json(grant): Json<Grant>) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && grant.points != 0 {
        let now = service.clock.now();
        open_account(&mut tx, &grant.owner_no, now).await?;
        sqlx::query(
            "INSERT INTO points_txn (txn_no, owner_no, kind, amount, biz_type, biz_no, status, gid, branch_id, acct_date,
                                     created_at, updated_at)
             VALUES (?1, ?2, 'GRANT', ?3, 'PAY', ?4, 'TRYING', ?5, ?6, ?7, ?8, ?8)",
        )
        .bind(grant.txn_no.as_str())
        .bind(grant.owner_no.as_str())
        .bind(grant.points)
        .bind(grant.biz_no.as_str())
        .bind(call.gid.as_str())
        .bind(call.branch_id)
        .bind(grant.acct_date.to_string())
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(Done)
}

/// Confirm of branch 03: the points are the payer's.
async fn confirm(State(service): State<Service>, call: BranchContext, Json(grant): Json<Grant>) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && grant.points != 0 {
        match status_of(&mut tx, &grant).await?.as_deref() {
            Some("TRYING") => {
                let now = service.clock.now();
                mark(&mut tx, &grant.txn_no, "POSTED", now).await?;
                sqlx::query(
                    "UPDATE points_account SET available = available + ?1, granted_total = granted_total + ?1,
                            updated_at = ?2 WHERE owner_no = ?3",
                )
                .bind(grant.points)
                .bind(now.as_micros())
                .bind(grant.owner_no.as_str())
                .execute(&mut *tx)
                .await?;
            }
            // The row's own guard, for a barrier that let a repeated confirm through.
            Some("POSTED") => {}
            other => return Err(wrong_state(&grant.txn_no, other)),
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// Cancel of branch 03: the note is struck out.
async fn cancel(State(service): State<Service>, call: BranchContext, Json(grant): Json<Grant>) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && grant.points != 0 {
        match status_of(&mut tx, &grant).await?.as_deref() {
            Some("TRYING") => mark(&mut tx, &grant.txn_no, "CANCELLED", service.clock.now()).await?,
            // The row's own guard, for a barrier that let an empty or repeated cancel through.
            None | Some("CANCELLED") => {}
            other => return Err(wrong_state(&grant.txn_no, other)),
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// After a refund: the points that belong to the refunded part go back.
async fn revoke(
    State(service): State<Service>,
    call: BranchContext,
    Json(refund): Json<RefundPosting>,
) -> BranchResult {
    let mut tx = service.db.begin().await?;
    if service.barrier(&call).enter(&mut tx).await? == Entry::Run && refund.points != 0 {
        let now = service.clock.now();
        let inserted = sqlx::query(
            "INSERT INTO points_txn (txn_no, owner_no, kind, amount, biz_type, biz_no, status, gid, branch_id, acct_date,
                                     created_at, updated_at)
             SELECT ?1, owner_no, 'REVOKE', ?3, 'REFUND', ?4, 'POSTED', ?5, ?6, ?7, ?8, ?8
               FROM points_account WHERE owner_no = ?2 ON CONFLICT (txn_no) DO NOTHING",
        )
        .bind(format!("{}-revoke", refund.refund_no))
        .bind(refund.owner_no.as_str())
        .bind(refund.points)
        .bind(refund.refund_no.as_str())
        .bind(call.gid.as_str())
        .bind(call.branch_id)
        .bind(refund.acct_date.to_string())
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
        // Nothing inserted: the row's own guard kept a repeated delivery out, or there is no such account.
        let taken = if inserted.rows_affected() == 1 { refund.points } else { 0 };
        let account = sqlx::query(
            "UPDATE points_account SET available = available - ?1, revoked_total = revoked_total + ?1, updated_at = ?2
              WHERE owner_no = ?3",
        )
        .bind(taken)
        .bind(now.as_micros())
        .bind(refund.owner_no.as_str())
        .execute(&mut *tx)
        .await?;
        if account.rows_affected() == 0 {
            return Err(PointsError::NoAccount { owner_no: refund.owner_no }.into());
        }
    }
    tx.commit().await?;
    Ok(Done)
}

/// The status of the grant's posting, if there is one. Its points must be those the call names.
async fn status_of(db: &mut SqliteConnection, grant: &Grant) -> Result<Option<String>, BranchError> {
    let row = sqlx::query("SELECT amount, status FROM points_txn WHERE txn_no = ?1")
        .bind(grant.txn_no.as_str())
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let stored = row.try_get("amount")?;
    if stored != grant.points {
        return Err(PointsError::PointsDiffer { txn_no: grant.txn_no.clone(), stored, called: grant.points }.into());
    }
    Ok(Some(row.try_get("status")?))
}

async fn mark(
    db: &mut SqliteConnection,
    txn_no: &TxnNo,
    status: &'static str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE points_txn SET status = ?1, updated_at = ?2 WHERE txn_no = ?3 AND status = 'TRYING'")
        .bind(status)
        .bind(now.as_micros())
        .bind(txn_no.as_str())
        .execute(db)
        .await?;
    Ok(())
}

fn wrong_state(txn_no: &TxnNo, found: Option<&str>) -> BranchError {
    PointsError::WrongState { txn_no: txn_no.clone(), found: found.map(str::to_owned) }.into()
}
