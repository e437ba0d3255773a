//! What a platform is started with, and the reference data.

use std::path::PathBuf;
use std::time::Duration;

use crate::bank::RefundRates;
use crate::foundation::coordinator::TxnOptions;
use crate::foundation::faults::FaultRates;
use crate::ids::{MerchantNo, PayerNo};
use crate::money::{BasisPoints, FeeTerms};
use crate::signing::Secret;
use crate::time::Clock;

/// What a platform is started with.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// Where the databases are. Created if missing; what is in it goes on.
    pub dir: PathBuf,
    /// The coordinator, `http://host:port`; it may be killed and restarted, but not move.
    pub coordinator_url: String,
    /// Fixes which faults happen.
    pub seed: u64,
    /// How often they happen.
    pub faults: FaultRates,
    /// False switches every participant's barrier off: shows what it prevents.
    pub barrier_on: bool,
    /// How the coordinator is to drive the platform's transactions.
    pub options: TxnOptions,
    /// Who sells.
    pub merchants: Vec<Merchant>,
    /// Who pays.
    pub payers: Vec<PayerNo>,
    /// How the bank's refunds go.
    pub refunds: RefundRates,
    /// How often the order's sweeper looks, and how old a settlement must be before it is touched.
    pub sweep: (Duration, Duration),
    /// The pauses between attempts to tell a merchant; there is one attempt more than pauses.
    pub notice_schedule: Vec<Duration>,
    /// What the platform and its bank share.
    pub bank_secrets: BankSecrets,
    /// The time for all of them.
    pub clock: Clock,
}

impl PlatformConfig {
    /// The reference data: one merchant at 80 basis points, a hundred payers, no faults, times short enough to watch.
    pub fn reference(dir: PathBuf, coordinator_url: String, seed: u64) -> Self {
        Self {
            dir,
            coordinator_url,
            seed,
            faults: FaultRates::default(),
            barrier_on: true,
            options: TxnOptions { retry_interval_s: Some(1), timeout_to_fail_s: Some(3), request_timeout_s: None },
            merchants: vec![Merchant::reference()],
            payers: (1..=100).map(|n| PayerNo::new(format!("U{n}"))).collect(),
            refunds: RefundRates::MIXED,
            sweep: (Duration::from_secs(1), Duration::from_secs(5)),
            notice_schedule: [1, 1, 2, 5].map(Duration::from_secs).to_vec(),
            bank_secrets: BankSecrets::reference(),
            clock: Clock::system(),
        }
    }
}

/// A merchant of the reference data.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// Its number.
    pub merchant_no: MerchantNo,
    /// What it pays for each payment.
    pub fee: FeeTerms,
    /// Signs its requests and our answers.
    pub api_secret: Secret,
    /// Signs what it is told.
    pub notice_secret: Secret,
}

/// What the platform and its bank share.
#[derive(Debug, Clone)]
pub struct BankSecrets {
    /// Signs the cashier's address, refund requests and their answers.
    pub api: Secret,
    /// Signs what the bank reports.
    pub notices: Secret,
}

impl BankSecrets {
    fn reference() -> Self {
        Self { api: Secret::new("bank-api-secret-0001"), notices: Secret::new("bank-notice-secret-0001") }
    }
}

impl Merchant {
    fn reference() -> Self {
        Self {
            merchant_no: MerchantNo::new("M1001"),
            fee: FeeTerms { rate: BasisPoints(80), min: 0, max: None },
            api_secret: Secret::new("merchant-secret-0001"),
            notice_secret: Secret::new("merchant-notice-secret-0001"),
        }
    }
}
