//! The conversations recorded from DTM, replayed event by event over real sockets.
//!
//! Compared are: request line, headers, body and order of the branch calls; status and JSON value of the replies; of every
//! query the branches' ids, operations, URLs, data and status, and the transaction's gid, type, status and reason; of
//! times only that no call comes before the protocol allows it. Where this coordinator differs on purpose,
//! [`differences`] says so and why.

mod differences;
mod participant;
mod player;
mod recorded;
mod refused;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use differences::DIFFERENCES;
use player::Player;
use recorded::Trace;

use crate::support::{Response, TestServer};

/// Conversations about parts of DTM that are not there yet; how they are refused is tested in [`refused`].
const NOT_YET: [&str; 3] = ["workflow-resume", "json-rpc", "json-rpc-branch"];

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_conversation_goes_as_recorded() {
    let server = Arc::new(TestServer::start().await);
    let mut playing = JoinSet::new();
    for trace in recorded::all().into_iter().filter(|trace| !NOT_YET.contains(&trace.name.as_str())) {
        playing.spawn(Player::new(trace, Arc::clone(&server)).play());
    }
    let played = playing.join_all().await;
    assert_eq!(played.len(), 31);
    let mismatches: Vec<_> = played.iter().flat_map(|played| &played.mismatches).map(String::as_str).collect();
    assert!(mismatches.is_empty(), "\n{}", mismatches.join("\n"));
    let compared: BTreeSet<_> = played.iter().flat_map(|played| &played.compared).collect();
    for difference in DIFFERENCES {
        assert!(
            compared.contains(&difference.place()),
            "{} was never compared: {}",
            difference.place(),
            difference.why
        );
    }
    Arc::into_inner(server).unwrap().stop().await;
}

#[test]
fn where_the_recording_says_that_dtm_is_wrong_there_is_a_difference() {
    for Trace { name, .. } in recorded::all().into_iter().filter(|trace| trace.should_differ) {
        assert!(DIFFERENCES.iter().any(|difference| difference.trace == name), "{name}");
    }
}

/// Sends a request as it was recorded.
async fn send(server: &TestServer, request: &str, body: &str) -> Response {
    let length = body.len();
    server
        .send(format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
}
