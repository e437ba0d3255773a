//! Payment orders: creates them, takes attempts to pay, settles what a bank reports as paid, and refunds.
//!
//! ```text
//!            attempt                     bank_result (T0)             confirm
//! WAIT_PAY ----------> WAIT_PAY + record ----------------> SETTLING ----------> SUCCESS
//!                          ^                                  |
//!                          +------------- cancel -------------+    the result is delivered again, the next attempt begins
//! ```
//!
//! This service is the initiator of two global transactions, each begun by a local one (T0) that also writes the barrier row
//! of the initiator's own branch: the settlement TCC `pay-settle-{pay_no}-{attempt}` and the refund saga
//! `pay-refund-{refund_no}`. A T0 whose TCC never began is cleaned up by the sweeper.
//!
//! Not built yet: closing orders, and giving unexpected money back. A payment that settles nothing (its order is paid, or its
//! merchant's account was closed in the meantime) stays visible at the coordinator: as a message that is refused, or as one
//! attempt after the other.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::contract;
use crate::foundation::service::Service;
use crate::signing::Secret;

mod accounting;
mod attempt;
mod bank_result;
mod create;
mod fee;
mod notice;
mod own_branch;
mod refund;
mod rows;
mod settlement;
mod sweep;

/// What this service is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The platform's number at the bank.
    pub platform_no: String,
    /// The bank that cards are paid with.
    pub bank_code: String,
    /// Shared with that bank: signs what the payer's browser carries there, and refund requests.
    pub bank_secret: Secret,
    /// How often the sweeper looks for settlements that never began.
    pub sweep_every: Duration,
    /// How old a settlement must be before the sweeper touches it: longer than a TCC may stay undecided.
    pub sweep_older_than: Duration,
    /// Settlements driven at once; past it a bank's result is asked for again later.
    pub settlements_max: usize,
}

/// The state of this service's routes and tasks.
#[derive(Debug, Clone)]
struct App {
    service: Service,
    settings: Arc<Settings>,
    settlements: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Starts the sweeper in `tasks`, where settlements run, too, and returns the routes. The sweeper ends with `stop`;
/// a settlement that has begun runs to its bounded end.
pub fn start(service: Service, settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) -> Router {
    let settlements = Arc::new(Semaphore::new(settings.settlements_max));
    let app = App { service, settings: Arc::new(settings), settlements, tasks: tasks.clone() };
    tasks.spawn(sweep::run(app.clone(), stop.clone()));
    routes(app)
}

fn routes(app: App) -> Router {
    use contract::{merchants, order};
    Router::new()
        .route(merchants::PAYMENTS, post(create::create))
        .route(merchants::PAYMENT, get(create::show))
        .route(merchants::ATTEMPTS, post(attempt::create))
        .route(merchants::RECORD, get(attempt::show))
        .route(merchants::REFUNDS, post(refund::create::create))
        .route(merchants::REFUND, get(refund::create::show))
        .route(order::BANK_RESULT, post(bank_result::handle))
        .route(order::ORDER_CONFIRM, post(own_branch::confirm))
        .route(order::ORDER_CANCEL, post(own_branch::cancel))
        .route(order::CHECK_ACCOUNTING, get(accounting::check_back))
        .route(order::BANK_REFUND_ACTION, post(refund::bank::action))
        .route(order::REFUND_SETTLE_ACTION, post(refund::settle::action))
        .route(order::REFUND_COMPENSATE, post(refund::settle::compensate))
        .with_state(app)
}
