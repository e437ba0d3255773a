//! How each payment order stands, for whoever knows how it should.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{AuditError, Books};

/// One payment order as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedOrder {
    /// The platform's number of it.
    pub pay_no: String,
    /// `WAIT_PAY`, `SETTLING`, `SUCCESS`, `CLOSING` or `CLOSED`.
    pub status: String,
    /// Its amount, in minor units.
    pub amount: i64,
    /// How much of it was given back, in minor units.
    pub refunded: i64,
    /// The transaction that settled it, or tried to last.
    pub settle_gid: Option<String>,
}

/// All orders of one merchant, by the merchant's numbers.
///
/// # Errors
/// [`AuditError`] if the books cannot be read.
pub async fn ended_orders(books: &mut Books, merchant_no: &str) -> Result<BTreeMap<String, EndedOrder>, AuditError> {
    let statement = "SELECT merchant_order_no, pay_no, status, amount, refunded_amount, settle_gid
                       FROM pay_order.payment_order WHERE merchant_no = ?1";
    let failed = |source| AuditError::Check { check: "orders", source };
    let rows = sqlx::query(statement).bind(merchant_no).fetch_all(books.connection()).await.map_err(failed)?;
    rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
}

fn read(row: &SqliteRow) -> Result<(String, EndedOrder), sqlx::Error> {
    let order = EndedOrder {
        pay_no: row.try_get("pay_no")?,
        status: row.try_get("status")?,
        amount: row.try_get("amount")?,
        refunded: row.try_get("refunded_amount")?,
        settle_gid: row.try_get("settle_gid")?,
    };
    Ok((row.try_get("merchant_order_no")?, order))
}
