use std::time::Duration;

use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::merchants::PAY_NOTICES;
use escrow_payments::contract::notify::{NOTIFY, Notice};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::{MerchantNo, NotificationId, PayNo};
use escrow_payments::platform::PlatformConfig;

use crate::play::{Play, merchant_no};
use crate::support::{DONE, PATIENCE, Stage, branch};

/// How often a test looks whether something has happened.
const POLL: Duration = Duration::from_millis(5);
const BODY: &str = r#"{"type":"payment.succeeded","timestamp":"2026-01-05T02:03:04Z","data":{"pay_no":"P1","merchant_order_no":"SO1","amount":1000,"currency":"CNY","status":"SUCCESS","acct_date":"2026-01-05"}}"#;

fn notice(url: String) -> Notice {
    Notice {
        ntf_id: NotificationId::new("P1-succeeded"),
        pay_no: PayNo::new("P1"),
        merchant_no: merchant_no(),
        url,
        body: BODY.to_owned(),
    }
}

async fn ask(stage: &Stage, notice: &Notice) {
    let context = branch("msg", "notify-P1-succeeded", "01", BarrierOp::Action);
    assert_eq!(stage.call(ServiceName::Notify, NOTIFY, &context, notice).await, DONE);
}

async fn until(stage: &Stage, status: &str) {
    let reached = async {
        while stage.rows(DbName::PayNotify, "SELECT status FROM notify_delivery").await != [status] {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

#[tokio::test]
async fn a_merchant_is_told_once_for_each_fact_and_keeps_what_it_was_told() {
    let stage = Stage::open().await;
    let notice = notice(stage.platform.directory().url(ServiceName::Merchant, PAY_NOTICES));
    for _ in 0..2 {
        ask(&stage, &notice).await;
    }
    until(&stage, "ACKNOWLEDGED").await;
    assert_eq!(stage.rows(DbName::PayNotify, "SELECT pay_no, ntf_id FROM notify_request").await, ["P1 P1-succeeded"]);
    assert_eq!(stage.rows(DbName::PayNotify, "SELECT attempts, last_failure FROM notify_delivery").await, ["1 -"]);
    let told = "SELECT notice_id, event, pay_no, amount, status, arrivals FROM pay_notice";
    let expected = ["P1-succeeded payment.succeeded P1 1000 SUCCESS 1"];
    assert_eq!(stage.rows(DbName::Merchant, told).await, expected);
}

#[tokio::test]
async fn a_merchant_that_does_not_answer_is_told_again_until_the_schedule_ends() {
    let notice_schedule = vec![Duration::from_millis(1); 4];
    let stage = Stage::open_with(|config| PlatformConfig { notice_schedule, ..config }).await;
    ask(&stage, &notice("http://127.0.0.1:9/nobody".to_owned())).await;
    until(&stage, "EXHAUSTED").await;
    let tried = "SELECT attempts, last_failure, finished_at IS NOT NULL FROM notify_delivery";
    assert_eq!(stage.rows(DbName::PayNotify, tried).await, ["5 NO_ANSWER 1"]);
}

#[tokio::test]
async fn a_notification_that_cannot_be_signed_is_exhausted_at_once() {
    let stage = Stage::open().await;
    let mut notice = notice(stage.platform.directory().url(ServiceName::Merchant, PAY_NOTICES));
    notice.merchant_no = MerchantNo::new("M9");
    ask(&stage, &notice).await;
    until(&stage, "EXHAUSTED").await;
    assert_eq!(stage.rows(DbName::PayNotify, "SELECT last_failure FROM notify_delivery").await, ["NO_SECRET"]);
    assert!(stage.rows(DbName::Merchant, "SELECT notice_id FROM pay_notice").await.is_empty());
}

#[tokio::test]
async fn a_merchant_believes_only_signed_notifications() {
    let stage = Stage::open().await;
    let url = stage.platform.directory().url(ServiceName::Merchant, PAY_NOTICES);
    let reply = stage.client.post(&url, http::HeaderMap::new(), BODY.into(), PATIENCE).await.unwrap();
    assert_eq!(reply.status, 401);
    assert!(stage.rows(DbName::Merchant, "SELECT notice_id FROM pay_notice").await.is_empty());
}

#[tokio::test]
async fn a_settled_order_s_merchant_hears_of_it() {
    let play = Play::open().await;
    let (payment, attempt) = play.order("SO1", 1000).await;
    play.settle(&attempt).await;
    let message = play.coordinator.when_asked("submit", &format!("notify-{}-succeeded", payment.pay_no)).await;
    assert_eq!(play.deliver(&message, 0).await, DONE);
    until(&play.stage, "ACKNOWLEDGED").await;
    let told = play.stage.rows(DbName::Merchant, "SELECT event, pay_no, amount FROM pay_notice").await;
    assert_eq!(told, [format!("payment.succeeded {} 1000", payment.pay_no)]);
}
