//! What merchants ask for and are told. The gateway checks who asks and passes the same shapes on to the payment-order
//! service, with what only the gateway knows.

use serde::{Deserialize, Serialize};

use crate::ids::{MerchantNo, PayNo, PayerNo, RecordNo, RefundNo};
use crate::money::{FeeTerms, Money};
use crate::time::{AcctDate, Timestamp};

/// Create a payment order: [`PaymentRequest`] to [`PaymentView`], 201, or 200 for a repeat.
pub const PAYMENTS: &str = "/v1/payments";
/// Choose how to pay: [`AttemptRequest`] with header [`IDEMPOTENCY_KEY`] to [`AttemptView`].
pub const ATTEMPTS: &str = "/v1/payments/{pay_no}/attempts";
/// Ask what became of a payment: [`PaymentView`].
pub const PAYMENT: &str = "/v1/payments/{pay_no}";
/// Refund a payment, in whole or in part: [`RefundRequest`] to [`RefundView`], 201, or 200 for a repeat.
pub const REFUNDS: &str = "/v1/refunds";
/// Ask what became of a refund: [`RefundView`].
pub const REFUND: &str = "/v1/refunds/{merchant_refund_no}";
/// At the merchant: where it is told, answered with the text `success`.
pub const PAY_NOTICES: &str = "/v1/pay-notices";
/// Chosen by the merchant for one attempt; the same key gives the same attempt.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// At the payment-order service: what belongs to a number that was sent to a bank, [`RecordView`], or 404.
pub const RECORD: &str = "/v1/records/{bank_order_no}";

/// A payment order to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// Who sells; must be the signer.
    pub merchant_no: MerchantNo,
    /// The merchant's own number: one payment order for each.
    pub merchant_order_no: String,
    /// Who pays; whose points it is about.
    pub payer_no: PayerNo,
    /// What is paid for, for people.
    pub subject: String,
    /// How much.
    #[serde(flatten)]
    pub money: Money,
    /// No attempt to pay begins after this. Two hours from now at most; later moments are brought forward.
    pub expire_at: Timestamp,
    /// Where the merchant is told; the merchant's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_url: Option<String>,
    /// Where the buyer's browser goes afterwards. No state changes because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
}

/// What the gateway passes on for [`PAYMENTS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPayment {
    /// As the merchant sent it.
    pub request: PaymentRequest,
    /// Where this merchant is told unless the request says otherwise.
    pub default_notify_url: Option<String>,
    /// What this merchant pays.
    pub terms: FeeTerms,
}

/// A payment order as the world sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// The platform's number.
    pub pay_no: PayNo,
    /// The merchant's number.
    pub merchant_order_no: String,
    /// How far it is.
    pub status: PaymentStatus,
    /// How much is, or was, to be paid.
    #[serde(flatten)]
    pub money: Money,
    /// What the merchant pays for it, in the same currency's minor units.
    pub fee: i64,
    /// What has been refunded, likewise.
    pub refunded_amount: i64,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Its accounting date, once paid.
    pub acct_date: Option<AcctDate>,
    /// Grows with every change.
    pub version: i64,
}

/// How far a payment order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    /// To be paid.
    WaitPay,
    /// Being settled or closed.
    Processing,
    /// Paid, for good.
    Success,
    /// Not paid, for good.
    Closed,
}

/// One attempt to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRequest {
    /// By which way.
    pub channel: Channel,
    /// Which bank, for [`Channel::Bank`].
    pub bank_code: String,
}

/// A way to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Channel {
    /// At a bank's cashier.
    Bank,
}

/// What the gateway passes on for [`ATTEMPTS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAttempt {
    /// Whose order it must be.
    pub merchant_no: MerchantNo,
    /// The merchant's key.
    pub idem_key: String,
    /// As the merchant sent it.
    pub request: AttemptRequest,
}

/// An attempt that waits for its payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// The order.
    pub pay_no: PayNo,
    /// The attempt.
    pub record_no: RecordNo,
    /// Where the payer's browser goes: the bank's cashier, with signed parameters.
    pub redirect_url: String,
}

/// A refund to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// Who refunds; must be the signer.
    pub merchant_no: MerchantNo,
    /// The merchant's own number: one refund for each.
    pub merchant_refund_no: String,
    /// What is refunded.
    pub pay_no: PayNo,
    /// How much of it.
    #[serde(flatten)]
    pub money: Money,
}

/// A refund as the world sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundView {
    /// The platform's number.
    pub refund_no: RefundNo,
    /// The merchant's number.
    pub merchant_refund_no: String,
    /// What is refunded.
    pub pay_no: PayNo,
    /// How much.
    #[serde(flatten)]
    pub money: Money,
    /// How far it is.
    pub status: RefundStatus,
    /// Why it failed.
    pub fail_code: Option<String>,
    /// Its accounting date, once it succeeded.
    pub acct_date: Option<AcctDate>,
}

/// How far a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundStatus {
    /// On its way.
    Processing,
    /// The bank waits for somebody to name another account.
    Abnormal,
    /// The payer has the money, for good.
    Success,
    /// Nothing was given back, for good.
    Failed,
}

/// What a bank's notice must agree with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    /// The bank where it was to be paid: only that one may say that it was.
    pub bank_code: String,
    /// The amount that was to be paid.
    #[serde(flatten)]
    pub money: Money,
}
