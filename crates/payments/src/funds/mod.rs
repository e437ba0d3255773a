//! The funds service (资金账户): merchants' money.
//!
//! A tried credit is a row that nobody can spend; a held debit is `frozen`, already out of reach. So nothing tried is ever
//! spent, and giving up can never make an account negative.
//!
//! ```text
//! credit of a payment    TRYING -> POSTED | CANCELLED        Try writes no account row: hot accounts are locked only to post
//! debit of a refund      TRYING -> POSTED | CANCELLED        TRYING is counted in the account's `frozen`
//! ```

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, http::StatusCode};
use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::contract::funds::{
    ACCOUNT, AccountView, CREDIT_CANCEL, CREDIT_CONFIRM, CREDIT_TRY, HOLD_ACTION, HOLD_COMPENSATE, REFUND_POST,
};
use crate::foundation::branch::BranchError;
use crate::foundation::db::Database;
use crate::foundation::service::Service;
use crate::ids::{MerchantNo, TxnNo};
use crate::money::{Currency, Money};
use crate::time::{AcctDate, Timestamp};

mod credit;
mod refund;

/// The service's routes.
pub fn router(service: Service) -> Router {
    Router::new()
        .route(CREDIT_TRY, post(credit::reserve))
        .route(CREDIT_CONFIRM, post(credit::confirm))
        .route(CREDIT_CANCEL, post(credit::cancel))
        .route(HOLD_ACTION, post(refund::hold))
        .route(HOLD_COMPENSATE, post(refund::release))
        .route(REFUND_POST, post(refund::post))
        .route(ACCOUNT, get(account))
        .with_state(service)
}

/// Opens a merchant's account with direct posting and nothing on it; does nothing if it exists.
///
/// # Errors
/// The database did not answer.
pub async fn open_merchant_account(db: &Database, merchant_no: &MerchantNo, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "INSERT INTO funds_account (account_no, owner_type, owner_no, currency, posting, created_at, updated_at)
         VALUES (?1, 'MERCHANT', ?2, ?3, 'direct', ?4, ?4) ON CONFLICT DO NOTHING",
    )
    .bind(format!("F-{merchant_no}"))
    .bind(merchant_no.as_str())
    .bind(Currency::Cny.code())
    .bind(now.as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Rows that are not as they must be. Nothing was changed; the coordinator asks again, and a person finds out why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FundsError {
    /// The merchant has no account in this currency.
    #[error("merchant {merchant_no} has no {} account", .currency.code())]
    NoAccount {
        /// The merchant.
        merchant_no: MerchantNo,
        /// The currency.
        currency: Currency,
    },
    /// A posting is missing, or has gone another way than the call assumes.
    #[error("posting {txn_no} is {found:?}, which does not fit the call")]
    WrongState {
        /// The posting.
        txn_no: TxnNo,
        /// Its state; `None`: there is no such posting.
        found: Option<TxnState>,
    },
    /// The call names another amount than the posting was made with.
    #[error("posting {txn_no} is of {stored} minor units, the call says {called}")]
    AmountDiffers {
        /// The posting.
        txn_no: TxnNo,
        /// Minor units as stored.
        stored: i64,
        /// Minor units as called.
        called: i64,
    },
}

/// Where a posting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnState {
    /// Reserved.
    Trying,
    /// In the book.
    Posted,
    /// Given up.
    Cancelled,
}

impl TxnState {
    fn parse(text: &str) -> Result<Self, sqlx::Error> {
        match text {
            "TRYING" => Ok(Self::Trying),
            "POSTED" => Ok(Self::Posted),
            "CANCELLED" => Ok(Self::Cancelled),
            other => Err(sqlx::Error::Decode(format!("funds_txn.status {other:?}").into())),
        }
    }
}

/// An account row, as far as the branches need it.
struct Account {
    account_no: String,
    status: String,
    balance: i64,
    frozen: i64,
}

impl Account {
    /// Closing or closed: it may never receive or pay again. A frozen one may still receive.
    fn is_closed(&self) -> bool {
        matches!(self.status.as_str(), "CLOSING" | "CLOSED")
    }
}

/// A posting row.
struct Posting {
    account_no: String,
    amount: i64,
    state: TxnState,
}

/// The merchant's account, which has to exist.
async fn account_of(
    db: &mut SqliteConnection,
    merchant_no: &MerchantNo,
    currency: Currency,
) -> Result<Account, BranchError> {
    let account = find_account(db, merchant_no, currency).await?;
    account.ok_or_else(|| FundsError::NoAccount { merchant_no: merchant_no.clone(), currency }.into())
}

async fn find_account<'e, E: sqlx::SqliteExecutor<'e>>(
    db: E,
    merchant_no: &MerchantNo,
    currency: Currency,
) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT account_no, status, balance, frozen FROM funds_account
          WHERE owner_type = 'MERCHANT' AND owner_no = ?1 AND currency = ?2",
    )
    .bind(merchant_no.as_str())
    .bind(currency.code())
    .fetch_optional(db)
    .await?;
    let account = |row: SqliteRow| -> Result<Account, sqlx::Error> {
        Ok(Account {
            account_no: row.try_get("account_no")?,
            status: row.try_get("status")?,
            balance: row.try_get("balance")?,
            frozen: row.try_get("frozen")?,
        })
    };
    row.map(account).transpose()
}

/// The posting `txn_no`, if there is one. Its amount must be the one the call names.
async fn find_posting(
    db: &mut SqliteConnection,
    txn_no: &TxnNo,
    called: Money,
) -> Result<Option<Posting>, BranchError> {
    let row = sqlx::query("SELECT account_no, amount, status FROM funds_txn WHERE txn_no = ?1")
        .bind(txn_no.as_str())
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = TxnState::parse(row.try_get("status")?)?;
    let posting = Posting { account_no: row.try_get("account_no")?, amount: row.try_get("amount")?, state };
    if posting.amount != called.minor {
        let (stored, called) = (posting.amount, called.minor);
        return Err(FundsError::AmountDiffers { txn_no: txn_no.clone(), stored, called }.into());
    }
    Ok(Some(posting))
}

/// `TRYING -> POSTED` at the place in the account's history that the account row has just been given.
async fn mark_posted(
    db: &mut SqliteConnection,
    txn_no: &TxnNo,
    acct_date: AcctDate,
    place: &SqliteRow,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE funds_txn SET status = 'POSTED', posted_at = ?1, post_no = ?2, balance_after = ?3, acct_date = ?4,
                updated_at = ?1 WHERE txn_no = ?5 AND status = 'TRYING'",
    )
    .bind(now.as_micros())
    .bind(place.try_get::<i64, _>("post_no")?)
    .bind(place.try_get::<i64, _>("balance")?)
    .bind(acct_date.to_string())
    .bind(txn_no.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// `TRYING -> CANCELLED`.
async fn mark_cancelled(db: &mut SqliteConnection, txn_no: &TxnNo, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE funds_txn SET status = 'CANCELLED', updated_at = ?1 WHERE txn_no = ?2 AND status = 'TRYING'")
        .bind(now.as_micros())
        .bind(txn_no.as_str())
        .execute(db)
        .await?;
    Ok(())
}

fn wrong_state(txn_no: &TxnNo, found: Option<TxnState>) -> BranchError {
    FundsError::WrongState { txn_no: txn_no.clone(), found }.into()
}

async fn account(State(service): State<Service>, Path(merchant_no): Path<MerchantNo>) -> Response {
    let currency = Currency::Cny;
    match find_account(service.db.readers(), &merchant_no, currency).await {
        Ok(Some(account)) => Json(AccountView {
            merchant_no,
            status: account.status,
            balance: Money { minor: account.balance, currency },
            frozen: account.frozen,
        })
        .into_response(),
        Ok(None) => {
            let body = json!({"code": "NOT_FOUND", "message": "no such account", "retryable": false});
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
        Err(error) => BranchError::from(error).into_response(),
    }
}
