//! A platform in a test's hands: the test plays its merchants, its payers and its coordinator.

use escrow_payments::bank::Report;
use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::merchants::{AttemptView, PaymentRequest, PaymentView, RefundRequest, RefundView};
use escrow_payments::foundation::db::DbName;
use escrow_payments::ids::{MerchantNo, PayNo, PayerNo};
use escrow_payments::merchant::Client;
use escrow_payments::money::Money;
use escrow_payments::platform::{BANK_CODE, PlatformConfig};
use escrow_payments::time::Clock;
use serde_json::Value;

use crate::support::{FakeCoordinator, PATIENCE, Stage, branch};

pub(crate) struct Play {
    pub(crate) stage: Stage,
    pub(crate) coordinator: FakeCoordinator,
    pub(crate) shop: Client,
}

impl Play {
    pub(crate) async fn open() -> Self {
        Self::open_with(|config| config).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(PlatformConfig) -> PlatformConfig) -> Self {
        let coordinator = FakeCoordinator::start().await;
        let url = coordinator.url.clone();
        let stage = Stage::open_with(|config| change(PlatformConfig { coordinator_url: url, ..config })).await;
        let shop = stage.platform.client_of(&merchant_no()).unwrap();
        Self { stage, coordinator, shop }
    }

    /// A payment order over so many fen with one attempt.
    pub(crate) async fn order(&self, merchant_order_no: &str, minor: i64) -> (PaymentView, AttemptView) {
        let payment = self.shop.create_payment(&payment(merchant_order_no, minor)).await.unwrap();
        let attempt = self.shop.attempt(&payment.pay_no, "a1", BANK_CODE).await.unwrap();
        (payment, attempt)
    }

    pub(crate) async fn report(&self, attempt: &AttemptView, report: Report) {
        self.stage.platform.bank().report(&attempt.redirect_url, report).await.unwrap();
    }

    /// Delivers the bank's result of an attempt as the coordinator would; returns the order service's answer.
    pub(crate) async fn deliver_result(&self, attempt: &AttemptView, ending: &str) -> (u16, Option<String>) {
        let gid = format!("bank-{BANK_CODE}-B{}-{ending}", attempt.record_no);
        let message = self.coordinator.when_asked("submit", &gid).await;
        self.deliver(&message, 0).await
    }

    /// Calls one step of a message or saga: its action.
    pub(crate) async fn deliver(&self, txn: &Value, step: usize) -> (u16, Option<String>) {
        let url = txn["steps"][step]["action"].as_str().unwrap();
        self.call(txn, url, &format!("{:02}", step + 1), BarrierOp::Action, &txn["payloads"][step]).await
    }

    /// Calls one step of a saga: its compensation.
    pub(crate) async fn compensate(&self, txn: &Value, step: usize) -> (u16, Option<String>) {
        let url = txn["steps"][step]["compensate"].as_str().unwrap();
        self.call(txn, url, &format!("{:02}", step + 1), BarrierOp::Compensate, &txn["payloads"][step]).await
    }

    /// Calls phase two at every branch of a prepared TCC.
    pub(crate) async fn end(&self, tcc: &Value, op: BarrierOp) {
        for one in tcc["branches"].as_array().unwrap() {
            let url = one[op.as_str()].as_str().unwrap();
            let answer = self.call(tcc, url, one["branch_id"].as_str().unwrap(), op, &one["data"]).await;
            assert_eq!(answer.0, 200, "{url}: {answer:?}");
        }
    }

    async fn call(
        &self,
        txn: &Value,
        url: &str,
        branch_id: &str,
        op: BarrierOp,
        text: &Value,
    ) -> (u16, Option<String>) {
        let context = branch(txn["trans_type"].as_str().unwrap(), txn["gid"].as_str().unwrap(), branch_id, op);
        let payload: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let reply = self.stage.client.post_json(&context.url(url), &payload, PATIENCE).await.unwrap();
        let body: Value = reply.json().unwrap_or_default();
        (reply.status.as_u16(), body["code"].as_str().map(str::to_owned))
    }

    /// Brings an order to `SUCCESS`: delivers the result, plays both phases of the settlement.
    pub(crate) async fn settle(&self, attempt: &AttemptView) {
        self.report(attempt, Report::Paid).await;
        assert_eq!(self.deliver_result(attempt, "succeeded").await.0, 425);
        let gid = format!("pay-settle-{}-1", attempt.pay_no);
        self.coordinator.when_asked("submit", &gid).await;
        let tcc = self.coordinator.when_asked("prepare", &gid).await;
        self.end(&tcc, BarrierOp::Confirm).await;
    }

    pub(crate) async fn refund(&self, pay_no: &PayNo, merchant_refund_no: &str, minor: i64) -> RefundView {
        self.shop.refund(&refund(pay_no, merchant_refund_no, minor)).await.unwrap()
    }

    pub(crate) async fn order_rows(&self, sql: &str) -> Vec<String> {
        self.stage.rows(DbName::PayOrder, sql).await
    }
}

pub(crate) fn merchant_no() -> MerchantNo {
    MerchantNo::new("M1001")
}

pub(crate) fn payment(merchant_order_no: &str, minor: i64) -> PaymentRequest {
    PaymentRequest {
        merchant_no: merchant_no(),
        merchant_order_no: merchant_order_no.to_owned(),
        payer_no: PayerNo::new("U1"),
        subject: "2 x K1".to_owned(),
        money: Money::cny(minor),
        expire_at: Clock::system().now().plus(std::time::Duration::from_secs(600)),
        notify_url: None,
        return_url: None,
    }
}

pub(crate) fn refund(pay_no: &PayNo, merchant_refund_no: &str, minor: i64) -> RefundRequest {
    RefundRequest {
        merchant_no: merchant_no(),
        merchant_refund_no: merchant_refund_no.to_owned(),
        pay_no: pay_no.clone(),
        money: Money::cny(minor),
    }
}
