use serde_json::json;

use crate::support::{Participant, TestServer};

/// Submits, and says so again, so that the first call fails `times` times.
async fn fail(server: &TestServer, participant: &Participant, gid: &str, times: usize) {
    participant.will_answer(&vec![500; times]);
    let body = json!({
        "gid": gid, "trans_type": "msg", "wait_result": true, "retry_interval": 1000, "payloads": ["{}"],
        "steps": [{ "action": participant.url("rm") }],
    });
    for _ in 0..times {
        assert_eq!(server.dtm("submit", body.clone()).await.status, 425);
    }
    assert_eq!(server.dtm("submit", body).await.status, 200);
}

/// Waits until the metrics have this line.
async fn wait_for_metric(server: &TestServer, line: &str) {
    let found = async {
        while !server.get("/metrics").await.body.lines().any(|found| found == line) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, found).await.unwrap_or_else(|_| panic!("{line} does not come"));
}

#[tokio::test]
async fn the_web_hook_is_told_of_each_failure_from_the_limit_on() {
    let (hook, participant) = (Participant::start().await, Participant::start().await);
    for (limit, failures, told) in [("3", 4, 2), ("1", 2, 2), ("5", 4, 0)] {
        let before = hook.calls().len();
        let server = TestServer::with(&[("alert.web_hook", &hook.url("alert")), ("alert.retry_limit", limit)]).await;
        fail(&server, &participant, "g", failures).await;
        if told > 0 {
            wait_for_metric(&server, &format!(r#"escrow_alerts_total{{outcome="delivered"}} {told}"#)).await;
        }
        assert_eq!(hook.calls()[before..], vec!["/alert"; told], "{limit}");
    }
}

#[tokio::test]
async fn a_web_hook_that_cannot_be_called_keeps_nothing_from_going_on() {
    let participant = Participant::start().await;
    // A link-local address, where the coordinator calls nobody.
    let server = TestServer::with(&[("alert.web_hook", "http://169.254.169.254/alert")]).await;
    fail(&server, &participant, "g", 4).await;
    wait_for_metric(&server, r#"escrow_alerts_total{outcome="failed"} 2"#).await;
}
