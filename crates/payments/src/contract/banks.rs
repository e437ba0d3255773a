//! What the platform and a bank tell each other.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::time::{AcctDate, Timestamp};

/// At the gateway: a bank's signed [`BankNotice`], answered with the text [`SUCCESS`].
pub const BANK_NOTICES: &str = "/v1/bank-notices/{bank_code}";
/// At the bank: where a payer's browser goes, with the signed parameters of [`CASHIER_PARAMETERS`].
pub const CASHIER: &str = "/v1/cashier/pay";
/// At the bank: [`BankRefundRequest`], signed by the platform, to [`BankRefundView`]. Asked again under the same number
/// until the answer is final.
pub const REFUNDS: &str = "/v1/refunds";
/// At the bank: what became of a refund, [`BankRefundView`], or 404.
pub const REFUND: &str = "/v1/refunds/{platform_refund_no}";

/// The bank's code for a refund that has to wait: another one of the same trade is on its way.
pub const REFUND_BUSY: &str = "REFUND_BUSY";

/// The literal body that acknowledges a notice.
pub const SUCCESS: &str = "success";

/// What the cashier's address carries, in this order, each as it was signed; `signature` follows.
pub const CASHIER_PARAMETERS: [&str; 7] =
    ["platform_no", "bank_order_no", "amount", "currency", "expire_at", "notify_url", "return_url"];

/// A bank's word about one trade, as its notification carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankNotice {
    /// What happened.
    #[serde(rename = "type")]
    pub event: TradeEvent,
    /// When the notice was written.
    pub timestamp: Timestamp,
    /// The trade.
    pub data: Trade,
}

/// The end of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TradeEvent {
    /// The payer's money was taken.
    #[serde(rename = "trade.succeeded")]
    Succeeded,
    /// It was not, and will not be under this number.
    #[serde(rename = "trade.failed")]
    Failed,
}

impl TradeEvent {
    /// The event's name on the wire and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "trade.succeeded",
            Self::Failed => "trade.failed",
        }
    }

    /// The last part of the name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// A finished trade, by the bank's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// Whose payment it is.
    pub platform_no: String,
    /// The platform's number of the attempt.
    pub bank_order_no: String,
    /// The bank's number of the trade.
    pub trade_no: String,
    /// How much the payer paid, or was to pay.
    #[serde(flatten)]
    pub money: Money,
    /// What the bank charges the platform, in the same currency's minor units.
    pub cost: i64,
    /// `SUCCESS` or `FAILED`.
    pub status: String,
    /// When it ended, by the bank's clock.
    pub finished_at: Timestamp,
    /// The bank's accounting date.
    pub acct_date: AcctDate,
}

/// A platform asks the bank to give money back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankRefundRequest {
    /// Who asks; must be the signer.
    pub platform_no: String,
    /// The platform's number: one refund for each.
    pub platform_refund_no: String,
    /// The attempt whose trade is refunded.
    pub bank_order_no: String,
    /// How much of it.
    #[serde(flatten)]
    pub money: Money,
}

/// A refund by the bank's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankRefundView {
    /// The bank's number.
    pub refund_no: String,
    /// How far it is.
    pub status: BankRefundStatus,
    /// How much.
    #[serde(flatten)]
    pub money: Money,
    /// When it ended, by the bank's clock.
    pub finished_at: Option<Timestamp>,
    /// The bank's accounting date.
    pub acct_date: Option<AcctDate>,
}

/// How far a refund is at the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BankRefundStatus {
    /// The bank is at it.
    Processing,
    /// It waits for another account to be named.
    Abnormal,
    /// The payer has the money, for good.
    Success,
    /// Nothing moved, and nothing will under this number.
    Failed,
}
