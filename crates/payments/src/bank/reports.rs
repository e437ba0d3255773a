//! What the bank reports about a payment: signed, and again until the platform acknowledges it.

use std::time::Duration;

use bytes::Bytes;

use super::{Bank, cost_of};
use crate::contract::banks::{BankNotice, CASHIER_PARAMETERS, SUCCESS, Trade, TradeEvent};
use crate::foundation::http::CallError;
use crate::money::{Currency, Money, MoneyError};
use crate::signing::webhook::sign_attempt;
use crate::signing::{SignatureError, verify_query};
use crate::time::Timestamp;

/// How long an acknowledgement is waited for: longer than the gateway waits for the service behind it.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a notice is sent without being acknowledged, and the pauses between: doubling up to the longest.
const TRIES: u32 = 40;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// What the bank makes of a payer who comes to its cashier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Report {
    /// The payer's money was taken.
    Paid,
    /// The same, reported twice.
    PaidTwice,
    /// It was not taken.
    Failed,
    /// A success over another amount than was asked for.
    WrongAmount,
    /// A success under a number that the platform never sent.
    UnknownOrder,
}

/// Why the platform was not told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The address is not one that the platform signed.
    #[error("not a cashier's address")]
    Address,
    /// Its signature.
    #[error("the cashier's address is not signed by the platform")]
    Signature(#[from] SignatureError),
    /// The bank's cost does not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The notice cannot be written.
    #[error("notice cannot be written")]
    Json(#[from] serde_json::Error),
    /// The bank's own books.
    #[error("the bank's books are not reached")]
    Database(#[from] sqlx::Error),
    /// The platform does not acknowledge.
    #[error("notice {notice_id} not acknowledged after {tries} tries")]
    NotAcknowledged {
        /// Which notice.
        notice_id: String,
        /// How often it was sent.
        tries: u32,
        /// What happened last, if no answer came.
        #[source]
        source: Option<CallError>,
    },
}

/// What the payer's browser brings to the cashier.
struct Order {
    platform_no: String,
    bank_order_no: String,
    money: Money,
    notify_url: String,
}

impl Bank {
    /// Plays a payer who comes to the cashier at `redirect_url`, and reports the outcome until the platform acknowledges it.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn report(&self, redirect_url: &str, report: Report) -> Result<(), ReportError> {
        let order = self.read_order(redirect_url)?;
        let trade = trade(&order, report, self.clock.now())?;
        self.write_down(&trade).await?;
        let times = if report == Report::PaidTwice { 2 } else { 1 };
        for _ in 0..times {
            self.tell(&order.notify_url, &trade).await?;
        }
        Ok(())
    }

    fn read_order(&self, redirect_url: &str) -> Result<Order, ReportError> {
        let (_, query) = redirect_url.split_once('?').ok_or(ReportError::Address)?;
        let query = verify_query(&self.settings.api_secret, query)?;
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if !pairs.iter().map(|(name, _)| name.as_str()).eq(CASHIER_PARAMETERS) {
            return Err(ReportError::Address);
        }
        let value = |at: usize| pairs[at].1.clone();
        let minor = value(2).parse().map_err(|_| ReportError::Address)?;
        let currency = Currency::from_code(&value(3)).ok_or(ReportError::Address)?;
        let money = Money { minor, currency };
        Ok(Order { platform_no: value(0), bank_order_no: value(1), money, notify_url: value(5) })
    }

    async fn write_down(&self, trade: &Trade) -> Result<(), sqlx::Error> {
        let now = self.clock.now().as_micros();
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO trade (bank_order_no, trade_no, platform_no, amount, currency, cost, status, finished_at,
               acct_date, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10) ON CONFLICT (bank_order_no) DO NOTHING",
        )
        .bind(&trade.bank_order_no)
        .bind(&trade.trade_no)
        .bind(&trade.platform_no)
        .bind(trade.money.minor)
        .bind(trade.money.currency.code())
        .bind(trade.cost)
        .bind(&trade.status)
        .bind(trade.finished_at.as_micros())
        .bind(trade.acct_date.to_string())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Sends one notice until it is acknowledged.
    async fn tell(&self, notify_url: &str, trade: &Trade) -> Result<(), ReportError> {
        let event = if trade.status == "SUCCESS" { TradeEvent::Succeeded } else { TradeEvent::Failed };
        let notice_id = format!("{}-{}", trade.trade_no, event.ending());
        let notice = BankNotice { event, timestamp: self.clock.now(), data: trade.clone() };
        let body = Bytes::from(serde_json::to_vec(&notice)?);
        let (mut tries, mut pause) = (0, PAUSE_FIRST);
        loop {
            tries += 1;
            let now = self.clock.now().as_seconds();
            let headers = sign_attempt(&self.settings.notice_secret, &notice_id, now, &body).into_iter().collect();
            let source = match self.client.post(notify_url, headers, body.clone(), CALL_TIMEOUT).await {
                Ok(reply) if reply.status.is_success() && reply.body == SUCCESS => break,
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if tries == TRIES {
                return Err(ReportError::NotAcknowledged { notice_id, tries, source });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
        let mut tx = self.db.begin().await?;
        sqlx::query("UPDATE trade SET acknowledged = acknowledged + 1, updated_at = ?2 WHERE bank_order_no = ?1")
            .bind(&trade.bank_order_no)
            .bind(self.clock.now().as_micros())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The trade as it will be reported.
fn trade(order: &Order, report: Report, now: Timestamp) -> Result<Trade, MoneyError> {
    let mut money = order.money;
    let mut bank_order_no = order.bank_order_no.clone();
    match report {
        Report::Paid | Report::PaidTwice | Report::Failed => {}
        Report::WrongAmount => money.minor += 1,
        Report::UnknownOrder => bank_order_no.push_str("-unknown"),
    }
    let paid = report != Report::Failed;
    Ok(Trade {
        platform_no: order.platform_no.clone(),
        trade_no: format!("T{bank_order_no}"),
        bank_order_no,
        money,
        cost: if paid { cost_of(money)?.minor } else { 0 },
        status: if paid { "SUCCESS" } else { "FAILED" }.to_owned(),
        finished_at: now,
        acct_date: now.acct_date(),
    })
}
