use bytes::Bytes;
use escrow_engine::{BranchCall, BranchCaller};
use escrow_outbound::{EgressPolicy, HttpCaller};
use escrow_txn::{BranchOp, BranchOutcome, Pattern};

use crate::participant::{Participant, action, call, response};

#[tokio::test]
async fn a_call_is_one_request_with_the_payload_byte_for_byte() {
    let participant = Participant::answering(response(200, "{\"dtm_result\":\"SUCCESS\"}")).await;
    let payload = Bytes::from_static(b"{ \"a\" : 1.0,\t\"a\":\"\\u0041\" }\n");
    let headers = vec![("X-Tenant".to_owned(), "t1".to_owned())];
    let reply = call(BranchCall { payload, headers, ..action(participant.url("/out?z=9&k=x%20y")) }).await;

    assert_eq!(reply.outcome, BranchOutcome::Done);
    assert_eq!(reply.code, Some(200));
    assert_eq!(reply.text, "{\"dtm_result\":\"SUCCESS\"}");
    let requests = participant.requests.lock().unwrap().clone();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let (header, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = header.lines();
    assert_eq!(lines.next().unwrap(), "POST /out?z=9&k=x%20y&branch_id=01&gid=g1&op=action&trans_type=saga HTTP/1.1");
    let mut headers: Vec<_> = lines.collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "accept: application/json",
            "content-length: 28",
            "content-type: application/json",
            &format!("host: {}", participant.address),
            concat!("user-agent: escrow/", env!("CARGO_PKG_VERSION")),
            "x-tenant: t1",
        ]
    );
    assert_eq!(body, "{ \"a\" : 1.0,\t\"a\":\"\\u0041\" }\n");
}

#[tokio::test]
async fn a_get_has_no_length_and_an_empty_post_says_so() {
    let participant = Participant::answering(response(200, "")).await;
    call(BranchCall { payload: Bytes::new(), ..action(participant.url("/a")) }).await;
    let xa = BranchCall { pattern: Pattern::Xa, op: BranchOp::Commit, ..action(participant.url("/x")) };
    call(BranchCall { payload: Bytes::new(), ..xa }).await;

    let requests = participant.requests.lock().unwrap().clone();
    assert!(requests[0].starts_with("GET /a?branch_id=01&gid=g1&op=action&trans_type=saga "), "{}", requests[0]);
    assert!(!requests[0].contains("content-length"), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /x?branch_id=01&gid=g1&op=commit&trans_type=xa "), "{}", requests[1]);
    assert!(requests[1].contains("content-length: 0\r\n"), "{}", requests[1]);
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_the_participant_has_closed_it() {
    let participant = Participant::answering(response(200, "")).await;
    let caller = HttpCaller::new(EgressPolicy::default());
    for _ in 0..3 {
        assert_eq!(caller.call(action(participant.url("/a"))).await.outcome, BranchOutcome::Done);
    }

    let closing = Participant::behaving(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        crate::participant::read_request(&mut stream).await;
        stream.write_all(response(200, "").as_bytes()).await.unwrap();
    })
    .await;
    for _ in 0..3 {
        assert_eq!(caller.call(action(closing.url("/a"))).await.outcome, BranchOutcome::Done);
        // The connection's end arrives on its own; the next call must not trip over it.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_words_in_a_body_count_as_over_any_status() {
    let table = [
        (200, "ok", BranchOutcome::Done),
        (200, "{\"dtm_result\":\"FAILURE\"}", BranchOutcome::Refused),
        (200, "{\"dtm_result\":\"ONGOING\"}", BranchOutcome::InProgress),
        (409, "no funds", BranchOutcome::Refused),
        (425, "", BranchOutcome::InProgress),
        (201, "", BranchOutcome::Unknown),
        (500, "busy", BranchOutcome::Unknown),
    ];
    for (status, body, expected) in table {
        let participant = Participant::answering(response(status, body)).await;
        let reply = call(action(participant.url("/a"))).await;
        assert_eq!((reply.outcome, reply.code, reply.text.as_str()), (expected, Some(status), body));
    }
}

#[tokio::test]
async fn calls_to_other_schemes_are_unknown_with_the_reason() {
    let table = [
        ("https://rm/a", "https is not supported yet"),
        ("ftp://rm/a", "the URL does not begin with http://"),
        ("rm:80/pkg.Service/Method", "the URL does not begin with http://"),
        ("http:///a", "the URL names no host"),
        ("http://rm/a b", "the URL is malformed"),
    ];
    for (url, text) in table {
        let reply = call(action(url)).await;
        assert_eq!((reply.outcome, reply.code, reply.text.as_str()), (BranchOutcome::Unknown, None, text), "{url}");
    }
}
