//! The gateway (支付网关): the platform's border. Merchants' signed requests and banks' signed notices come in here; it checks
//! who speaks and passes on what they say. It reads and writes only its own database, and asks the payment-order service
//! before its own transactions, never inside.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::contract;
use crate::foundation::service::Service;
use crate::signing::Secret;

mod bank_notice;
mod caller;
mod check;
mod merchants;
mod nonces;
mod requests;

pub use merchants::{Merchant, add_merchant};

/// What this service is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The platform's number at the banks.
    pub platform_no: String,
    /// The secret that each bank signs its notices with, by bank code.
    pub bank_secrets: BTreeMap<String, Secret>,
}

/// The state of this service's routes.
#[derive(Debug, Clone)]
struct App {
    service: Service,
    settings: Arc<Settings>,
}

/// Starts the purge of nonces in `tasks`, until `stop`, and returns the routes.
pub fn start(service: Service, settings: Settings, tasks: &TaskTracker, stop: &CancellationToken) -> Router {
    let app = App { service, settings: Arc::new(settings) };
    tasks.spawn(nonces::purge_until(app.service.clone(), stop.clone()));
    routes(app)
}

fn routes(app: App) -> Router {
    use contract::{banks, gateway, merchants};
    Router::new()
        .route(merchants::PAYMENTS, post(requests::create_payment))
        .route(merchants::PAYMENT, get(requests::show_payment))
        .route(merchants::ATTEMPTS, post(requests::create_attempt))
        .route(merchants::REFUNDS, post(requests::create_refund))
        .route(merchants::REFUND, get(requests::show_refund))
        .route(banks::BANK_NOTICES, post(bank_notice::receive))
        .route(gateway::NOTICE_DONE, post(bank_notice::done))
        .with_state(app)
}
