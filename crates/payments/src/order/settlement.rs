//! Drives one settlement attempt as the initiator of its TCC: begin, Try, decide.
//!
//! Every call is bounded, and an unknown Try is repeated once; then the transaction is aborted. Whatever is left undecided
//! here, because the coordinator does not answer, is decided by its time-out or by the sweeper.

use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::rows::{OrderRow, OrderState, RecordRow};
use super::{App, accounting};
use crate::contract::order::Settlement;
use crate::contract::{TRY_TIMEOUT, funds, order, points};
use crate::foundation::branch::{BranchContext, BranchOutcome, call_branch};
use crate::foundation::coordinator::{CoordinatorError, Message, Tcc, TccBranch, ask_again};
use crate::foundation::service::ServiceName;
use crate::ids::{Gid, PayNo, TxnNo};

/// The initiator's own branch: the order. Its Try is part of T0.
pub(super) const OWN_BRANCH: &str = "01";
const FUNDS_BRANCH: &str = "02";
const POINTS_BRANCH: &str = "03";

/// How often the coordinator is asked before its answer counts as unknown, and the pause between: together longer than a
/// restart takes.
const ASK_TRIES: u32 = 4;
const ASK_PAUSE: Duration = Duration::from_millis(400);

/// One attempt to settle an order, begun by T0.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Its TCC.
    pub(super) gid: Gid,
    /// The order; its state is not looked at any more.
    pub(super) order: OrderRow,
    /// What T0 fixed.
    pub(super) settlement: Settlement,
}

impl Attempt {
    /// The attempt that is under way for this order; `None`: none is.
    pub(super) async fn find(db: &mut SqliteConnection, pay_no: &PayNo) -> Result<Option<Self>, sqlx::Error> {
        let Some(order) = OrderRow::find(db, pay_no).await? else { return Ok(None) };
        let (OrderState::Settling, Some(acct_date)) = (order.state, order.acct_date) else { return Ok(None) };
        let settlement = Settlement {
            pay_no: order.pay_no.clone(),
            record_no: RecordRow::first_paid(db, pay_no).await?,
            attempt: order.settle_attempt,
            acct_date,
        };
        let gid = Gid::settle(&settlement.pay_no, settlement.attempt);
        Ok(Some(Self { gid, order, settlement }))
    }

    /// Its TCC, as it is begun.
    pub(super) fn tcc(&self, app: &App) -> Result<Tcc, serde_json::Error> {
        tcc(app, self, &tries(self)?)
    }
}

/// What became of an attempt, as far as its initiator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Every branch will be confirmed.
    Forward,
    /// Every branch will be cancelled, or nothing ever began.
    Backward,
    /// The coordinator did not say.
    Unknown,
}

/// One Try that is to be called.
struct Try {
    service: ServiceName,
    branch_id: &'static str,
    /// Of try, confirm and cancel.
    paths: [&'static str; 3],
    payload: Value,
}

/// Drives the attempt to its decision, and the accounting message after it. Holds a place among the settlements till then.
pub(super) async fn run(app: App, attempt: Attempt, _place: OwnedSemaphorePermit) {
    let span = tracing::info_span!("settlement", gid = %attempt.gid);
    async {
        match settle(&app, &attempt).await {
            Ok(decision) => tracing::debug!(?decision, "settlement driven"),
            Err(error) => tracing::warn!(%error, "settlement left to the time-out and the sweeper"),
        }
    }
    .instrument(span)
    .await;
}

async fn settle(app: &App, attempt: &Attempt) -> Result<Decision, SettleError> {
    let message = match accounting::Mode::of(&attempt.order.pay_no) {
        accounting::Mode::Outbox => None,
        accounting::Mode::Message => Some(accounting::message(app, attempt)?),
    };
    let coordinator = &app.service.coordinator;
    if let Some(message) = &message {
        ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.prepare_message(message)).await?;
    }
    let decision = drive_tcc(app, attempt).await?;
    if let Some(message) = &message {
        follow(app, message, decision).await?;
    }
    Ok(decision)
}

/// Why an attempt is left as it stands.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error("a payload cannot be written")]
    Payload(#[from] serde_json::Error),
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
}

async fn drive_tcc(app: &App, attempt: &Attempt) -> Result<Decision, SettleError> {
    let coordinator = &app.service.coordinator;
    let tries = tries(attempt)?;
    let tcc = tcc(app, attempt, &tries)?;
    match ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.prepare_tcc(&tcc)).await {
        Ok(()) => {}
        // Fenced by the sweeper: it was slower than we thought.
        Err(CoordinatorError::Refused { .. }) => return Ok(Decision::Backward),
        Err(error) => return Err(error.into()),
    }
    let outcomes = futures_util::future::join_all(tries.iter().map(|one| call_try(app, &attempt.gid, one))).await;
    let decided = match outcomes.iter().all(Result::is_ok) {
        true => {
            let submitted = ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.submit_tcc(&attempt.gid)).await;
            submitted.map(|()| Decision::Forward)
        }
        false => {
            let reason = "a branch refused its Try, or did not answer";
            let aborted = ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.abort_tcc(&attempt.gid, reason));
            aborted.await.map(|()| Decision::Backward)
        }
    };
    match decided {
        // Refused a submit or an abort: it was cancelled before us, by its time-out.
        Err(CoordinatorError::Refused { .. }) => Ok(Decision::Backward),
        Err(error @ CoordinatorError::Unknown { .. }) => {
            tracing::warn!(%error, "settlement's decision is not known");
            Ok(Decision::Unknown)
        }
        other => Ok(other?),
    }
}

/// The accounting message goes the way of the TCC. One whose way is unknown, or whose submit gets lost, is decided by its
/// check-back.
async fn follow(app: &App, message: &Message, decision: Decision) -> Result<(), CoordinatorError> {
    let coordinator = &app.service.coordinator;
    let followed = match decision {
        Decision::Forward => ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.submit_message(message)).await,
        Decision::Backward => ask_again(ASK_TRIES, ASK_PAUSE, || coordinator.abort_message(&message.gid)).await,
        Decision::Unknown => return Ok(()),
    };
    match followed {
        // Its check-back was quicker.
        Err(CoordinatorError::Refused { .. }) => Ok(()),
        other => other,
    }
}

/// The branches beside our own. One with nothing to do is left out.
fn tries(attempt: &Attempt) -> Result<Vec<Try>, serde_json::Error> {
    let (order, settlement) = (&attempt.order, &attempt.settlement);
    let txn_no = |branch_id| TxnNo::new(format!("{}-{branch_id}", attempt.gid));
    let mut tries = Vec::new();
    if order.credit().minor > 0 {
        let credit = funds::Credit {
            txn_no: txn_no(FUNDS_BRANCH),
            merchant_no: order.merchant_no.clone(),
            money: order.credit(),
            biz_no: order.pay_no.clone(),
            acct_date: settlement.acct_date,
        };
        let paths = [funds::CREDIT_TRY, funds::CREDIT_CONFIRM, funds::CREDIT_CANCEL];
        let payload = serde_json::to_value(credit)?;
        tries.push(Try { service: ServiceName::Funds, branch_id: FUNDS_BRANCH, paths, payload });
    }
    if order.points > 0 {
        let grant = points::Grant {
            txn_no: txn_no(POINTS_BRANCH),
            owner_no: order.payer_no.clone(),
            points: order.points,
            biz_no: order.pay_no.clone(),
            acct_date: settlement.acct_date,
        };
        let paths = [points::GRANT_TRY, points::GRANT_CONFIRM, points::GRANT_CANCEL];
        let payload = serde_json::to_value(grant)?;
        tries.push(Try { service: ServiceName::Points, branch_id: POINTS_BRANCH, paths, payload });
    }
    Ok(tries)
}

fn tcc(app: &App, attempt: &Attempt, tries: &[Try]) -> Result<Tcc, serde_json::Error> {
    let directory = &app.service.directory;
    let own = TccBranch {
        branch_id: OWN_BRANCH.to_owned(),
        confirm: directory.url(ServiceName::Order, order::ORDER_CONFIRM),
        cancel: directory.url(ServiceName::Order, order::ORDER_CANCEL),
        data: serde_json::to_string(&attempt.settlement)?,
    };
    let others = tries.iter().map(|one| TccBranch {
        branch_id: one.branch_id.to_owned(),
        confirm: directory.url(one.service, one.paths[1]),
        cancel: directory.url(one.service, one.paths[2]),
        data: one.payload.to_string(),
    });
    Ok(Tcc {
        gid: attempt.gid.clone(),
        business_key: attempt.order.pay_no.to_string(),
        branches: std::iter::once(own).chain(others).collect(),
    })
}

/// A Try that is not done.
struct NotTried;

/// Calls a Try; an answer that says nothing is asked for once more.
async fn call_try(app: &App, gid: &Gid, one: &Try) -> Result<(), NotTried> {
    let url = app.service.directory.url(one.service, one.paths[0]);
    let context = BranchContext::tcc_try(gid, one.branch_id);
    for _ in 0..2 {
        match call_branch(&app.service.client, &url, &context, &one.payload, TRY_TIMEOUT).await {
            BranchOutcome::Done => return Ok(()),
            BranchOutcome::Refused(code) => {
                tracing::debug!(branch = one.branch_id, code, "Try refused");
                return Err(NotTried);
            }
            BranchOutcome::InProgress => tracing::debug!(branch = one.branch_id, "Try in progress"),
            BranchOutcome::Unknown(error) => tracing::debug!(branch = one.branch_id, %error, "Try unknown"),
        }
    }
    Err(NotTried)
}
