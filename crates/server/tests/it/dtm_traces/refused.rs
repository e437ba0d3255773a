//! Conversations about parts of DTM that are not there yet: every request says so, and nothing is stored.

use super::recorded::{self, Event, From};
use super::{NOT_YET, send};
use crate::support::TestServer;

#[tokio::test]
async fn what_is_not_there_yet_is_refused_and_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let mut refused = 0;
    for trace in recorded::all().into_iter().filter(|trace| NOT_YET.contains(&trace.name.as_str())) {
        for event in trace.events.iter().filter(|event| event.from == From::Client) {
            refuse(&server, event).await;
            refused += 1;
        }
    }
    assert_eq!(refused, 13);
    assert_eq!(server.get("/api/dtmsvr/all").await.body, r#"{"next_position":"","transactions":[]}"#);
    server.stop().await;
}

async fn refuse(server: &TestServer, event: &Event) {
    let (request, body) = (&event.request, event.body.as_deref().unwrap_or_default());
    let response = send(server, request, body).await;
    assert_eq!((response.status, response.code()), (501, "not_supported"), "{request} {body}");
    assert!(response.message().ends_with("not supported yet"), "{request}: {response:?}");
}
