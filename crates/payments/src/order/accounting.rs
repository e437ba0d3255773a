//! How a settled payment gets into the books: by the outbox, or by a two-phase message whose check-back this service answers.

use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use super::rows::{OrderRow, OrderState};
use super::settlement::Attempt;
use crate::contract::accounting::{EntryType, Voucher};
use crate::contract::order;
use crate::foundation::branch::{BranchResult, Done, in_progress, refuse};
use crate::foundation::coordinator::Message;
use crate::foundation::service::ServiceName;
use crate::ids::{Gid, PayNo};
use crate::time::AcctDate;

/// Who reports the vouchers.
const SOURCE_SYSTEM: &str = "pay_order";

/// By which way a payment's voucher travels. Both ways stay in use, half of the orders each, so that both stay tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A two-phase message, prepared before the settlement and submitted after it.
    Message,
    /// An outbox row, written by the transaction that makes the order `SUCCESS`.
    Outbox,
}

impl Mode {
    /// Even numbers go by message, odd ones by outbox.
    pub(super) fn of(pay_no: &PayNo) -> Self {
        match pay_no.as_str().bytes().last() {
            Some(digit) if digit % 2 == 0 => Self::Message,
            _ => Self::Outbox,
        }
    }
}

/// The voucher of a payment by card.
pub(super) fn payment_voucher(order: &OrderRow, acct_date: AcctDate) -> Voucher {
    Voucher {
        entry_type: EntryType::CARD_PAYMENT,
        source_system: SOURCE_SYSTEM.to_owned(),
        source_no: order.pay_no.to_string(),
        merchant_no: order.merchant_no.clone(),
        money: order.money,
        fee: order.fee,
        acct_date,
    }
}

/// The voucher of a refund to a card.
pub(super) fn refund_voucher(refund: &super::rows::RefundRow, acct_date: AcctDate) -> Voucher {
    Voucher {
        entry_type: EntryType::CARD_REFUND,
        source_system: SOURCE_SYSTEM.to_owned(),
        source_no: refund.refund_no.to_string(),
        merchant_no: refund.merchant_no.clone(),
        money: refund.money,
        fee: refund.fee_back,
        acct_date,
    }
}

/// The two-phase message of one attempt.
pub(super) fn message(app: &App, attempt: &Attempt) -> Result<Message, serde_json::Error> {
    let (pay_no, number) = (&attempt.settlement.pay_no, attempt.settlement.attempt);
    let directory = &app.service.directory;
    let check = directory.url(ServiceName::Order, order::CHECK_ACCOUNTING);
    let voucher = payment_voucher(&attempt.order, attempt.settlement.acct_date);
    Ok(Message {
        gid: Gid::accounting(pay_no, number),
        business_key: pay_no.to_string(),
        destinations: vec![directory.url(ServiceName::Accounting, crate::contract::accounting::VOUCHER)],
        in_order: false,
        payload: serde_json::to_string(&voucher)?,
        query_prepared: Some(format!("{check}?pay_no={pay_no}&attempt={number}")),
    })
}

/// Which attempt is asked about.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pay_no: PayNo,
    attempt: i64,
}

/// Answers the check-back. Only what can never change decides: the order is `SUCCESS` by this attempt, or a later attempt
/// exists, or it is closed. An order that waits may only be between two attempts.
pub(super) async fn check_back(State(app): State<App>, Query(asked): Query<Asked>) -> BranchResult {
    let mut reader = app.service.db.readers().acquire().await?;
    let order = OrderRow::get(&mut reader, &asked.pay_no).await?;
    match order.state {
        _ if order.settle_attempt > asked.attempt => Err(refuse("LATER_ATTEMPT")),
        OrderState::Success => Ok(Done),
        OrderState::Closed => Err(refuse("CLOSED")),
        OrderState::WaitPay | OrderState::Settling | OrderState::Closing => Err(in_progress("NOT_DECIDED")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_numbers_go_by_message_and_odd_ones_by_outbox() {
        assert_eq!(Mode::of(&PayNo::new("P2026010500000008")), Mode::Message);
        assert_eq!(Mode::of(&PayNo::new("P2026010500000010")), Mode::Message);
        assert_eq!(Mode::of(&PayNo::new("P2026010500000001")), Mode::Outbox);
    }
}
