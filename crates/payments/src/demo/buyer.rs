//! One buyer's way through the platform: order, cashier, and, for some, the money back.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::PlannedOrder;
use crate::bank::{Bank, ReportError};
use crate::contract::merchants::{PaymentRequest, PaymentStatus, RefundRequest};
use crate::ids::{MerchantNo, PayNo};
use crate::merchant::{Client, ClientError};
use crate::money::Money;
use crate::platform::BANK_CODE;
use crate::time::Clock;

/// How long an order may be paid.
const VALID_FOR: Duration = Duration::from_secs(1800);
/// How often the shop asks whether it was paid: soon at first, then at leisure.
const ASK_AFTER: Duration = Duration::from_millis(100);
const ASK_EVERY_AT_MOST: Duration = Duration::from_millis(800);

/// Buys at one merchant and pays at one bank.
#[derive(Debug)]
pub(super) struct Buyer<'a> {
    pub(super) merchant_no: MerchantNo,
    pub(super) shop: Client,
    pub(super) bank: &'a Bank,
    pub(super) clock: Clock,
    /// How long a shop waits for a payment to succeed before it gives up refunding it.
    pub(super) patience: Duration,
}

/// What the platform did that no faults excuse.
#[derive(Debug, thiserror::Error)]
pub(super) enum Complaint {
    #[error("the shop was not served")]
    Shop(#[from] ClientError),
    #[error("the bank was not heard")]
    Bank(#[from] ReportError),
}

impl Buyer<'_> {
    /// Orders, pays or not as planned, and waits until the shop knows; then asks for the refund that is planned.
    pub(super) async fn buy(&self, order: &PlannedOrder) -> Result<(), Complaint> {
        let payment = self.shop.create_payment(&self.request(order)).await?;
        let attempt = self.shop.attempt(&payment.pay_no, &format!("{}-1", order.merchant_order_no), BANK_CODE).await?;
        self.bank.report(&attempt.redirect_url, order.bank).await?;
        if !order.pays() {
            return Ok(());
        }
        let paid = self.is_paid_in_time(&payment.pay_no).await?;
        match order.refund {
            Some(money) if paid => self.refund(order, payment.pay_no, money).await,
            _ => Ok(()),
        }
    }

    fn request(&self, order: &PlannedOrder) -> PaymentRequest {
        PaymentRequest {
            merchant_no: self.merchant_no.clone(),
            merchant_order_no: order.merchant_order_no.clone(),
            payer_no: order.payer_no.clone(),
            subject: "an order of the demo".to_owned(),
            money: order.amount,
            expire_at: self.clock.now().plus(VALID_FOR),
            notify_url: None,
            return_url: None,
        }
    }

    async fn is_paid_in_time(&self, pay_no: &PayNo) -> Result<bool, ClientError> {
        let begin = Instant::now();
        let mut pause = ASK_AFTER;
        while begin.elapsed() < self.patience {
            tokio::time::sleep(pause).await;
            if self.shop.payment(pay_no).await?.status == PaymentStatus::Success {
                return Ok(true);
            }
            pause = (pause * 2).min(ASK_EVERY_AT_MOST);
        }
        Ok(false)
    }

    async fn refund(&self, order: &PlannedOrder, pay_no: PayNo, money: Money) -> Result<(), Complaint> {
        let request = RefundRequest {
            merchant_no: self.merchant_no.clone(),
            merchant_refund_no: format!("{}-R1", order.merchant_order_no),
            pay_no,
            money,
        };
        self.shop.refund(&request).await?;
        Ok(())
    }
}
