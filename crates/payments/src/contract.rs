//! What the services say to each other: paths, payloads and answers of every branch.
//!
//! A branch's payload carries all its handler needs: nothing downstream asks a clock for the accounting date or another
//! service for an amount.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{MerchantNo, NotificationId, PayNo, PayerNo, RecordNo, RefundNo, TxnNo};
use crate::money::Money;
use crate::time::{AcctDate, Timestamp};

pub mod banks;
pub mod merchants;

/// How long one service waits for another's answer, a Try excepted.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an initiator waits for a Try. Longer than the transaction's own time-out in the demo, so that a Try which comes
/// after its cancel still finds its caller: with a broken barrier both of them believe that it worked.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The funds service: merchant balances and postings.
pub mod funds {
    use super::{AcctDate, Deserialize, MerchantNo, Money, PayNo, RefundNo, Serialize, TxnNo};

    /// Reserve the right to credit a merchant. Payload [`Credit`].
    pub const CREDIT_TRY: &str = "/tcc/credit/try";
    /// Post the credit. Payload [`Credit`].
    pub const CREDIT_CONFIRM: &str = "/tcc/credit/confirm";
    /// Give the credit up. Payload [`Credit`].
    pub const CREDIT_CANCEL: &str = "/tcc/credit/cancel";
    /// Step 1 of a refund: hold its money on the merchant's account. Payload [`RefundHold`].
    pub const HOLD_ACTION: &str = "/saga/hold/action";
    /// Undo of step 1: give the held money back. Payload [`RefundHold`].
    pub const HOLD_COMPENSATE: &str = "/saga/hold/compensate";
    /// After a refund: take the held money off the balance. Payload [`super::RefundPosting`].
    pub const REFUND_POST: &str = "/msg/refund-post";
    /// A merchant's account, answered with [`AccountView`], or 404 `NOT_FOUND`.
    pub const ACCOUNT: &str = "/v1/accounts/{merchant_no}";

    /// Refusal: the account is closing or closed, and will never receive again.
    pub const ACCOUNT_CLOSED: &str = "ACCOUNT_CLOSED";
    /// Refusal: the merchant's free balance does not cover the refund.
    pub const MERCHANT_SHORT: &str = "MERCHANT_SHORT";

    /// The credit of one payment to its merchant.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Credit {
        /// Number of the posting, unique per settlement attempt.
        pub txn_no: TxnNo,
        /// Who is credited.
        pub merchant_no: MerchantNo,
        /// The paid amount less the fee.
        #[serde(flatten)]
        pub money: Money,
        /// The payment it is for.
        pub biz_no: PayNo,
        /// Accounting date of the settlement.
        pub acct_date: AcctDate,
    }

    /// What a refund takes from its merchant.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RefundHold {
        /// The refund.
        pub refund_no: RefundNo,
        /// The payment that is refunded: while its credit is not posted yet, the hold answers *in progress*.
        pub pay_no: PayNo,
        /// Who pays.
        pub merchant_no: MerchantNo,
        /// The refunded amount less the fee that is given back. Zero holds nothing.
        #[serde(flatten)]
        pub money: Money,
    }

    /// A merchant's account as it stands.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct AccountView {
        /// The owner.
        pub merchant_no: MerchantNo,
        /// `ACTIVE`, `FROZEN`, `CLOSING` or `CLOSED`.
        pub status: String,
        /// Book balance.
        #[serde(flatten)]
        pub balance: Money,
        /// The part of the balance that is held, in the same currency's minor units.
        pub frozen: i64,
    }
}

/// The points service: what payers have been granted.
pub mod points {
    use super::{AcctDate, Deserialize, PayNo, PayerNo, Serialize, TxnNo};

    /// Reserve a grant. Payload [`Grant`].
    pub const GRANT_TRY: &str = "/tcc/grant/try";
    /// Post the grant. Payload [`Grant`].
    pub const GRANT_CONFIRM: &str = "/tcc/grant/confirm";
    /// Give the grant up. Payload [`Grant`].
    pub const GRANT_CANCEL: &str = "/tcc/grant/cancel";
    /// After a refund: take points back. Payload [`super::RefundPosting`].
    pub const REVOKE: &str = "/msg/revoke";

    /// The points for one payment.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Grant {
        /// Number of the posting, unique per settlement attempt.
        pub txn_no: TxnNo,
        /// Who is granted. The account is created if it is missing.
        pub owner_no: PayerNo,
        /// How many; zero grants nothing.
        pub points: i64,
        /// The payment they are for.
        pub biz_no: PayNo,
        /// Accounting date of the settlement.
        pub acct_date: AcctDate,
    }
}

/// The accounting service: vouchers and entries.
pub mod accounting {
    use super::{AcctDate, Deserialize, MerchantNo, Money, Serialize};

    /// Book one voucher. Payload [`Voucher`]; the message's gid is kept with it.
    pub const VOUCHER: &str = "/msg/voucher";

    /// What kind of business a voucher records, by its number in the chart of entry types.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct EntryType(pub i64);

    impl EntryType {
        /// A payment by card: the source number is its `pay_no`.
        pub const CARD_PAYMENT: Self = Self(6004);
        /// A refund to a card: the source number is its `refund_no`.
        pub const CARD_REFUND: Self = Self(4004);
    }

    /// An original voucher (会计原始凭证), from which the entries are made.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Voucher {
        /// The kind of business.
        pub entry_type: EntryType,
        /// Who reports it; with type and source number the idempotency key.
        pub source_system: String,
        /// The payment or refund number.
        pub source_no: String,
        /// The party of the merchant's line.
        pub merchant_no: MerchantNo,
        /// The whole amount paid or refunded.
        #[serde(flatten)]
        pub money: Money,
        /// The fee within it (payment) or the fee given back (refund), in the same currency's minor units.
        pub fee: i64,
        /// The accounting date of the payment or refund.
        pub acct_date: AcctDate,
    }
}

/// The gateway.
pub mod gateway {
    /// After the payment-order service has dealt with a bank notice: the notice is done. Payload [`super::order::BankResult`].
    pub const NOTICE_DONE: &str = "/msg/notice-done";
}

/// The payment-order service.
pub mod order {
    use super::{AcctDate, Deserialize, Money, PayNo, RecordNo, RefundNo, Serialize, Timestamp};

    /// The bank's final answer about one attempt. Payload [`BankResult`].
    pub const BANK_RESULT: &str = "/msg/bank-result";
    /// Branch 01 of settlement: the order becomes `SUCCESS`. Payload [`Settlement`].
    pub const ORDER_CONFIRM: &str = "/tcc/order/confirm";
    /// Branch 01 of settlement: the order goes back to `WAIT_PAY`. Payload [`Settlement`].
    pub const ORDER_CANCEL: &str = "/tcc/order/cancel";
    /// Branch 01 of a refund's saga turned back: the refund becomes `FAILED`. Its action is the local transaction that made
    /// the refund. Payload [`RefundRef`].
    pub const REFUND_COMPENSATE: &str = "/saga/refund/compensate";
    /// Step 2 of a refund: ask the bank until it is final. Payload [`RefundRef`].
    pub const BANK_REFUND_ACTION: &str = "/saga/bank-refund/action";
    /// Step 3 of a refund: it becomes `SUCCESS`. Payload [`RefundRef`].
    pub const REFUND_SETTLE_ACTION: &str = "/saga/refund-settle/action";
    /// Check-back of the accounting message, with `pay_no` and `attempt` in the query.
    pub const CHECK_ACCOUNTING: &str = "/check/accounting";

    /// What the bank said about one attempt to pay.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct BankResult {
        /// Which bank.
        pub bank_code: String,
        /// The number that we sent to the bank.
        pub bank_order_no: String,
        /// The bank's own number.
        pub bank_trade_no: String,
        /// Whether the payer's money was taken.
        pub paid: bool,
        /// The amount of the trade.
        #[serde(flatten)]
        pub money: Money,
        /// What the bank charges us, in the same currency's minor units.
        pub cost: i64,
        /// When the trade ended, by the bank's clock.
        pub finished_at: Timestamp,
        /// The bank's accounting date.
        pub bank_acct_date: AcctDate,
    }

    /// Which order one settlement attempt decides.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Settlement {
        /// The order.
        pub pay_no: PayNo,
        /// The record whose money settles it.
        pub record_no: RecordNo,
        /// Counted from 1.
        pub attempt: i64,
        /// Fixed by the transaction that began the attempt.
        pub acct_date: AcctDate,
    }

    /// Which refund a saga step is about. A refund's steps all carry [`super::funds::RefundHold`], of which this is a part.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RefundRef {
        /// The refund.
        pub refund_no: RefundNo,
    }
}

/// The merchant-notification service.
pub mod notify {
    use super::{Deserialize, MerchantNo, NotificationId, PayNo, Serialize};

    /// Tell the merchant. Payload [`Notice`].
    pub const NOTIFY: &str = "/msg/notify";

    /// One notification to be sent until acknowledged or exhausted.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Notice {
        /// Derived from the fact, so that there is one per fact.
        pub ntf_id: NotificationId,
        /// The payment it is about.
        pub pay_no: PayNo,
        /// Who is told; decides whose secret signs.
        pub merchant_no: MerchantNo,
        /// Where it goes.
        pub url: String,
        /// The exact JSON text that is signed and sent.
        pub body: String,
    }
}

/// The postings after a successful refund; one message with a branch at funds and one at points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundPosting {
    /// The refund.
    pub refund_no: RefundNo,
    /// Whose held money leaves.
    pub merchant_no: MerchantNo,
    /// The held amount; must be what the hold was made with.
    #[serde(flatten)]
    pub money: Money,
    /// Whose points are taken back.
    pub owner_no: PayerNo,
    /// How many points; zero takes none.
    pub points: i64,
    /// Accounting date of the refund.
    pub acct_date: AcctDate,
}

/// What an outbox row is about; decides what becomes of it and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A stored bank notice goes to the payment-order service.
    BankResult,
    /// A voucher goes to accounting.
    Voucher,
    /// A notification goes to the notification service.
    Notice,
    /// A refund begins: a saga over order, funds and the bank.
    RefundSaga,
    /// A settled refund is posted at funds and points.
    Refund,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 5] = [Self::BankResult, Self::Voucher, Self::Notice, Self::RefundSaga, Self::Refund];

    /// The topic's name in the outbox.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BankResult => "bank_result",
            Self::Voucher => "voucher",
            Self::Notice => "notice",
            Self::RefundSaga => "refund_saga",
            Self::Refund => "refund",
        }
    }
}
