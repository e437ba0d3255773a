//! What the platform has not finished yet, by its databases.

use super::{AuditError, Books};

/// Work of one kind that is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWork {
    /// What it is, in the plural: `orders settling`.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// One of them.
    pub example: String,
}

/// Each selects the names of open things. What follows from a success (voucher, notification) is open until it is there.
const KINDS: [(&str, &str); 10] = [
    ("orders settling", "SELECT pay_no FROM pay_order.payment_order WHERE status IN ('SETTLING', 'CLOSING')"),
    (
        "paid records not settled",
        "SELECT record_no FROM pay_order.payment_record WHERE status = 'WAITING' AND bank_paid_at IS NOT NULL",
    ),
    ("refunds open", "SELECT refund_no FROM pay_order.refund_order WHERE status NOT IN ('SUCCESS', 'FAILED')"),
    ("bank notices not handed over", "SELECT ref_no FROM pay_gateway.bank_notice WHERE status = 'ACCEPTED'"),
    ("funds rows tried", "SELECT txn_no FROM pay_funds.funds_txn WHERE status = 'TRYING'"),
    ("points rows tried", "SELECT txn_no FROM pay_points.points_txn WHERE status IN ('TRYING', 'HELD')"),
    ("outbox rows waiting", "SELECT msg_id FROM outbox_row WHERE status = 'NEW'"),
    (
        "vouchers missing",
        "SELECT pay_no FROM pay_order.payment_order
          WHERE status = 'SUCCESS' AND pay_no NOT IN (SELECT source_no FROM pay_ledger.voucher)
         UNION ALL
         SELECT refund_no FROM pay_order.refund_order
          WHERE status = 'SUCCESS' AND refund_no NOT IN (SELECT source_no FROM pay_ledger.voucher)",
    ),
    (
        "notifications missing",
        "SELECT pay_no FROM pay_order.payment_order
          WHERE status = 'SUCCESS' AND pay_no || '-succeeded' NOT IN (SELECT ntf_id FROM pay_notify.notify_request)",
    ),
    ("notifications under delivery", "SELECT ntf_id FROM pay_notify.notify_delivery WHERE status = 'PENDING'"),
];

/// Lists what is open in the databases. What only the coordinator knows of is not in it.
///
/// # Errors
/// [`AuditError`] if the books cannot be read.
pub async fn open_work(books: &mut Books) -> Result<Vec<OpenWork>, AuditError> {
    let mut open = Vec::new();
    for (what, names) in KINDS {
        let names: Vec<String> = sqlx::query_scalar(names)
            .fetch_all(books.connection())
            .await
            .map_err(|source| AuditError::Check { check: what, source })?;
        if let Some(example) = names.first() {
            open.push(OpenWork { what, count: names.len() as u64, example: example.clone() });
        }
    }
    Ok(open)
}
