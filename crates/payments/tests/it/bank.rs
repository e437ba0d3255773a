use std::time::Duration;

use escrow_payments::bank::{RefundRates, Report, ReportError};
use escrow_payments::contract::banks::{BankRefundRequest, REFUND, REFUNDS};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::faults::Faults;
use escrow_payments::foundation::http::{HttpClient, Reply, bind};
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::money::Money;
use escrow_payments::platform::PlatformConfig;
use escrow_payments::signing::{Secret, SignedCallError, SignedClient};
use escrow_payments::time::Clock;
use serde_json::Value;

use crate::play::Play;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A bank with one paid trade of 1000 fen, and the platform as its client.
struct Counter {
    play: Play,
    client: SignedClient,
    bank_order_no: String,
}

impl Counter {
    async fn open(refunds: RefundRates) -> Self {
        let play = Play::open_with(|config| PlatformConfig { refunds, ..config }).await;
        let (_, attempt) = play.order("SO1", 1000).await;
        play.report(&attempt, Report::Paid).await;
        let secret = Secret::new("bank-api-secret-0001");
        let client = SignedClient::new(HttpClient::new(), Clock::system(), "PP", secret);
        Self { play, client, bank_order_no: format!("B{}", attempt.record_no) }
    }

    fn url(&self, path: &str) -> String {
        self.play.stage.platform.directory().url(ServiceName::Bank, path)
    }

    async fn refund(&self, number: &str, minor: i64) -> Reply {
        let request = BankRefundRequest {
            platform_no: "PP".to_owned(),
            platform_refund_no: number.to_owned(),
            bank_order_no: self.bank_order_no.clone(),
            money: Money::cny(minor),
        };
        self.client.post(&self.url(REFUNDS), &request, TIMEOUT).await.unwrap()
    }

    async fn show(&self, number: &str) -> Reply {
        self.client.get(&self.url(&REFUND.replace("{platform_refund_no}", number)), TIMEOUT).await.unwrap()
    }
}

fn status(reply: &Reply) -> Value {
    reply.json::<Value>().unwrap()["status"].clone()
}

fn code(reply: &Reply) -> Value {
    reply.json::<Value>().unwrap()["code"].clone()
}

#[tokio::test]
async fn a_refund_has_one_outcome_for_each_number_however_often_it_is_asked_for() {
    let counter = Counter::open(RefundRates::SMOOTH).await;
    for _ in 0..3 {
        assert_eq!(status(&counter.refund("R1", 400).await), "SUCCESS");
    }
    assert_eq!(status(&counter.show("R1").await), "SUCCESS");
    assert_eq!(counter.show("R9").await.status, 404);
    assert_eq!(code(&counter.refund("R1", 401).await), "IDEMPOTENCY_CONFLICT");
    let rows = counter.play.stage.rows(DbName::Bank, "SELECT refunded, (SELECT asked FROM refund) FROM trade").await;
    assert_eq!(rows, ["400 1"]);
}

#[tokio::test]
async fn no_more_is_given_back_than_was_paid() {
    let counter = Counter::open(RefundRates::SMOOTH).await;
    assert_eq!(status(&counter.refund("R1", 600).await), "SUCCESS");
    assert_eq!(status(&counter.refund("R2", 401).await), "FAILED");
    assert_eq!(status(&counter.refund("R3", 400).await), "SUCCESS");
}

#[tokio::test]
async fn one_refund_of_a_trade_is_processed_at_a_time() {
    let counter = Counter::open(RefundRates { processing: 1000, refused: 0, hopeless: 0 }).await;
    assert_eq!(status(&counter.refund("R1", 100).await), "PROCESSING");
    assert_eq!(code(&counter.refund("R2", 100).await), "REFUND_BUSY");
    while status(&counter.refund("R1", 100).await) == "PROCESSING" {}
    assert_eq!(status(&counter.refund("R2", 100).await), "PROCESSING");
}

#[tokio::test]
async fn the_bank_serves_only_the_platform_it_shares_a_secret_with() {
    let counter = Counter::open(RefundRates::SMOOTH).await;
    let stranger = |number, secret| SignedClient::new(HttpClient::new(), Clock::system(), number, Secret::new(secret));
    for client in [stranger("PP", "another-secret"), stranger("P2", "bank-api-secret-0001")] {
        let reply = client.get(&counter.url("/v1/refunds/R1"), TIMEOUT).await.unwrap();
        assert_eq!(reply.status, 401);
    }
}

#[tokio::test]
async fn an_answer_without_a_signature_is_no_answer() {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/", bound.addr());
    let _server = bound.serve("forger", axum::Router::new().fallback(async || "{}"), Faults::none());
    let client = SignedClient::new(HttpClient::new(), Clock::system(), "PP", Secret::new("s"));
    let answer = client.get(&url, TIMEOUT).await;
    assert!(matches!(answer, Err(SignedCallError::Answer { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_payer_with_an_altered_address_is_turned_away() {
    let counter = Counter::open(RefundRates::SMOOTH).await;
    let (_, attempt) = counter.play.order("SO2", 1000).await;
    let cheaper = attempt.redirect_url.replace("amount=1000", "amount=1");
    let turned_away = counter.play.stage.platform.bank().report(&cheaper, Report::Paid).await;
    assert!(matches!(turned_away, Err(ReportError::Signature(_))), "{turned_away:?}");
}
