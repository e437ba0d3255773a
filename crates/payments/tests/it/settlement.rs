use std::time::Duration;

use escrow_payments::bank::Report;
use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::merchants::{AttemptView, PaymentStatus};
use escrow_payments::foundation::db::DbName;
use escrow_payments::platform::PlatformConfig;
use serde_json::{Value, json};

use crate::play::Play;

const ORDER: &str = "SELECT status, settle_attempt, refunded_amount FROM payment_order";
const OUTBOX: &str = "SELECT msg_id FROM outbox ORDER BY seq";

/// Reports a success and delivers it, which begins the settlement; returns its gid.
async fn begin(play: &Play, attempt: &AttemptView) -> String {
    play.report(attempt, Report::Paid).await;
    assert_eq!(play.deliver_result(attempt, "succeeded").await, (425, None));
    format!("pay-settle-{}-1", attempt.pay_no)
}

/// A second order's number is even: its voucher goes by message.
async fn even_order(play: &Play) -> AttemptView {
    play.order("SO1", 1).await;
    play.order("SO2", 1000).await.1
}

async fn check_back(play: &Play, message: &Value) -> u16 {
    let url = format!("{}&gid=x&branch_id=00&op=msg&trans_type=msg", message["query_prepared"].as_str().unwrap());
    play.stage.client.get(&url, Duration::from_secs(5)).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_paid_order_settles_and_everything_that_follows_is_in_its_transaction() {
    let play = Play::open().await;
    let (payment, attempt) = play.order("SO1", 1000).await;
    let gid = begin(&play, &attempt).await;
    assert_eq!(play.order_rows(ORDER).await, ["SETTLING 1 0"]);
    let tcc = play.coordinator.when_asked("prepare", &gid).await;
    assert_eq!((&tcc["trans_type"], &tcc["concurrent"]), (&json!("tcc"), &json!(true)));
    assert_eq!(tcc["branches"].as_array().unwrap().len(), 3);
    play.coordinator.when_asked("submit", &gid).await;
    assert_eq!(play.stage.rows(DbName::PayFunds, "SELECT amount, status FROM funds_txn").await, ["992 TRYING"]);
    assert!(play.order_rows(OUTBOX).await.is_empty(), "nothing is told before the confirm");

    play.end(&tcc, BarrierOp::Confirm).await;
    assert_eq!(play.order_rows(ORDER).await, ["SUCCESS 1 0"]);
    let record =
        "SELECT status, channel_cost, bank_trade_no IS NOT NULL, bank_acct_date = acct_date FROM payment_record";
    assert_eq!(play.order_rows(record).await, ["SUCCESS 3 1 1"]);
    let pay_no = &payment.pay_no;
    let followers = [format!("acct-{pay_no}"), format!("notify-{pay_no}-succeeded")];
    assert_eq!(play.order_rows(OUTBOX).await, followers);
    assert_eq!(play.stage.rows(DbName::PayFunds, "SELECT balance FROM funds_account").await, ["992"]);
    assert_eq!(play.deliver_result(&attempt, "succeeded").await, (200, None));
    let view = play.shop.payment(pay_no).await.unwrap();
    assert_eq!(view.status, PaymentStatus::Success);
    assert!(view.paid_at.is_some() && view.acct_date.is_some());
}

#[tokio::test]
async fn every_repeat_of_a_settlement_s_calls_is_harmless() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    let gid = begin(&play, &attempt).await;
    for _ in 0..3 {
        assert_eq!(play.deliver_result(&attempt, "succeeded").await, (425, None));
    }
    assert_eq!(play.order_rows(ORDER).await, ["SETTLING 1 0"]);
    play.coordinator.when_asked("submit", &gid).await;
    let tcc = play.coordinator.when_asked("prepare", &gid).await;
    for _ in 0..2 {
        play.end(&tcc, BarrierOp::Confirm).await;
    }
    assert_eq!(play.order_rows("SELECT count(*) FROM outbox").await, ["2"]);
    assert_eq!(play.stage.rows(DbName::PayFunds, "SELECT balance FROM funds_account").await, ["992"]);
}

#[tokio::test]
async fn a_refused_try_aborts_and_the_next_delivery_begins_the_next_attempt() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.stage.meddle(DbName::PayFunds, "UPDATE funds_account SET status = 'CLOSED'").await;
    let gid = begin(&play, &attempt).await;
    play.coordinator.when_asked("abort", &gid).await;
    let tcc = play.coordinator.when_asked("prepare", &gid).await;
    play.end(&tcc, BarrierOp::Cancel).await;
    assert_eq!(play.order_rows(ORDER).await, ["WAIT_PAY 1 0"]);
    assert_eq!(play.stage.rows(DbName::PayPoints, "SELECT status FROM points_txn").await, ["CANCELLED"]);

    play.stage.meddle(DbName::PayFunds, "UPDATE funds_account SET status = 'ACTIVE'").await;
    assert_eq!(play.deliver_result(&attempt, "succeeded").await, (425, None));
    let gid = format!("pay-settle-{}-2", attempt.pay_no);
    play.coordinator.when_asked("submit", &gid).await;
    play.end(&play.coordinator.when_asked("prepare", &gid).await, BarrierOp::Confirm).await;
    assert_eq!(play.order_rows(ORDER).await, ["SUCCESS 2 0"]);
}

#[tokio::test]
async fn an_unknown_try_is_repeated_once_then_the_settlement_is_aborted() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.stage.meddle(DbName::PayPoints, "ALTER TABLE points_txn RENAME TO mislaid").await;
    let gid = begin(&play, &attempt).await;
    play.coordinator.when_asked("abort", &gid).await;
    assert!(!play.coordinator.asked().iter().any(|(path, body)| path.ends_with("submit") && body["gid"] == gid));
}

#[tokio::test]
async fn a_cancelled_attempt_never_becomes_a_success() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    let gid = begin(&play, &attempt).await;
    play.coordinator.when_asked("submit", &gid).await;
    let tcc = play.coordinator.when_asked("prepare", &gid).await;
    play.end(&tcc, BarrierOp::Cancel).await;
    assert_eq!(play.deliver_result(&attempt, "succeeded").await, (425, None));
    let second = format!("pay-settle-{}-2", attempt.pay_no);
    play.coordinator.when_asked("submit", &second).await;
    // A confirm of the first attempt would be the coordinator's own fault; it must not pass for one of the second.
    let own = &tcc["branches"][0];
    let context = crate::support::branch("tcc", &gid, "01", BarrierOp::Confirm);
    let payload: Value = serde_json::from_str(own["data"].as_str().unwrap()).unwrap();
    let url = context.url(own["confirm"].as_str().unwrap());
    let reply = play.stage.client.post_json(&url, &payload, Duration::from_secs(5)).await.unwrap();
    assert_eq!(reply.status, 500);
    assert_eq!(play.order_rows(ORDER).await, ["SETTLING 2 0"]);
}

#[tokio::test]
async fn a_reported_failure_fails_the_record_and_leaves_the_order_payable() {
    let play = Play::open().await;
    let (payment, attempt) = play.order("SO1", 1000).await;
    play.report(&attempt, Report::Failed).await;
    for _ in 0..2 {
        assert_eq!(play.deliver_result(&attempt, "failed").await, (200, None));
    }
    let states = "SELECT o.status, r.status, r.fail_code FROM payment_order o JOIN payment_record r USING (pay_no)";
    assert_eq!(play.order_rows(states).await, ["WAIT_PAY FAILED BANK_FAILED"]);
    let again = play.shop.attempt(&payment.pay_no, "a2", "BK").await.unwrap();
    play.report(&again, Report::Paid).await;
    assert_eq!(play.deliver_result(&again, "succeeded").await, (425, None));
    assert_eq!(play.order_rows(ORDER).await, ["SETTLING 1 0"]);
}

#[tokio::test]
async fn a_second_payment_of_a_settled_order_is_kept_for_a_person_and_settles_nothing() {
    let play = Play::open().await;
    let (payment, first) = play.order("SO1", 1000).await;
    let second = play.shop.attempt(&payment.pay_no, "a2", "BK").await.unwrap();
    play.settle(&first).await;
    play.report(&second, Report::Paid).await;
    let refused = (409, Some("UNEXPECTED_PAYMENT".to_owned()));
    assert_eq!(play.deliver_result(&second, "succeeded").await, refused);
    let paid = "SELECT status FROM payment_record WHERE bank_paid_at IS NOT NULL ORDER BY seq";
    assert_eq!(play.order_rows(paid).await, ["SUCCESS", "WAITING"]);
    assert_eq!(play.stage.rows(DbName::PayFunds, "SELECT balance FROM funds_account").await, ["992"]);
}

#[tokio::test]
async fn an_order_without_points_has_no_points_branch() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 99).await;
    let gid = begin(&play, &attempt).await;
    let tcc = play.coordinator.when_asked("prepare", &gid).await;
    let ids: Vec<&str> =
        tcc["branches"].as_array().unwrap().iter().map(|one| one["branch_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["01", "02"]);
}

#[tokio::test]
async fn an_even_order_s_voucher_is_a_message_around_the_settlement() {
    let play = Play::open().await;
    let attempt = even_order(&play).await;
    let gid = begin(&play, &attempt).await;
    let message_gid = format!("acct-{}-1", attempt.pay_no);
    let message = play.coordinator.when_asked("prepare", &message_gid).await;
    play.coordinator.when_asked("submit", &message_gid).await;
    let order: Vec<String> = play
        .coordinator
        .asked()
        .into_iter()
        .filter_map(|(path, body)| {
            let about = body["gid"] == gid.as_str() || body["gid"] == message_gid.as_str();
            about.then(|| format!("{} {}", path.rsplit('/').next().unwrap(), body["trans_type"].as_str().unwrap()))
        })
        .collect();
    assert_eq!(order, ["prepare msg", "prepare tcc", "submit tcc", "submit msg"]);

    assert_eq!(check_back(&play, &message).await, 425, "the decision has not arrived");
    play.end(&play.coordinator.when_asked("prepare", &gid).await, BarrierOp::Confirm).await;
    assert_eq!(check_back(&play, &message).await, 200);
    assert_eq!(play.order_rows(OUTBOX).await, [format!("notify-{}-succeeded", attempt.pay_no)]);
    assert_eq!(play.deliver(&message, 0).await, (200, None));
    let voucher = "SELECT entry_type, source_no, amount FROM voucher";
    assert_eq!(play.stage.rows(DbName::PayLedger, voucher).await, [format!("6004 {} 1000", attempt.pay_no)]);
}

#[tokio::test]
async fn the_check_back_discards_only_what_a_later_attempt_has_replaced() {
    let play = Play::open().await;
    let attempt = even_order(&play).await;
    let gid = begin(&play, &attempt).await;
    let message = play.coordinator.when_asked("prepare", &format!("acct-{}-1", attempt.pay_no)).await;
    play.coordinator.when_asked("submit", &gid).await;
    play.end(&play.coordinator.when_asked("prepare", &gid).await, BarrierOp::Cancel).await;
    assert_eq!(check_back(&play, &message).await, 425, "cancelled, but nothing replaces it yet");
    play.deliver_result(&attempt, "succeeded").await;
    assert_eq!(check_back(&play, &message).await, 409);
}

#[tokio::test]
async fn a_message_follows_an_aborted_settlement() {
    let play = Play::open().await;
    let attempt = even_order(&play).await;
    play.stage.meddle(DbName::PayFunds, "UPDATE funds_account SET status = 'CLOSED'").await;
    begin(&play, &attempt).await;
    play.coordinator.when_asked("abort", &format!("acct-{}-1", attempt.pay_no)).await;
}

#[tokio::test]
async fn the_sweeper_fences_a_settlement_that_never_began_and_gives_its_order_back() {
    let sweep = (Duration::from_millis(20), Duration::ZERO);
    let play = Play::open_with(|config| PlatformConfig { sweep, ..config }).await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.report(&attempt, Report::Paid).await;
    play.coordinator.when_asked("submit", &format!("bank-BK-B{}-succeeded", attempt.record_no)).await;
    // Its initiator's begin gets lost, and it gives up.
    for _ in 0..4 {
        play.coordinator.will_answer(503, json!({"message": "starting"}));
    }
    play.coordinator.shows("submitted");
    assert_eq!(play.deliver_result(&attempt, "succeeded").await, (425, None));
    let gid = format!("pay-settle-{}-1", attempt.pay_no);
    play.coordinator.when_asked("abort", &gid).await;
    assert_eq!(play.order_rows(ORDER).await, ["SETTLING 1 0"], "a decided one is left to its coordinator");

    play.coordinator.shows("failed");
    let cancelled = async {
        while play.order_rows(ORDER).await != ["WAIT_PAY 1 0"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, cancelled).await.unwrap();
    let rows = format!("SELECT op, reason FROM barrier WHERE gid = '{gid}' ORDER BY id");
    assert_eq!(play.order_rows(&rows).await, ["try try", "cancel cancel"]);
    // Whichever begin arrives first, the other one is its repeat, and every branch is known.
    let asked = play.coordinator.asked();
    let begins: Vec<&Value> = asked
        .iter()
        .filter(|(path, body)| path.ends_with("prepare") && body["gid"] == gid)
        .map(|(_, body)| body)
        .collect();
    assert!(begins.len() > 1 && begins.iter().all(|begin| *begin == begins[0]), "{begins:?}");
    assert_eq!(begins[0]["branches"].as_array().unwrap().len(), 3);
}
