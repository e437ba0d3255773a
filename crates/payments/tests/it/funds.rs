use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::RefundPosting;
use escrow_payments::contract::funds::{
    ACCOUNT_CLOSED, AccountView, CREDIT_CANCEL, CREDIT_CONFIRM, CREDIT_TRY, Credit, HOLD_ACTION, HOLD_COMPENSATE,
    MERCHANT_SHORT, REFUND_POST, RefundHold,
};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::{MerchantNo, PayNo, PayerNo, RefundNo, TxnNo};
use escrow_payments::money::Money;

use crate::support::{DONE, IN_PROGRESS, PATIENCE, Stage, UNKNOWN, branch, refused};

const ACCOUNT: &str = "SELECT balance, frozen, post_no FROM funds_account";
const POSTINGS: &str =
    "SELECT txn_no, direction, amount, status, post_no, balance_after, acct_date FROM funds_txn ORDER BY txn_no";

fn credit(attempt: u32) -> Credit {
    Credit {
        txn_no: TxnNo::new(format!("P1-{attempt}")),
        merchant_no: MerchantNo::new("M1001"),
        money: Money::cny(992),
        biz_no: PayNo::new("P1"),
        acct_date: "2026-01-05".parse().unwrap(),
    }
}

fn hold(refund: &str, minor: i64) -> RefundHold {
    RefundHold {
        refund_no: RefundNo::new(refund),
        pay_no: PayNo::new("P1"),
        merchant_no: MerchantNo::new("M1001"),
        money: Money::cny(minor),
    }
}

fn posting(refund: &str, minor: i64) -> RefundPosting {
    RefundPosting {
        refund_no: RefundNo::new(refund),
        merchant_no: MerchantNo::new("M1001"),
        money: Money::cny(minor),
        owner_no: PayerNo::new("U1"),
        points: 0,
        acct_date: "2026-01-06".parse().unwrap(),
    }
}

impl Stage {
    async fn tcc(&self, path: &str, op: BarrierOp, attempt: u32) -> (u16, Option<String>) {
        let context = branch("tcc", &format!("g{attempt}"), "02", op);
        self.call(ServiceName::Funds, path, &context, &credit(attempt)).await
    }

    async fn saga(&self, path: &str, op: BarrierOp, hold: &RefundHold) -> (u16, Option<String>) {
        let context = branch("saga", hold.refund_no.as_str(), "02", op);
        self.call(ServiceName::Funds, path, &context, hold).await
    }

    async fn post_refund(&self, posting: &RefundPosting) -> (u16, Option<String>) {
        let context = branch("msg", &format!("msg-{}", posting.refund_no), "01", BarrierOp::Action);
        self.call(ServiceName::Funds, REFUND_POST, &context, posting).await
    }

    /// A payment of 992 is on the account.
    async fn credited(self) -> Self {
        assert_eq!(self.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
        assert_eq!(self.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, DONE);
        self
    }

    async fn account(&self) -> String {
        self.rows(DbName::PayFunds, ACCOUNT).await.concat()
    }

    async fn postings(&self) -> Vec<String> {
        self.rows(DbName::PayFunds, POSTINGS).await
    }
}

#[tokio::test]
async fn a_tried_credit_is_a_row_and_only_its_confirm_moves_the_account_once() {
    let stage = Stage::open().await;
    for _ in 0..2 {
        assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
        assert_eq!(stage.account().await, "0 0 0");
        assert_eq!(stage.postings().await, ["P1-1 C 992 TRYING - - -"]);
    }
    for _ in 0..2 {
        assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, DONE);
        assert_eq!(stage.account().await, "992 0 1");
        assert_eq!(stage.postings().await, ["P1-1 C 992 POSTED 1 992 2026-01-05"]);
    }
}

#[tokio::test]
async fn a_cancelled_credit_makes_room_for_the_next_attempt() {
    let stage = Stage::open().await;
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 2).await, UNKNOWN, "one live credit per payment");
    assert_eq!(stage.tcc(CREDIT_CANCEL, BarrierOp::Cancel, 1).await, DONE);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 2).await, DONE);
    assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 2).await, DONE);
    assert_eq!(stage.account().await, "992 0 1");
    assert_eq!(stage.postings().await, ["P1-1 C 992 CANCELLED - - -", "P1-2 C 992 POSTED 1 992 2026-01-05"]);
}

#[tokio::test]
async fn a_try_after_its_cancel_is_answered_done_and_changes_nothing() {
    let stage = Stage::open().await;
    assert_eq!(stage.tcc(CREDIT_CANCEL, BarrierOp::Cancel, 1).await, DONE);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    assert_eq!(stage.postings().await, [""; 0]);
}

#[tokio::test]
async fn without_the_barrier_a_try_after_its_cancel_hangs_for_ever() {
    let stage =
        Stage::open_with(|config| escrow_payments::platform::PlatformConfig { barrier_on: false, ..config }).await;
    assert_eq!(stage.tcc(CREDIT_CANCEL, BarrierOp::Cancel, 1).await, DONE);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    assert_eq!(stage.postings().await, ["P1-1 C 992 TRYING - - -"]);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 2).await, UNKNOWN);
}

#[tokio::test]
async fn without_the_barrier_the_rows_guard_themselves_against_repeated_calls() {
    let stage =
        Stage::open_with(|config| escrow_payments::platform::PlatformConfig { barrier_on: false, ..config }).await;
    let stage = stage.credited().await;
    assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, DONE);
    assert_eq!(stage.account().await, "992 0 1");
    for _ in 0..2 {
        assert_eq!(stage.saga(HOLD_COMPENSATE, BarrierOp::Compensate, &hold("R1", 100)).await, DONE);
    }
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R2", 100)).await, DONE);
    for _ in 0..2 {
        assert_eq!(stage.post_refund(&posting("R2", 100)).await, DONE);
    }
    assert_eq!(stage.account().await, "892 0 2");
}

#[tokio::test]
async fn a_confirm_of_nothing_is_unknown_and_leaves_no_trace() {
    let stage = Stage::open().await;
    assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, UNKNOWN);
    assert_eq!(stage.rows(DbName::PayFunds, "SELECT op FROM barrier").await, [""; 0]);
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, DONE);
}

#[tokio::test]
async fn a_confirm_with_another_amount_is_unknown() {
    let stage = Stage::open().await;
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    let other = Credit { money: Money::cny(993), ..credit(1) };
    let context = branch("tcc", "g1", "02", BarrierOp::Confirm);
    assert_eq!(stage.call(ServiceName::Funds, CREDIT_CONFIRM, &context, &other).await, UNKNOWN);
    assert_eq!(stage.account().await, "0 0 0");
}

#[tokio::test]
async fn an_account_that_closes_refuses_but_a_frozen_one_still_receives() {
    let stage = Stage::open().await;
    for (status, answer) in
        [("CLOSING", refused(ACCOUNT_CLOSED)), ("CLOSED", refused(ACCOUNT_CLOSED)), ("FROZEN", DONE)]
    {
        stage.meddle(DbName::PayFunds, &format!("UPDATE funds_account SET status = '{status}'")).await;
        assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, answer, "{status}");
    }
}

#[tokio::test]
async fn a_merchant_without_an_account_is_unknown_not_refused() {
    let stage = Stage::open().await;
    let stranger = Credit { merchant_no: MerchantNo::new("M9"), ..credit(1) };
    let context = branch("tcc", "g1", "02", BarrierOp::Try);
    assert_eq!(stage.call(ServiceName::Funds, CREDIT_TRY, &context, &stranger).await, UNKNOWN);
}

#[tokio::test]
async fn a_refund_holds_the_money_then_takes_it_off() {
    let stage = Stage::open().await.credited().await;
    for _ in 0..2 {
        assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R1", 400)).await, DONE);
        assert_eq!(stage.account().await, "992 400 1");
    }
    for _ in 0..2 {
        assert_eq!(stage.post_refund(&posting("R1", 400)).await, DONE);
        assert_eq!(stage.account().await, "592 0 2");
    }
    let expected = ["P1-1 C 992 POSTED 1 992 2026-01-05", "R1-hold D 400 POSTED 2 592 2026-01-06"];
    assert_eq!(stage.postings().await, expected);
}

#[tokio::test]
async fn a_compensated_hold_gives_the_money_back() {
    let stage = Stage::open().await.credited().await;
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R1", 400)).await, DONE);
    for _ in 0..2 {
        assert_eq!(stage.saga(HOLD_COMPENSATE, BarrierOp::Compensate, &hold("R1", 400)).await, DONE);
        assert_eq!(stage.account().await, "992 0 1");
    }
    assert_eq!(stage.post_refund(&posting("R1", 400)).await, UNKNOWN, "what was given back cannot be taken");
}

#[tokio::test]
async fn a_refund_waits_for_the_payments_credit_and_is_refused_if_the_money_is_not_there() {
    let stage = Stage::open().await;
    assert_eq!(stage.tcc(CREDIT_TRY, BarrierOp::Try, 1).await, DONE);
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R1", 400)).await, IN_PROGRESS);
    assert_eq!(stage.tcc(CREDIT_CONFIRM, BarrierOp::Confirm, 1).await, DONE);
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R1", 600)).await, DONE);
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R2", 400)).await, refused(MERCHANT_SHORT));
    assert_eq!(stage.account().await, "992 600 1");
}

#[tokio::test]
async fn a_refund_of_a_payment_that_was_never_credited_is_unknown() {
    let stage = Stage::open().await;
    assert_eq!(stage.saga(HOLD_ACTION, BarrierOp::Action, &hold("R1", 1)).await, UNKNOWN);
}

#[tokio::test]
async fn the_account_can_be_read() {
    let stage = Stage::open().await.credited().await;
    let url = |merchant: &str| stage.platform.directory().url(ServiceName::Funds, &format!("/v1/accounts/{merchant}"));
    let reply = stage.client.get(&url("M1001"), PATIENCE).await.unwrap();
    let view: AccountView = reply.json().unwrap();
    assert_eq!((view.status.as_str(), view.balance, view.frozen), ("ACTIVE", Money::cny(992), 0));
    assert_eq!(stage.client.get(&url("M9"), PATIENCE).await.unwrap().status, 404);
}
