//! All services together under a coordinator that never gives up: what is asked gets done, whatever gets lost on the way.

use std::time::Duration;

use escrow_payments::bank::Report;
use escrow_payments::contract::merchants::PaymentStatus;
use escrow_payments::foundation::coordinator::TxnOptions;
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::faults::{ChaosLevel, FaultRates};
use escrow_payments::platform::{BANK_CODE, PlatformConfig};
use futures_util::future::join_all;

use crate::mini_coordinator::MiniCoordinator;
use crate::play::{merchant_no, payment, refund};
use crate::support::Stage;

/// How long the platform may take to come to rest.
const REST: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const ORDERS: usize = 24;
const AMOUNT: i64 = 1000;

struct Whole {
    stage: Stage,
    coordinator: MiniCoordinator,
}

impl Whole {
    async fn open_with(change: impl FnOnce(PlatformConfig) -> PlatformConfig) -> Self {
        let coordinator = MiniCoordinator::start().await;
        let coordinator_url = coordinator.url.clone();
        let stage = Stage::open_with(|config| change(PlatformConfig { coordinator_url, ..config })).await;
        Self { stage, coordinator }
    }

    /// One buyer: orders, pays, and asks for 400 back if `refunded`.
    async fn buy(&self, n: usize, refunded: bool) {
        let platform = &self.stage.platform;
        let shop = platform.client_of(&merchant_no()).unwrap();
        let order = shop.create_payment(&payment(&format!("SO{n}"), AMOUNT)).await.unwrap();
        let attempt = shop.attempt(&order.pay_no, &format!("SO{n}-1"), BANK_CODE).await.unwrap();
        platform.bank().report(&attempt.redirect_url, Report::Paid).await.unwrap();
        if !refunded {
            return;
        }
        while shop.payment(&order.pay_no).await.unwrap().status != PaymentStatus::Success {
            tokio::time::sleep(POLL).await;
        }
        shop.refund(&refund(&order.pay_no, &format!("SO{n}-R1"), 400)).await.unwrap();
    }

    /// Waits until nothing is open; says what still was if that takes too long.
    async fn rest(&self) -> Result<(), Vec<String>> {
        let begin = std::time::Instant::now();
        loop {
            let open = self.open_work().await;
            if open.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > REST {
                return Err(open);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn open_work(&self) -> Vec<String> {
        let mut open = self.coordinator.open();
        for db in [DbName::PayGateway, DbName::PayOrder] {
            open.extend(self.stage.rows(db, "SELECT msg_id, status FROM outbox WHERE status = 'NEW'").await);
        }
        let unfinished = "SELECT pay_no, status FROM payment_order WHERE status <> 'SUCCESS'
                UNION ALL SELECT refund_no, status FROM refund_order WHERE status NOT IN ('SUCCESS', 'FAILED')";
        open.extend(self.stage.rows(DbName::PayOrder, unfinished).await);
        open
    }

    /// Postings that are tried, of transactions that are over.
    async fn tried_in_vain(&self) -> Vec<String> {
        let mut tried = self.stage.rows(DbName::PayFunds, "SELECT gid FROM funds_txn WHERE status = 'TRYING'").await;
        tried.extend(self.stage.rows(DbName::PayPoints, "SELECT gid FROM points_txn WHERE status = 'TRYING'").await);
        tried.retain(|gid| self.coordinator.status(gid) == "failed");
        tried
    }

    async fn number(&self, db: DbName, sql: &str) -> i64 {
        self.stage.rows(db, sql).await[0].parse().unwrap()
    }

    /// Every posting there has to be, and none beside it.
    async fn check_books(&self) {
        let orders = i64::try_from(ORDERS).unwrap();
        assert_eq!(
            self.number(DbName::PayOrder, "SELECT count(*) FROM payment_order WHERE status = 'SUCCESS'").await,
            orders
        );
        for (db, table) in [(DbName::PayFunds, "funds_txn"), (DbName::PayPoints, "points_txn")] {
            let trying = format!("SELECT count(*) FROM {table} WHERE status = 'TRYING'");
            assert_eq!(self.number(db, &trying).await, 0, "{table}");
        }
        let credits = "SELECT count(*) FROM funds_txn WHERE direction = 'C' AND status = 'POSTED' AND amount = 992";
        assert_eq!(self.number(DbName::PayFunds, credits).await, orders);
        let refunds = "SELECT coalesce(sum(amount - fee_back), 0) FROM refund_order WHERE status = 'SUCCESS'";
        let balance = orders * 992 - self.number(DbName::PayOrder, refunds).await;
        assert_eq!(
            self.stage.rows(DbName::PayFunds, "SELECT balance, frozen FROM funds_account").await,
            [format!("{balance} 0")]
        );
        let revoked = self
            .number(DbName::PayOrder, "SELECT coalesce(sum(points_back), 0) FROM refund_order WHERE status = 'SUCCESS'")
            .await;
        let points = "SELECT sum(available) FROM points_account";
        assert_eq!(self.number(DbName::PayPoints, points).await, orders * 10 - revoked);
        let payable =
            "SELECT sum(CASE dc WHEN 'C' THEN amount ELSE -amount END) FROM ledger_entry WHERE subject_code = '2202'";
        assert_eq!(self.number(DbName::PayLedger, payable).await, balance);
        let vouchers = "SELECT count(*) FROM voucher WHERE entry_type = 6004";
        assert_eq!(self.number(DbName::PayLedger, vouchers).await, orders);
    }
}

/// Everything but late Tries, which take longer than a transaction's time-out each.
fn rough() -> FaultRates {
    FaultRates { slow_ms_max: 30, try_refused: 100, try_late: 0, ..ChaosLevel::High.rates() }
}

#[tokio::test]
async fn every_paid_order_is_settled_booked_and_refunded_once() {
    // However busy the machine is, no settlement times out.
    let whole = Whole::open_with(|config| PlatformConfig {
        options: TxnOptions { timeout_to_fail_s: Some(60), ..config.options },
        sweep: (Duration::from_secs(1), Duration::from_secs(120)),
        ..config
    })
    .await;
    join_all((0..ORDERS).map(|n| whole.buy(n, n % 4 == 0))).await;
    whole.rest().await.unwrap();
    whole.check_books().await;
    assert_eq!(whole.coordinator.count("tcc", "failed"), 0, "nothing had to be tried again");
}

#[tokio::test]
async fn lost_requests_lost_replies_slow_calls_and_refusals_change_nothing_in_the_end() {
    let whole = Whole::open_with(|config| PlatformConfig { faults: rough(), ..config }).await;
    join_all((0..ORDERS).map(|n| whole.buy(n, n % 4 == 0))).await;
    whole.rest().await.unwrap();
    whole.check_books().await;
    let counts = whole.stage.platform.fault_counts();
    assert!(counts.request_lost > 0 && counts.reply_lost > 0 && counts.slow > 0 && counts.try_refused > 0, "{counts}");
}

/// A tenth of all Tries comes after its cancel.
fn late() -> FaultRates {
    FaultRates { try_late: 100, try_late_ms: ChaosLevel::High.rates().try_late_ms, ..FaultRates::default() }
}

#[tokio::test]
async fn tries_that_come_after_their_cancel_change_nothing() {
    let whole = Whole::open_with(|config| PlatformConfig { faults: late(), ..config }).await;
    join_all((0..ORDERS).map(|n| whole.buy(n, false))).await;
    whole.rest().await.unwrap();
    whole.check_books().await;
    assert!(whole.stage.platform.fault_counts().try_late > 0 && whole.coordinator.count("tcc", "failed") > 0);
}

#[tokio::test]
async fn without_the_barrier_a_late_try_leaves_what_nobody_cleans_up() {
    let whole = Whole::open_with(|config| PlatformConfig { faults: late(), barrier_on: false, ..config }).await;
    join_all((0..ORDERS).map(|n| whole.buy(n, false))).await;
    let hanging = async {
        while whole.tried_in_vain().await.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(REST, hanging).await.expect("something stays tried though its transaction was cancelled");
}
