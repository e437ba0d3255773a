//! Step 3, the pivot: the bank gives the payer the money.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::super::App;
use super::super::rows::{RecordRow, RefundRow, RefundState};
use crate::barrier::Entry;
use crate::contract::banks::{self, BankRefundRequest, BankRefundStatus, BankRefundView};
use crate::contract::order::RefundRef;
use crate::foundation::api::ErrorBody;
use crate::foundation::branch::{BranchContext, BranchError, BranchResult, Done, in_progress, refuse};
use crate::foundation::http::CallError;
use crate::foundation::service::ServiceName;
use crate::ids::RefundNo;
use crate::signing::SignedClient;

/// Shorter than a coordinator waits for a branch.
const BANK_TIMEOUT: Duration = Duration::from_secs(2);

/// Further numbers that a refund may be asked under, each after a final refusal of the one before.
const FURTHER_NUMBERS_MAX: u32 = 3;

/// The bank cannot be relied on about this refund.
#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error("refund {refund_no} is not known here")]
    UnknownRefund { refund_no: RefundNo },
    #[error("the bank answers for another amount than that of {refund_no}")]
    OtherAmount { refund_no: RefundNo },
    #[error("the bank will not refund {refund_no}: {code}")]
    Conflict { refund_no: RefundNo, code: String },
    #[error("the bank has paid {refund_no}, which is not open any more")]
    PaidInVain { refund_no: RefundNo },
}

/// Asks the bank once. An answer that is not final is asked for again, under the same number, by the coordinator.
pub(in super::super) async fn action(
    State(app): State<App>,
    call: BranchContext,
    Json(RefundRef { refund_no }): Json<RefundRef>,
) -> BranchResult {
    let mut reader = app.service.db.readers().acquire().await?;
    let refund = RefundRow::find(&mut reader, &refund_no).await?;
    let refund = refund.ok_or(BankError::UnknownRefund { refund_no })?;
    let record = RecordRow::get(&mut reader, &refund.record_no).await?;
    drop(reader);
    match refund.state {
        RefundState::Success => return Ok(Done),
        RefundState::Failed => return Err(refuse("FAILED")),
        RefundState::Created | RefundState::Held => mark_at_bank(&app, &refund).await?,
        RefundState::AtBank | RefundState::Abnormal => {}
    }
    let answer = ask(&app, &refund, &record).await?;
    match answer.status {
        BankRefundStatus::Success => {
            store_success(&app, &call, &refund, &answer).await?;
            Ok(Done)
        }
        BankRefundStatus::Processing => Err(in_progress("PROCESSING")),
        BankRefundStatus::Abnormal => Err(in_progress("ABNORMAL")),
        BankRefundStatus::Failed => match next_number(&refund) {
            Some(next) => {
                take_next_number(&app, &refund, &next).await?;
                Err(in_progress("NEXT_NUMBER"))
            }
            None => {
                store_refusal(&app, &refund).await?;
                Err(refuse("BANK_REFUSED"))
            }
        },
    }
}

async fn ask(app: &App, refund: &RefundRow, record: &RecordRow) -> Result<BankRefundView, BranchError> {
    let service = &app.service;
    let bank = SignedClient::new(
        service.client.clone(),
        service.clock.clone(),
        &app.settings.platform_no,
        app.settings.bank_secret.clone(),
    );
    let request = BankRefundRequest {
        platform_no: app.settings.platform_no.clone(),
        platform_refund_no: refund.bank_refund_no.clone(),
        bank_order_no: record.bank_order_no.clone(),
        money: refund.money,
    };
    let reply = bank.post(&service.directory.url(ServiceName::Bank, banks::REFUNDS), &request, BANK_TIMEOUT).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::CONFLICT => return Err(conflict(refund, reply.json()?)),
        status => return Err(CallError::Status { status }.into()),
    }
    let answer: BankRefundView = reply.json()?;
    match answer.money == refund.money {
        true => Ok(answer),
        false => Err(BankError::OtherAmount { refund_no: refund.refund_no.clone() }.into()),
    }
}

/// Another refund of the same trade on its way is waited for; anything else takes a person, which *in progress* never asks for.
fn conflict(refund: &RefundRow, error: ErrorBody) -> BranchError {
    match error.code.as_str() {
        banks::REFUND_BUSY => in_progress(banks::REFUND_BUSY),
        _ => BankError::Conflict { refund_no: refund.refund_no.clone(), code: error.code }.into(),
    }
}

/// The number after the current one: `R…`, `R…-1`, `R…-2`, `R…-3`, and no more.
fn next_number(refund: &RefundRow) -> Option<String> {
    let used = refund.bank_refund_no.strip_prefix(refund.refund_no.as_str())?;
    let used: u32 = if used.is_empty() { 0 } else { used.strip_prefix('-')?.parse().ok()? };
    (used < FURTHER_NUMBERS_MAX).then(|| format!("{}-{}", refund.refund_no, used + 1))
}

/// Before the first call: from then on the bank may know of the refund.
async fn mark_at_bank(app: &App, refund: &RefundRow) -> Result<(), sqlx::Error> {
    let mut tx = app.service.db.begin().await?;
    sqlx::query(
        "UPDATE refund_order SET status = 'AT_BANK', updated_at = ?2
          WHERE refund_no = ?1 AND status IN ('CREATED','HELD')",
    )
    .bind(refund.refund_no.as_str())
    .bind(app.service.clock.now().as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn store_success(
    app: &App,
    call: &BranchContext,
    refund: &RefundRow,
    answer: &BankRefundView,
) -> Result<(), BranchError> {
    let mut tx = app.service.db.begin().await?;
    if app.service.barrier(call).enter(&mut tx).await? == Entry::Run {
        let now = app.service.clock.now();
        let stored = sqlx::query(
            "UPDATE refund_order SET bank_finished_at = ?2, bank_acct_date = ?3, updated_at = ?4
              WHERE refund_no = ?1 AND status = 'AT_BANK'",
        )
        .bind(refund.refund_no.as_str())
        .bind(answer.finished_at.unwrap_or(now).as_micros())
        .bind(answer.acct_date.map(|date| date.to_string()))
        .bind(now.as_micros())
        .execute(&mut *tx)
        .await?;
        if stored.rows_affected() == 0 {
            return Err(BankError::PaidInVain { refund_no: refund.refund_no.clone() }.into());
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Only by whoever saw the current number refused: two answers to the same number use up one.
async fn take_next_number(app: &App, refund: &RefundRow, next: &str) -> Result<(), sqlx::Error> {
    let mut tx = app.service.db.begin().await?;
    sqlx::query(
        "UPDATE refund_order SET bank_refund_no = ?3, updated_at = ?4 WHERE refund_no = ?1 AND bank_refund_no = ?2",
    )
    .bind(refund.refund_no.as_str())
    .bind(&refund.bank_refund_no)
    .bind(next)
    .bind(app.service.clock.now().as_micros())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn store_refusal(app: &App, refund: &RefundRow) -> Result<(), sqlx::Error> {
    let mut tx = app.service.db.begin().await?;
    sqlx::query("UPDATE refund_order SET fail_code = 'BANK_REFUSED', updated_at = ?2 WHERE refund_no = ?1")
        .bind(refund.refund_no.as_str())
        .bind(app.service.clock.now().as_micros())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
