//! Business numbers. Every number that leaves a service is unique for its sender and doubles as an idempotency key.

/// Declares text ids that cannot be taken for one another.
macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id with this text.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }
    )*};
}

text_ids! {
    /// A merchant, `M1001`.
    MerchantNo;
    /// A payer, `U1`; owner of a points account.
    PayerNo;
    /// A payment order, `P` + date + sequence.
    PayNo;
    /// One attempt to pay a payment order.
    RecordNo;
    /// A refund order.
    RefundNo;
    /// A posting in a funds or points account; made by the initiator, unique per settlement attempt.
    TxnNo;
    /// A global transaction at the coordinator.
    Gid;
    /// A best-effort notification, `{pay_no or refund_no}-{succeeded|closed|failed}`.
    NotificationId;
}

impl Gid {
    /// The TCC that settles a payment order: the funds and points of one attempt.
    pub fn settle(pay_no: &PayNo, attempt: i64) -> Self {
        Self(format!("pay-settle-{pay_no}-{attempt}"))
    }

    /// The saga of a merchant's refund.
    pub fn refund(refund_no: &RefundNo) -> Self {
        Self(format!("pay-refund-{refund_no}"))
    }

    /// The accounting message of one settlement attempt (`accounting_mode = msg`).
    pub fn accounting(pay_no: &PayNo, attempt: i64) -> Self {
        Self(format!("acct-{pay_no}-{attempt}"))
    }
}
