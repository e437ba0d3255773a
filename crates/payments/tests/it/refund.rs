use escrow_payments::bank::RefundRates;
use escrow_payments::contract::merchants::{AttemptView, RefundStatus, RefundView};
use escrow_payments::foundation::db::DbName;
use escrow_payments::merchant::ClientError;
use escrow_payments::platform::PlatformConfig;
use serde_json::Value;

use crate::play::{Play, refund};
use crate::support::{DONE, IN_PROGRESS, UNKNOWN};

const REFUNDS: &str = "SELECT status, fee_back, points_back, fail_code FROM refund_order ORDER BY refund_no";
const FUNDS: &str = "SELECT balance, frozen FROM funds_account";
const HOLD: usize = 1;
const BANK: usize = 2;
const SETTLE: usize = 3;

async fn open(refunds: RefundRates) -> (Play, AttemptView) {
    let play = Play::open_with(|config| PlatformConfig { refunds, ..config }).await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.settle(&attempt).await;
    (play, attempt)
}

async fn saga(play: &Play, refund: &RefundView) -> Value {
    play.coordinator.when_asked("submit", &format!("pay-refund-{}", refund.refund_no)).await
}

/// Asks the bank's step until it is final.
async fn until_final(play: &Play, saga: &Value) -> (u16, Option<String>) {
    for _ in 0..20 {
        match play.deliver(saga, BANK).await {
            (425, _) => {}
            answer => return answer,
        }
    }
    panic!("the bank is never final");
}

#[tokio::test]
async fn a_refund_is_a_saga_whose_first_step_is_its_own_row() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 333).await;
    assert_eq!(begun.status, RefundStatus::Processing);
    let saga = saga(&play, &begun).await;
    assert_eq!(saga["trans_type"], "saga");
    let urls = |name: &str| -> Vec<String> {
        let path = |step: &Value| step[name].as_str().unwrap().splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        saga["steps"].as_array().unwrap().iter().map(path).collect()
    };
    assert_eq!(urls("action"), ["", "saga/hold/action", "saga/bank-refund/action", "saga/refund-settle/action"]);
    assert_eq!(urls("compensate"), ["saga/refund/compensate", "saga/hold/compensate", "", ""]);
}

#[tokio::test]
async fn a_refund_moves_what_the_worked_example_says() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    for (number, minor) in [("RF1", 333), ("RF2", 667)] {
        let begun = play.refund(&attempt.pay_no, number, minor).await;
        let saga = saga(&play, &begun).await;
        for step in [HOLD, BANK, SETTLE] {
            assert_eq!(play.deliver(&saga, step).await, DONE, "step {step}");
        }
        let posting = play.coordinator.when_asked("submit", &format!("refund-{}", begun.refund_no)).await;
        for destination in [0, 1] {
            assert_eq!(play.deliver(&posting, destination).await, DONE);
        }
        let voucher = play.coordinator.when_asked("submit", &format!("acct-{}", begun.refund_no)).await;
        assert_eq!(play.deliver(&voucher, 0).await, DONE);
        let told = play.coordinator.when_asked("submit", &format!("notify-{}-succeeded", begun.refund_no)).await;
        assert!(told["payloads"][0].as_str().unwrap().contains("refund.succeeded"));
        assert_eq!(play.shop.refund_status(number).await.unwrap().status, RefundStatus::Success);
    }
    assert_eq!(play.order_rows(REFUNDS).await, ["SUCCESS 2 3 -", "SUCCESS 6 7 -"]);
    assert_eq!(
        play.order_rows("SELECT status, refunded_amount, refunded_fee FROM payment_order").await,
        ["SUCCESS 1000 8"]
    );
    assert_eq!(play.stage.rows(DbName::PayFunds, FUNDS).await, ["0 0"]);
    let points = "SELECT available FROM points_account WHERE owner_no = 'U1'";
    assert_eq!(play.stage.rows(DbName::PayPoints, points).await, ["0"]);
    let vouchers = "SELECT entry_type, amount FROM voucher ORDER BY amount";
    assert_eq!(play.stage.rows(DbName::PayLedger, vouchers).await, ["4004 333", "4004 667"]);
    assert_eq!(play.stage.rows(DbName::Bank, "SELECT refunded FROM trade").await, ["1000"]);
}

#[tokio::test]
async fn a_refund_is_begun_once_for_each_number_and_never_exceeds_the_payment() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 600).await;
    assert_eq!(play.refund(&attempt.pay_no, "RF1", 600).await, begun);
    let code = |outcome: Result<RefundView, ClientError>| match outcome {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(code(play.shop.refund(&refund(&attempt.pay_no, "RF1", 601)).await), "IDEMPOTENCY_CONFLICT");
    assert_eq!(code(play.shop.refund(&refund(&attempt.pay_no, "RF2", 401)).await), "REFUND_EXCEEDS_PAYMENT");
    assert_eq!(play.order_rows("SELECT count(*) FROM refund_order").await, ["1"]);
}

#[tokio::test]
async fn an_unpaid_order_is_not_refunded() {
    let play = Play::open().await;
    let (payment, _) = play.order("SO1", 1000).await;
    let refused = play.shop.refund(&refund(&payment.pay_no, "RF1", 1)).await;
    assert!(matches!(refused, Err(ClientError::Refused { code, .. }) if code == "STATE"));
}

#[tokio::test]
async fn the_bank_is_asked_under_the_same_number_until_it_is_final() {
    let (play, attempt) = open(RefundRates { processing: 1000, refused: 0, hopeless: 0 }).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 1000).await;
    let saga = saga(&play, &begun).await;
    assert_eq!(play.deliver(&saga, HOLD).await, DONE);
    assert_eq!(play.deliver(&saga, BANK).await.0, 425);
    assert_eq!(play.order_rows("SELECT status, bank_refund_no = refund_no FROM refund_order").await, ["AT_BANK 1"]);
    assert_eq!(until_final(&play, &saga).await, DONE);
    assert_eq!(play.deliver(&saga, BANK).await, DONE, "a repeat is answered, not asked");
    let asked = "SELECT platform_refund_no, status FROM refund";
    assert_eq!(play.stage.rows(DbName::Bank, asked).await, [format!("{} SUCCESS", begun.refund_no)]);
}

/// Only the same question under the same number is asked again in silence; anything else must get somebody's attention.
#[tokio::test]
async fn a_bank_that_knows_the_number_for_another_refund_is_no_reason_to_wait() {
    let (play, attempt) = open(RefundRates { processing: 1000, refused: 0, hopeless: 0 }).await;
    let first = play.refund(&attempt.pay_no, "RF1", 300).await;
    let first_saga = saga(&play, &first).await;
    assert_eq!(play.deliver(&first_saga, HOLD).await, DONE);
    assert_eq!(play.deliver(&first_saga, BANK).await, IN_PROGRESS);
    let second = play.refund(&attempt.pay_no, "RF2", 200).await;
    let second_saga = saga(&play, &second).await;
    assert_eq!(play.deliver(&second_saga, HOLD).await, DONE);
    assert_eq!(play.deliver(&second_saga, BANK).await, IN_PROGRESS, "one refund of a trade at a time");

    play.stage.meddle(DbName::Bank, "UPDATE refund SET amount = 299").await;
    assert_eq!(play.deliver(&first_saga, BANK).await, UNKNOWN);
}

#[tokio::test]
async fn a_refund_that_is_not_open_any_more_is_not_done_because_the_bank_has_paid_it() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 500).await;
    let saga = saga(&play, &begun).await;
    assert_eq!(play.deliver(&saga, HOLD).await, DONE);
    play.stage.meddle(DbName::PayOrder, "UPDATE refund_order SET status = 'ABNORMAL'").await;
    assert_eq!(play.deliver(&saga, BANK).await, UNKNOWN);
    assert_eq!(play.order_rows("SELECT status, bank_finished_at FROM refund_order").await, ["ABNORMAL -"]);
}

#[tokio::test]
async fn a_refund_that_the_bank_refuses_under_every_number_fails_and_gives_the_hold_back() {
    let (play, attempt) = open(RefundRates { processing: 0, refused: 0, hopeless: 1000 }).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 500).await;
    let saga = saga(&play, &begun).await;
    assert_eq!(play.deliver(&saga, HOLD).await, DONE);
    assert_eq!(play.stage.rows(DbName::PayFunds, FUNDS).await, ["992 496"]);
    assert_eq!(until_final(&play, &saga).await, (409, Some("BANK_REFUSED".to_owned())));
    let numbers = play.stage.rows(DbName::Bank, "SELECT platform_refund_no FROM refund ORDER BY 1").await;
    let expected = ["", "-1", "-2", "-3"].map(|suffix| format!("{}{suffix}", begun.refund_no));
    assert_eq!(numbers, expected);

    assert_eq!(play.compensate(&saga, HOLD).await, DONE);
    for _ in 0..2 {
        assert_eq!(play.compensate(&saga, 0).await, DONE);
    }
    assert_eq!(play.order_rows(REFUNDS).await, ["FAILED 4 5 BANK_REFUSED"]);
    assert_eq!(play.stage.rows(DbName::PayFunds, FUNDS).await, ["992 0"]);
    assert_eq!(play.order_rows("SELECT refunded_amount FROM payment_order").await, ["0"]);
    let told = play.coordinator.when_asked("submit", &format!("notify-{}-failed", begun.refund_no)).await;
    assert!(told["payloads"][0].as_str().unwrap().contains("refund.failed"));
    play.refund(&attempt.pay_no, "RF2", 1000).await;
}

#[tokio::test]
async fn a_refund_that_the_merchant_cannot_pay_fails_without_asking_the_bank() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    play.stage.meddle(DbName::PayFunds, "UPDATE funds_account SET frozen = balance").await;
    let begun = play.refund(&attempt.pay_no, "RF1", 500).await;
    let saga = saga(&play, &begun).await;
    assert_eq!(play.deliver(&saga, HOLD).await.0, 409);
    assert_eq!(play.compensate(&saga, HOLD).await, DONE);
    assert_eq!(play.compensate(&saga, 0).await, DONE);
    assert_eq!(play.order_rows(REFUNDS).await, ["FAILED 4 5 HOLD_REFUSED"]);
    assert!(play.stage.rows(DbName::Bank, "SELECT refund_no FROM refund").await.is_empty());
    assert_eq!(play.deliver(&saga, BANK).await, (409, Some("FAILED".to_owned())), "a late step does not revive it");
}

#[tokio::test]
async fn a_refund_that_the_bank_has_paid_never_fails() {
    let (play, attempt) = open(RefundRates::SMOOTH).await;
    let begun = play.refund(&attempt.pay_no, "RF1", 500).await;
    let saga = saga(&play, &begun).await;
    for step in [HOLD, BANK] {
        assert_eq!(play.deliver(&saga, step).await, DONE);
    }
    assert_eq!(play.compensate(&saga, 0).await.0, 500);
    assert_eq!(play.order_rows(REFUNDS).await, ["AT_BANK 4 5 -"]);
}
