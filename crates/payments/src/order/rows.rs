//! The rows of `pay_order`, read strictly: a state that nobody writes is an error, never a default.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::contract::merchants::{PaymentStatus, PaymentView, RefundStatus, RefundView};
use crate::ids::{MerchantNo, PayNo, PayerNo, RecordNo, RefundNo};
use crate::money::{Currency, Money};
use crate::time::{AcctDate, Timestamp};

/// Declares the states of a row with their text in the table.
macro_rules! states {
    ($($(#[$doc:meta])* $name:ident { $($state:ident = $text:literal),+ $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($state),+ }

        impl $name {
            fn parse(text: &str) -> Result<Self, sqlx::Error> {
                match text {
                    $($text => Ok(Self::$state),)+
                    other => Err(unreadable(format!("{} {other:?}", stringify!($name)))),
                }
            }
        }
    )*};
}

states! {
    /// `WAIT_PAY → SETTLING → SUCCESS`, back to `WAIT_PAY` when a settlement is cancelled; closing is not built yet.
    OrderState { WaitPay = "WAIT_PAY", Settling = "SETTLING", Success = "SUCCESS", Closing = "CLOSING", Closed = "CLOSED" }

    /// `WAITING → SUCCESS | FAILED | CLOSED`; a second success is `DUPLICATE` or `LATE`.
    RecordState {
        Waiting = "WAITING",
        Success = "SUCCESS",
        Failed = "FAILED",
        Closed = "CLOSED",
        Duplicate = "DUPLICATE",
        Late = "LATE",
    }

    /// `CREATED → AT_BANK → SUCCESS | FAILED`. `HELD` (the funds hold is done) coincides with `AT_BANK` here: the same
    /// saga step that learns of the one begins the other.
    RefundState {
        Created = "CREATED",
        Held = "HELD",
        AtBank = "AT_BANK",
        Abnormal = "ABNORMAL",
        Success = "SUCCESS",
        Failed = "FAILED",
    }
}

/// One row of `payment_order`.
#[derive(Debug, Clone)]
pub(super) struct OrderRow {
    pub(super) pay_no: PayNo,
    pub(super) merchant_no: MerchantNo,
    pub(super) merchant_order_no: String,
    pub(super) req_hash: String,
    pub(super) payer_no: PayerNo,
    pub(super) money: Money,
    pub(super) fee: i64,
    pub(super) points: i64,
    pub(super) notify_url: Option<String>,
    pub(super) return_url: Option<String>,
    pub(super) state: OrderState,
    pub(super) settle_attempt: i64,
    pub(super) success_record_no: Option<RecordNo>,
    pub(super) refunded_amount: i64,
    pub(super) acct_date: Option<AcctDate>,
    pub(super) expire_at: Timestamp,
    pub(super) success_at: Option<Timestamp>,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) version: i64,
}

/// One row of `payment_record`: one attempt to pay.
#[derive(Debug, Clone)]
pub(super) struct RecordRow {
    pub(super) record_no: RecordNo,
    pub(super) pay_no: PayNo,
    pub(super) bank_code: String,
    pub(super) bank_order_no: String,
    pub(super) money: Money,
    pub(super) state: RecordState,
    pub(super) bank_paid_at: Option<Timestamp>,
}

/// One row of `refund_order`.
#[derive(Debug, Clone)]
pub(super) struct RefundRow {
    pub(super) refund_no: RefundNo,
    pub(super) pay_no: PayNo,
    pub(super) record_no: RecordNo,
    pub(super) merchant_no: MerchantNo,
    pub(super) merchant_refund_no: String,
    pub(super) money: Money,
    pub(super) fee_back: i64,
    pub(super) points_back: i64,
    pub(super) state: RefundState,
    pub(super) fail_code: Option<String>,
    pub(super) bank_refund_no: String,
    pub(super) bank_finished_at: Option<Timestamp>,
    pub(super) acct_date: Option<AcctDate>,
}

impl OrderRow {
    /// The order with this number.
    pub(super) async fn find(db: &mut SqliteConnection, pay_no: &PayNo) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM payment_order WHERE pay_no = ?1").bind(pay_no.as_str());
        optional(row.fetch_optional(db).await?, Self::read)
    }

    /// The order with this number, which must exist.
    pub(super) async fn get(db: &mut SqliteConnection, pay_no: &PayNo) -> Result<Self, sqlx::Error> {
        Self::find(db, pay_no).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// The order that a merchant knows by this number.
    pub(super) async fn find_of_merchant(
        db: &mut SqliteConnection,
        merchant_no: &MerchantNo,
        merchant_order_no: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM payment_order WHERE merchant_no = ?1 AND merchant_order_no = ?2")
            .bind(merchant_no.as_str())
            .bind(merchant_order_no);
        optional(row.fetch_optional(db).await?, Self::read)
    }

    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            pay_no: PayNo::new(text(row, "pay_no")?),
            merchant_no: MerchantNo::new(text(row, "merchant_no")?),
            merchant_order_no: row.try_get("merchant_order_no")?,
            req_hash: row.try_get("req_hash")?,
            payer_no: PayerNo::new(text(row, "payer_no")?),
            money: money(row)?,
            fee: row.try_get("fee")?,
            points: row.try_get("points")?,
            notify_url: row.try_get("notify_url")?,
            return_url: row.try_get("return_url")?,
            state: OrderState::parse(text(row, "status")?)?,
            settle_attempt: row.try_get("settle_attempt")?,
            success_record_no: maybe_text(row, "success_record_no")?.map(RecordNo::new),
            refunded_amount: row.try_get("refunded_amount")?,
            acct_date: acct_date(row, "acct_date")?,
            expire_at: Timestamp::from_micros(row.try_get("expire_at")?),
            success_at: moment(row, "success_at")?,
            closed_at: moment(row, "closed_at")?,
            version: row.try_get("version")?,
        })
    }

    /// What the merchant is credited with.
    pub(super) fn credit(&self) -> Money {
        Money { minor: self.money.minor - self.fee, ..self.money }
    }

    /// The order as the world sees it.
    pub(super) fn view(&self) -> PaymentView {
        let status = match self.state {
            OrderState::WaitPay => PaymentStatus::WaitPay,
            OrderState::Settling | OrderState::Closing => PaymentStatus::Processing,
            OrderState::Success => PaymentStatus::Success,
            OrderState::Closed => PaymentStatus::Closed,
        };
        PaymentView {
            pay_no: self.pay_no.clone(),
            merchant_order_no: self.merchant_order_no.clone(),
            status,
            money: self.money,
            fee: self.fee,
            refunded_amount: self.refunded_amount,
            paid_at: self.success_at,
            closed_at: self.closed_at,
            // The row keeps the date of a cancelled settlement; it means nothing to the world.
            acct_date: self.acct_date.filter(|_| status == PaymentStatus::Success),
            version: self.version,
        }
    }
}

impl RecordRow {
    /// The attempt that the bank knows by this number.
    pub(super) async fn find_at_bank(
        db: &mut SqliteConnection,
        bank_order_no: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT r.*, o.currency FROM payment_record r JOIN payment_order o USING (pay_no) WHERE r.bank_order_no = ?1",
        );
        optional(row.bind(bank_order_no).fetch_optional(db).await?, Self::read)
    }

    /// The attempt with this number.
    pub(super) async fn get(db: &mut SqliteConnection, record_no: &RecordNo) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(
            "SELECT r.*, o.currency FROM payment_record r JOIN payment_order o USING (pay_no) WHERE r.record_no = ?1",
        );
        Self::read(&row.bind(record_no.as_str()).fetch_one(db).await?)
    }

    /// Whose money settles an order: the first of its attempts that the bank reported as paid and that is not settled. Later
    /// reports do not change it.
    pub(super) async fn first_paid(db: &mut SqliteConnection, pay_no: &PayNo) -> Result<RecordNo, sqlx::Error> {
        let first: String = sqlx::query_scalar(
            "SELECT record_no FROM payment_record
              WHERE pay_no = ?1 AND status IN ('WAITING','CLOSED','FAILED') AND bank_paid_at IS NOT NULL
              ORDER BY bank_paid_at, record_no LIMIT 1",
        )
        .bind(pay_no.as_str())
        .fetch_one(db)
        .await?;
        Ok(RecordNo::new(first))
    }

    /// The attempt that a merchant made under this key.
    pub(super) async fn find_by_key(
        db: &mut SqliteConnection,
        pay_no: &PayNo,
        idem_key: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT r.*, o.currency FROM payment_record r JOIN payment_order o USING (pay_no)
              WHERE r.pay_no = ?1 AND r.idem_key = ?2",
        )
        .bind(pay_no.as_str())
        .bind(idem_key);
        optional(row.fetch_optional(db).await?, Self::read)
    }

    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            record_no: RecordNo::new(text(row, "record_no")?),
            pay_no: PayNo::new(text(row, "pay_no")?),
            bank_code: row.try_get("bank_code")?,
            bank_order_no: row.try_get("bank_order_no")?,
            money: money(row)?,
            state: RecordState::parse(text(row, "status")?)?,
            bank_paid_at: moment(row, "bank_paid_at")?,
        })
    }
}

impl RefundRow {
    /// The refund with this number.
    pub(super) async fn find(db: &mut SqliteConnection, refund_no: &RefundNo) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM refund_order WHERE refund_no = ?1").bind(refund_no.as_str());
        optional(row.fetch_optional(db).await?, Self::read)
    }

    /// The refund that a merchant knows by this number.
    pub(super) async fn find_of_merchant(
        db: &mut SqliteConnection,
        merchant_no: &MerchantNo,
        merchant_refund_no: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM refund_order WHERE merchant_no = ?1 AND merchant_refund_no = ?2")
            .bind(merchant_no.as_str())
            .bind(merchant_refund_no);
        optional(row.fetch_optional(db).await?, Self::read)
    }

    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            refund_no: RefundNo::new(text(row, "refund_no")?),
            pay_no: PayNo::new(text(row, "pay_no")?),
            record_no: RecordNo::new(text(row, "record_no")?),
            merchant_no: MerchantNo::new(text(row, "merchant_no")?),
            merchant_refund_no: row.try_get("merchant_refund_no")?,
            money: money(row)?,
            fee_back: row.try_get("fee_back")?,
            points_back: row.try_get("points_back")?,
            state: RefundState::parse(text(row, "status")?)?,
            fail_code: row.try_get("fail_code")?,
            bank_refund_no: row.try_get("bank_refund_no")?,
            bank_finished_at: moment(row, "bank_finished_at")?,
            acct_date: acct_date(row, "acct_date")?,
        })
    }

    /// The refund as the world sees it.
    pub(super) fn view(&self) -> RefundView {
        RefundView {
            refund_no: self.refund_no.clone(),
            merchant_refund_no: self.merchant_refund_no.clone(),
            pay_no: self.pay_no.clone(),
            money: self.money,
            status: match self.state {
                RefundState::Created | RefundState::Held | RefundState::AtBank => RefundStatus::Processing,
                RefundState::Abnormal => RefundStatus::Abnormal,
                RefundState::Success => RefundStatus::Success,
                RefundState::Failed => RefundStatus::Failed,
            },
            fail_code: self.fail_code.clone(),
            acct_date: self.acct_date,
        }
    }
}

/// The next free number of a day: `prefix`, the date, and eight digits counted from 1.
///
/// Runs in the transaction that uses the number; there is one writer, so no two get the same.
pub(super) async fn next_number(
    db: &mut SqliteConnection,
    numbers: Numbers,
    today: AcctDate,
) -> Result<String, sqlx::Error> {
    let (sql, prefix) = match numbers {
        Numbers::Payment => ("SELECT max(pay_no) FROM payment_order WHERE pay_no BETWEEN ?1 AND ?2", "P"),
        Numbers::Refund => ("SELECT max(refund_no) FROM refund_order WHERE refund_no BETWEEN ?1 AND ?2", "R"),
    };
    let day = format!("{prefix}{}", today.compact());
    let number = |sequence: u64| format!("{day}{sequence:08}");
    let last: Option<String> = sqlx::query_scalar(sql).bind(number(0)).bind(number(99_999_999)).fetch_one(db).await?;
    let sequence = match last.as_deref().and_then(|last| last.strip_prefix(&day)) {
        Some(digits) => digits.parse::<u64>().map_err(|_| unreadable(format!("number {day}{digits}")))?,
        None => 0,
    };
    Ok(number(sequence + 1))
}

/// Which numbers are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers {
    /// Of payment orders.
    Payment,
    /// Of refunds.
    Refund,
}

/// A row that does not say what a row may say. Loud: never read as something else.
fn unreadable(what: String) -> sqlx::Error {
    sqlx::Error::Decode(format!("unreadable row: {what}").into())
}

/// What a query for at most one row found, read.
fn optional<T>(
    row: Option<SqliteRow>,
    read: impl FnOnce(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Option<T>, sqlx::Error> {
    row.as_ref().map(read).transpose()
}

fn text<'a>(row: &'a SqliteRow, column: &str) -> Result<&'a str, sqlx::Error> {
    row.try_get(column)
}

fn maybe_text<'a>(row: &'a SqliteRow, column: &str) -> Result<Option<&'a str>, sqlx::Error> {
    row.try_get(column)
}

fn money(row: &SqliteRow) -> Result<Money, sqlx::Error> {
    let code = text(row, "currency")?;
    let currency = Currency::from_code(code).ok_or_else(|| unreadable(format!("currency {code:?}")))?;
    Ok(Money { minor: row.try_get("amount")?, currency })
}

fn moment(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

fn acct_date(row: &SqliteRow, column: &str) -> Result<Option<AcctDate>, sqlx::Error> {
    let Some(text) = maybe_text(row, column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| unreadable(format!("{column} {text:?}")))
}
