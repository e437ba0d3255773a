//! What a bank reports about an attempt, and the local transaction (T0) that begins a settlement.
//!
//! The message is answered *in progress* while a settlement is under way or after one was cancelled, so the coordinator
//! delivers it again, and the next delivery begins the next attempt. It is idempotent by the states of record and order.

use axum::Json;
use axum::extract::State;
use sqlx::sqlite::SqliteConnection;

use super::App;
use super::rows::{OrderRow, OrderState, RecordRow, RecordState};
use super::settlement::{self, Attempt, OWN_BRANCH};
use crate::barrier::Entry;
use crate::contract::order::{BankResult, Settlement};
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done, in_progress, refuse};
use crate::ids::{Gid, PayNo};
use crate::time::Timestamp;

/// What is to be done about a result, by the states it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// The attempt failed; the order can still be paid.
    FailRecord,
    /// Known already.
    Nothing,
    /// The order is settled with this record's money, if no record was paid earlier.
    Settle,
    /// A settlement is under way.
    AskLater,
    /// The order was paid by another record, or is closed: the money has to go back, which needs a person until automatic
    /// refunds are built. Refused, so that the message stays and asks for attention.
    Unexpected,
}

fn act(paid: bool, record: RecordState, bank_paid: bool, order: OrderState) -> Act {
    use RecordState::{Closed, Duplicate, Failed, Late, Success, Waiting};
    match (paid, record) {
        (false, Waiting) if !bank_paid => Act::FailRecord,
        (false, Waiting | Success | Failed | Closed | Duplicate | Late) => Act::Nothing,
        (true, Success | Duplicate | Late) => Act::Nothing,
        (true, Waiting | Closed | Failed) => match order {
            OrderState::WaitPay | OrderState::Closing => Act::Settle,
            OrderState::Settling => Act::AskLater,
            OrderState::Success | OrderState::Closed => Act::Unexpected,
        },
    }
}

/// The outcome of the local transaction.
enum Decided {
    Done,
    AskLater,
    Unexpected,
    Settle(Box<Attempt>),
}

/// Handles the message; the settlement it begins goes on without the caller.
pub(super) async fn handle(State(app): State<App>, Json(result): Json<BankResult>) -> BranchResult {
    // Taken first: a T0 is never committed without the means to drive it.
    let Ok(permit) = app.settlements.clone().try_acquire_owned() else { return Err(in_progress("BUSY")) };
    let mut tx = app.service.db.begin().await?;
    let decided = decide(&app, &mut tx, &result).await?;
    tx.commit().await?;
    match decided {
        Decided::Done => Ok(Done),
        Decided::AskLater => Err(in_progress("SETTLING")),
        Decided::Unexpected => Err(refuse("UNEXPECTED_PAYMENT")),
        Decided::Settle(attempt) => {
            app.tasks.clone().spawn(settlement::run(app, *attempt, permit));
            Err(in_progress("SETTLING"))
        }
    }
}

async fn decide(app: &App, db: &mut SqliteConnection, result: &BankResult) -> Result<Decided, BranchError> {
    let record = RecordRow::find_at_bank(db, &result.bank_order_no).await?.ok_or(refuse("NOT_FOUND"))?;
    if record.money != result.money {
        return Err(refuse("AMOUNT"));
    }
    let order = OrderRow::get(db, &record.pay_no).await?;
    let now = app.service.clock.now();
    let act = act(result.paid, record.state, record.bank_paid_at.is_some(), order.state);
    if matches!(act, Act::Settle | Act::AskLater | Act::Unexpected) {
        store_payment(db, &record, result, now).await?;
    }
    match act {
        Act::FailRecord => {
            fail(db, &record, now).await?;
            Ok(Decided::Done)
        }
        Act::Nothing => Ok(Decided::Done),
        Act::AskLater => Ok(Decided::AskLater),
        Act::Unexpected => {
            tracing::error!(pay_no = %order.pay_no, record_no = %record.record_no, "payment of an order that is paid or closed");
            Ok(Decided::Unexpected)
        }
        // Without an order among paid records, two of them could wait for each other for ever.
        Act::Settle if RecordRow::first_paid(db, &record.pay_no).await? != record.record_no => Ok(Decided::AskLater),
        Act::Settle => Ok(Decided::Settle(Box::new(begin(app, db, order, &record, now).await?))),
    }
}

/// The bank's facts about a success. `bank_paid_at` is set once: from then on nobody may close the record.
async fn store_payment(
    db: &mut SqliteConnection,
    record: &RecordRow,
    result: &BankResult,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payment_record SET bank_paid_at = coalesce(bank_paid_at, ?2), bank_finished_at = ?3, bank_acct_date = ?4,
           channel_cost = ?5, bank_trade_no = ?6, updated_at = ?2 WHERE record_no = ?1",
    )
    .bind(record.record_no.as_str())
    .bind(now.as_micros())
    .bind(result.finished_at.as_micros())
    .bind(result.bank_acct_date.to_string())
    .bind(result.cost)
    .bind(&result.bank_trade_no)
    .execute(db)
    .await?;
    Ok(())
}

async fn fail(db: &mut SqliteConnection, record: &RecordRow, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE payment_record SET status = 'FAILED', fail_code = 'BANK_FAILED', updated_at = ?2
          WHERE record_no = ?1 AND status = 'WAITING' AND bank_paid_at IS NULL",
    )
    .bind(record.record_no.as_str())
    .bind(now.as_micros())
    .execute(db)
    .await?;
    Ok(())
}

/// A settlement's branch 01 was tried before its order said so. The rows contradict each other: nothing is done.
#[derive(Debug, thiserror::Error)]
#[error("settlement attempt {attempt} of {pay_no} began before")]
struct BegunBefore {
    pay_no: PayNo,
    attempt: i64,
}

/// T0: the order settles, and branch 01's Try is done, in one.
async fn begin(
    app: &App,
    db: &mut SqliteConnection,
    order: OrderRow,
    record: &RecordRow,
    now: Timestamp,
) -> Result<Attempt, BranchError> {
    let settlement = Settlement {
        pay_no: order.pay_no.clone(),
        record_no: record.record_no.clone(),
        attempt: order.settle_attempt + 1,
        acct_date: now.acct_date(),
    };
    let gid = Gid::settle(&settlement.pay_no, settlement.attempt);
    let own_try = BranchContext::tcc_try(&gid, OWN_BRANCH);
    if app.service.barrier(&own_try).enter(db).await? != Entry::Run {
        return Err(BegunBefore { pay_no: settlement.pay_no, attempt: settlement.attempt }.into());
    }
    sqlx::query(
        "UPDATE payment_order SET status = 'SETTLING', settle_attempt = ?2, settle_gid = ?3, acct_date = ?4,
           version = version + 1, updated_at = ?5
          WHERE pay_no = ?1 AND status IN ('WAIT_PAY','CLOSING')",
    )
    .bind(settlement.pay_no.as_str())
    .bind(settlement.attempt)
    .bind(gid.as_str())
    .bind(settlement.acct_date.to_string())
    .bind(now.as_micros())
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE payment_record SET acct_date = ?2, updated_at = ?3 WHERE record_no = ?1")
        .bind(settlement.record_no.as_str())
        .bind(settlement.acct_date.to_string())
        .bind(now.as_micros())
        .execute(db)
        .await?;
    Ok(Attempt { gid, order, settlement })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [RecordState; 6] = [
        RecordState::Waiting,
        RecordState::Success,
        RecordState::Failed,
        RecordState::Closed,
        RecordState::Duplicate,
        RecordState::Late,
    ];
    const ORDERS: [OrderState; 5] =
        [OrderState::WaitPay, OrderState::Settling, OrderState::Success, OrderState::Closing, OrderState::Closed];

    #[test]
    fn a_reported_failure_only_ever_fails_a_waiting_record_that_was_not_paid() {
        for record in RECORDS {
            for order in ORDERS {
                for bank_paid in [false, true] {
                    let fails = record == RecordState::Waiting && !bank_paid;
                    let expected = if fails { Act::FailRecord } else { Act::Nothing };
                    assert_eq!(act(false, record, bank_paid, order), expected);
                }
            }
        }
    }

    #[test]
    fn a_reported_success_settles_an_open_order_and_is_never_forgotten() {
        for record in [RecordState::Waiting, RecordState::Failed, RecordState::Closed] {
            assert_eq!(act(true, record, false, OrderState::WaitPay), Act::Settle);
            assert_eq!(act(true, record, true, OrderState::Closing), Act::Settle);
            assert_eq!(act(true, record, true, OrderState::Settling), Act::AskLater);
            assert_eq!(act(true, record, false, OrderState::Success), Act::Unexpected);
            assert_eq!(act(true, record, false, OrderState::Closed), Act::Unexpected);
        }
        for record in [RecordState::Success, RecordState::Duplicate, RecordState::Late] {
            assert!(ORDERS.iter().all(|order| act(true, record, true, *order) == Act::Nothing));
        }
    }
}
