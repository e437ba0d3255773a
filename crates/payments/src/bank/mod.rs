//! The bank, as far as the platform needs one: it reports what became of payments, and answers refunds. It is another
//! company's, with a database of its own, and plays what it is told to play.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::contract::banks;
use crate::foundation::db::Database;
use crate::foundation::http::HttpClient;
use crate::money::{BasisPoints, Money, MoneyError};
use crate::signing::Secret;
use crate::time::Clock;

mod refunds;
mod reports;
mod temper;

pub use reports::{Report, ReportError};
pub use temper::RefundRates;

/// What the bank charges the platform for a payment.
const COST: BasisPoints = BasisPoints(30);

/// What the bank is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The platform, by its number here.
    pub platform_no: String,
    /// Shared with the platform: signs the cashier's address, refund requests and their answers.
    pub api_secret: Secret,
    /// Shared with the platform's gateway: signs what the bank reports.
    pub notice_secret: Secret,
    /// Fixes how each refund goes.
    pub seed: u64,
    /// How often refunds go which way.
    pub refunds: RefundRates,
}

/// The bank. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bank {
    db: Database,
    clock: Clock,
    client: HttpClient,
    settings: Arc<Settings>,
}

impl Bank {
    /// A bank with these books.
    pub fn new(db: Database, clock: Clock, client: HttpClient, settings: Settings) -> Self {
        Self { db, clock, client, settings: Arc::new(settings) }
    }

    /// What the platform can ask of it.
    pub fn routes(&self) -> Router {
        Router::new()
            .route(banks::REFUNDS, post(refunds::create))
            .route(banks::REFUND, get(refunds::show))
            .with_state(self.clone())
    }
}

fn cost_of(amount: Money) -> Result<Money, MoneyError> {
    amount.share(COST)
}
