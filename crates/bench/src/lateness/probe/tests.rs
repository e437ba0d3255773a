//! Against a coordinator that plays a part: it answers what a test says, and calls when a test says.

use super::*;
use crate::http::Connection;

/// A coordinator that takes everything in, and whose queries say that it was created just now.
async fn coordinator() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connection = Connection::over(listener.accept().await.unwrap().0).unwrap();
        let mut body = String::from("{}");
        while connection.next_request().await.unwrap().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            connection.answer(&(head + &body)).await.unwrap();
            let now = jiff::Timestamp::now();
            body = format!(r#"{{"transaction":{{"create_time":"{now}","update_time":"{now}"}}}}"#);
        }
    });
    address
}

async fn call(prober: &Prober, gid: &str) {
    let mut connection = Connection::open(prober.witness.address()).await.unwrap();
    connection.post(&format!("/late?gid={gid}&branch_id=01&op=action"), "{}").await.unwrap();
}

#[tokio::test]
async fn a_call_before_the_delay_has_passed_is_early() {
    let prober = Prober::start(coordinator().await).await.unwrap();
    let probe = prober.after_creation("g", "submit", "{}");
    let called_at_once = async {
        while prober.idle.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        call(&prober, "g").await;
    };
    let (late, ()) = tokio::join!(probe, called_at_once);
    let late = late.unwrap();
    assert!((-1_000_000..0).contains(&late), "{late}");
}

#[test]
fn a_wait_is_its_interval_and_up_to_15_percent_of_jitter() {
    for (wait_ms, interval, is_allowed) in
        [(999, 1, false), (1_000, 1, true), (1_150, 1, true), (1_152, 1, false), (2_000, 2, true), (2_302, 2, false)]
    {
        let (wait, interval) = (Duration::from_millis(wait_ms), Duration::from_secs(interval));
        assert_eq!(is_jittered(wait, interval), is_allowed, "{wait:?} of {interval:?}");
    }
}

#[tokio::test]
async fn a_coordinator_that_refuses_is_an_error_with_its_words() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prober = Prober::start(listener.local_addr().unwrap()).await.unwrap();
    let refuse = async {
        let mut connection = Connection::over(listener.accept().await.unwrap().0).unwrap();
        connection.next_request().await.unwrap();
        connection.answer("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(prober.probe(Kind::Delay), refuse);
    assert_eq!(outcome.unwrap_err().to_string(), "/api/dtmsvr/submit: 503 busy");
}
