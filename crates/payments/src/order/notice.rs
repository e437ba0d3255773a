//! The notifications that follow from a payment's or a refund's end, written in the transaction that ends it.

use serde::Serialize;
use sqlx::sqlite::SqliteConnection;

use super::rows::{OrderRow, RefundRow};
use crate::contract::Topic;
use crate::contract::notify::Notice;
use crate::foundation::branch::BranchError;
use crate::foundation::outbox::{OutboxMessage, enqueue};
use crate::ids::{Gid, NotificationId};
use crate::money::Money;
use crate::time::{AcctDate, Timestamp};

/// What is signed and sent.
#[derive(Serialize)]
struct Body<T> {
    #[serde(rename = "type")]
    event: &'static str,
    timestamp: Timestamp,
    data: T,
}

#[derive(Serialize)]
struct Payment<'a> {
    pay_no: &'a str,
    merchant_order_no: &'a str,
    #[serde(flatten)]
    money: Money,
    status: &'static str,
    acct_date: AcctDate,
}

#[derive(Serialize)]
struct Refund<'a> {
    pay_no: &'a str,
    merchant_order_no: &'a str,
    merchant_refund_no: &'a str,
    #[serde(flatten)]
    money: Money,
    status: &'static str,
    acct_date: Option<AcctDate>,
}

/// Tells the merchant that the order is paid.
pub(super) async fn payment_succeeded(
    db: &mut SqliteConnection,
    order: &OrderRow,
    acct_date: AcctDate,
    now: Timestamp,
) -> Result<(), BranchError> {
    let data = Payment {
        pay_no: order.pay_no.as_str(),
        merchant_order_no: &order.merchant_order_no,
        money: order.money,
        status: "SUCCESS",
        acct_date,
    };
    let body = Body { event: "payment.succeeded", timestamp: now, data };
    tell(db, order, format!("{}-succeeded", order.pay_no), &body, now).await
}

/// Tells the merchant how a refund ended; with an accounting date it succeeded, without one it failed.
pub(super) async fn refund_ended(
    db: &mut SqliteConnection,
    order: &OrderRow,
    refund: &RefundRow,
    acct_date: Option<AcctDate>,
    now: Timestamp,
) -> Result<(), BranchError> {
    let (event, status, ending) = match acct_date {
        Some(_) => ("refund.succeeded", "SUCCESS", "succeeded"),
        None => ("refund.failed", "FAILED", "failed"),
    };
    let data = Refund {
        pay_no: order.pay_no.as_str(),
        merchant_order_no: &order.merchant_order_no,
        merchant_refund_no: &refund.merchant_refund_no,
        money: refund.money,
        status,
        acct_date,
    };
    let body = Body { event, timestamp: now, data };
    tell(db, order, format!("{}-{ending}", refund.refund_no), &body, now).await
}

/// A merchant that never named an address is not told; it can ask.
async fn tell<T: Serialize>(
    db: &mut SqliteConnection,
    order: &OrderRow,
    ntf_id: String,
    body: &Body<T>,
    now: Timestamp,
) -> Result<(), BranchError> {
    let Some(url) = &order.notify_url else { return Ok(()) };
    let msg_id = Gid::new(format!("notify-{ntf_id}"));
    let notice = Notice {
        ntf_id: NotificationId::new(ntf_id),
        pay_no: order.pay_no.clone(),
        merchant_no: order.merchant_no.clone(),
        url: url.clone(),
        body: serde_json::to_string(body)?,
    };
    enqueue(db, now, &OutboxMessage::new(msg_id, Topic::Notice, order.pay_no.as_str(), &notice)?).await?;
    Ok(())
}
