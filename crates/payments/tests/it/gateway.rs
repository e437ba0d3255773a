use std::time::Duration;

use bytes::Bytes;
use escrow_payments::bank::Report;
use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::banks::BANK_NOTICES;
use escrow_payments::contract::merchants::{self, PaymentStatus};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::PayNo;
use escrow_payments::merchant::ClientError;
use escrow_payments::money::Money;
use escrow_payments::platform::BANK_CODE;
use escrow_payments::signing::Secret;
use escrow_payments::signing::request::sign_request;
use escrow_payments::signing::webhook::sign_attempt;
use escrow_payments::time::Clock;
use http::HeaderMap;
use serde_json::Value;

use crate::play::{Play, payment, refund};
use crate::support::{PATIENCE, branch};

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Err(ClientError::Refused { status, code }) => (status.as_u16(), code),
        other => panic!("not refused: {other:?}"),
    }
}

/// Posts a request that the test signs itself; returns status and code.
async fn post_signed(play: &Play, secret: &str, timestamp: i64, nonce: &str) -> (u16, Value) {
    let body = serde_json::to_vec(&payment("SO1", 1000)).unwrap();
    let signed = sign_request(&Secret::new(secret), "M1001", "POST", merchants::PAYMENTS, timestamp, nonce, &body);
    let headers: HeaderMap = signed.into_iter().collect();
    let url = play.stage.platform.directory().url(ServiceName::Gateway, merchants::PAYMENTS);
    let reply = play.stage.client.post(&url, headers, body.into(), PATIENCE).await.unwrap();
    (reply.status.as_u16(), reply.json::<Value>().unwrap()["code"].clone())
}

fn now() -> i64 {
    Clock::system().now().as_seconds()
}

#[tokio::test]
async fn a_payment_is_created_once_for_each_number_of_a_merchant() {
    let play = Play::open().await;
    let request = payment("SO1", 1000);
    let first = play.shop.create_payment(&request).await.unwrap();
    assert_eq!(play.shop.create_payment(&request).await.unwrap(), first);
    assert_eq!((first.status, first.fee, first.money), (PaymentStatus::WaitPay, 8, Money::cny(1000)));
    let mut other = request.clone();
    other.money = Money::cny(1001);
    assert_eq!(code(play.shop.create_payment(&other).await), (409, "IDEMPOTENCY_CONFLICT".to_owned()));
    let rows = play.order_rows(
        "SELECT kind, basis, f.amount, points, o.status FROM fee_item f JOIN payment_order o USING (pay_no)",
    );
    assert_eq!(rows.await, ["RATE 1000 x 80 bp 8 10 WAIT_PAY"]);
}

#[tokio::test]
async fn numbers_of_one_day_count_up_from_one() {
    let play = Play::open().await;
    let first = play.shop.create_payment(&payment("SO1", 1)).await.unwrap().pay_no;
    let second = play.shop.create_payment(&payment("SO2", 1)).await.unwrap().pay_no;
    assert!(first.as_str().ends_with("00000001") && second.as_str().ends_with("00000002"), "{first} {second}");
}

#[tokio::test]
async fn an_attempt_is_made_once_for_each_key_and_never_for_an_expired_order() {
    let play = Play::open().await;
    let pay_no = play.shop.create_payment(&payment("SO1", 1000)).await.unwrap().pay_no;
    let first = play.shop.attempt(&pay_no, "a1", BANK_CODE).await.unwrap();
    assert_eq!(play.shop.attempt(&pay_no, "a1", BANK_CODE).await.unwrap(), first);
    let second = play.shop.attempt(&pay_no, "a2", BANK_CODE).await.unwrap();
    assert_ne!(first.record_no, second.record_no);
    assert_eq!(code(play.shop.attempt(&pay_no, "a3", "XX").await), (409, "NO_SUCH_BANK".to_owned()));
    play.stage.meddle(DbName::PayOrder, "UPDATE payment_order SET expire_at = 1").await;
    assert_eq!(code(play.shop.attempt(&pay_no, "a3", BANK_CODE).await), (409, "STATE".to_owned()));
    let repeat = play.shop.attempt(&pay_no, "a1", BANK_CODE).await.unwrap();
    assert_eq!(repeat.record_no, first.record_no, "a repeat is still answered");
}

#[tokio::test]
async fn an_order_needs_an_open_account_and_time_to_pay() {
    let play = Play::open().await;
    let mut expired = payment("SO1", 1000);
    expired.expire_at = Clock::system().now().minus(Duration::from_secs(1));
    assert_eq!(code(play.shop.create_payment(&expired).await), (409, "EXPIRED".to_owned()));
    let closing = "UPDATE funds_account SET status = 'CLOSING' WHERE owner_no = 'M1001'";
    play.stage.meddle(DbName::PayFunds, closing).await;
    assert_eq!(code(play.shop.create_payment(&payment("SO2", 1000)).await), (409, "ACCOUNT_CLOSED".to_owned()));
    assert!(play.order_rows("SELECT pay_no FROM payment_order").await.is_empty());
}

#[tokio::test]
async fn a_request_is_believed_only_with_the_right_signature_clock_and_a_new_nonce() {
    let play = Play::open().await;
    let secret = "merchant-secret-0001";
    assert_eq!(post_signed(&play, "another-secret", now(), "n1").await, (401, "SIGNATURE".into()));
    assert_eq!(post_signed(&play, secret, now() - 310, "n1").await, (401, "TIMESTAMP".into()));
    assert_eq!(post_signed(&play, secret, now(), "n1").await, (201, Value::Null));
    assert_eq!(post_signed(&play, secret, now(), "n1").await, (401, "NONCE_USED".into()));
    play.stage.meddle(DbName::PayGateway, "UPDATE merchant SET status = 'SUSPENDED'").await;
    assert_eq!(post_signed(&play, secret, now(), "n2").await, (403, "MERCHANT_NOT_ACTIVE".into()));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let play = Play::open().await;
    let nothing = PayNo::new("P2026010500000099");
    assert_eq!(code(play.shop.payment(&nothing).await), (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(play.shop.payment(&PayNo::new("a.b")).await), (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(play.shop.refund_status("RF1").await), (404, "NOT_FOUND".to_owned()));
    assert_eq!(code(play.shop.refund(&refund(&nothing, "RF1", 1)).await), (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_bank_notice_is_stored_with_its_message_once_and_is_done_when_the_order_has_it() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.report(&attempt, Report::PaidTwice).await;
    let notices = "SELECT event, amount, source, status, (SELECT count(*) FROM outbox) FROM bank_notice";
    assert_eq!(play.stage.rows(DbName::PayGateway, notices).await, ["trade.succeeded 1000 NOTIFY ACCEPTED 1"]);
    let gid = format!("bank-BK-B{}-succeeded", attempt.record_no);
    let message = play.coordinator.when_asked("submit", &gid).await;
    assert!(message.get("concurrent").is_none(), "the gateway's branch waits for the order's");
    assert_eq!(play.deliver(&message, 1).await.0, 200);
    assert_eq!(play.stage.rows(DbName::PayGateway, "SELECT status FROM bank_notice").await, ["DONE"]);
}

#[tokio::test]
async fn a_notice_that_does_not_fit_is_rejected_settles_nothing_and_yields_to_one_that_fits() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.report(&attempt, Report::UnknownOrder).await;
    play.report(&attempt, Report::WrongAmount).await;
    let notices = "SELECT amount, status, (SELECT count(*) FROM outbox) FROM bank_notice ORDER BY ref_no";
    assert_eq!(play.stage.rows(DbName::PayGateway, notices).await, ["1001 REJECTED 0", "1000 REJECTED 0"]);
    play.report(&attempt, Report::Paid).await;
    assert_eq!(play.stage.rows(DbName::PayGateway, notices).await, ["1000 ACCEPTED 1", "1000 REJECTED 1"]);
    play.report(&attempt, Report::WrongAmount).await;
    assert_eq!(play.stage.rows(DbName::PayGateway, notices).await, ["1000 ACCEPTED 1", "1000 REJECTED 1"]);
}

#[tokio::test]
async fn a_bank_cannot_report_what_was_to_be_paid_at_another() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.stage.meddle(DbName::PayOrder, "UPDATE payment_record SET bank_code = 'XX'").await;
    play.report(&attempt, Report::Paid).await;
    let notices = "SELECT bank_code, status, (SELECT count(*) FROM outbox) FROM bank_notice";
    assert_eq!(play.stage.rows(DbName::PayGateway, notices).await, ["BK REJECTED 0"]);
}

#[tokio::test]
async fn a_notice_that_the_bank_did_not_sign_is_refused_and_not_stored() {
    let play = Play::open().await;
    let url = play.stage.platform.directory().url(ServiceName::Gateway, &BANK_NOTICES.replace("{bank_code}", "BK"));
    let body = Bytes::from_static(b"{}");
    let headers = |secret: &str| sign_attempt(&Secret::new(secret), "T1-succeeded", now(), &body).into_iter().collect();
    let forged = play.stage.client.post(&url, headers("forged"), body.clone(), PATIENCE).await.unwrap();
    assert_eq!(forged.status, 401);
    let senseless = headers("bank-notice-secret-0001");
    assert_eq!(play.stage.client.post(&url, senseless, body.clone(), PATIENCE).await.unwrap().status, 400);
    assert!(play.stage.rows(DbName::PayGateway, "SELECT ref_no FROM bank_notice").await.is_empty());
}

#[tokio::test]
async fn a_notice_is_not_acknowledged_while_nobody_can_say_what_was_to_be_paid() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.stage.meddle(DbName::PayOrder, "ALTER TABLE payment_record RENAME TO mislaid").await;
    let reporting = play.stage.platform.bank().report(&attempt.redirect_url, Report::Paid);
    tokio::pin!(reporting);
    let too_early = tokio::time::timeout(Duration::from_millis(300), reporting.as_mut()).await;
    assert!(too_early.is_err(), "acknowledged");
    assert!(play.stage.rows(DbName::PayGateway, "SELECT ref_no FROM bank_notice").await.is_empty());
    play.stage.meddle(DbName::PayOrder, "ALTER TABLE mislaid RENAME TO payment_record").await;
    reporting.await.unwrap();
    assert_eq!(play.stage.rows(DbName::PayGateway, "SELECT status FROM bank_notice").await, ["ACCEPTED"]);
}

#[tokio::test]
async fn a_late_repeat_of_the_done_branch_changes_nothing() {
    let play = Play::open().await;
    let (_, attempt) = play.order("SO1", 1000).await;
    play.report(&attempt, Report::Failed).await;
    let gid = format!("bank-BK-B{}-failed", attempt.record_no);
    let message = play.coordinator.when_asked("submit", &gid).await;
    for _ in 0..2 {
        assert_eq!(play.deliver(&message, 1).await.0, 200);
    }
    let context = branch("msg", &gid, "02", BarrierOp::Action);
    let rows = format!("SELECT op, reason FROM barrier WHERE gid = '{}'", context.gid);
    assert_eq!(play.stage.rows(DbName::PayGateway, &rows).await, ["action action"]);
}
