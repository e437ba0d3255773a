//! Where this coordinator does something else than DTM did, on purpose, and how early a call may come.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::recorded::{Event, From};

/// One deliberate difference.
pub(super) struct Difference {
    /// The conversation.
    pub(super) trace: &'static str,
    /// What differs in it.
    path: &'static str,
    /// Why.
    pub(super) why: &'static str,
    /// What is expected, as JSON.
    expected: &'static str,
}

const NO_MAGIC_WORD: &str = "a reason that the coordinator words does not carry the word that makes clients take a query \
                             for an error; the 409 carries it";
const REFUSED_IN: &str =
    r#""url:http://rm/in return failed: {\"dtm_result\":\"FAILURE\",\"message\":\"Insufficient balance\"}""#;
const REFUSED_OUT: &str =
    r#""url:http://rm/out return failed: {\"dtm_result\":\"FAILURE\",\"message\":\"Insufficient balance\"}""#;
const UNFINISHED: &str = "what is merely unfinished is answered 425 and not as a failure";
const REPEATED_REGISTRATION: &str = "the identical registration repeated succeeds: the reply to the first may be lost";
const REPEATED_SUBMIT: &str = "a repeated submit goes on with the stored branches; DTM took the transaction for done and \
                               never confirmed";
const SAYS_WHY: &str = "a message that is given up after the check-back says why";
const NOT_YET: &str = "workflow is not there yet, and says so";

impl Difference {
    /// Conversation and place, as [`Player`](super::player::Player) names them.
    pub(super) fn place(&self) -> String {
        format!("{} {}", self.trace, self.path)
    }
}

/// All of them.
pub(super) const DIFFERENCES: &[Difference] = &[
    difference("saga-second-fails", "final rollback_reason", NO_MAGIC_WORD, REFUSED_IN),
    difference("saga-orders-first-fails", "final rollback_reason", NO_MAGIC_WORD, REFUSED_OUT),
    difference("saga-compensate-error", "event 5 rollback_reason", NO_MAGIC_WORD, REFUSED_IN),
    difference("saga-compensate-error", "final rollback_reason", NO_MAGIC_WORD, REFUSED_IN),
    difference("saga-wait-rolled-back", "final rollback_reason", NO_MAGIC_WORD, REFUSED_IN),
    difference("saga-wait-unfinished", "event 0 status", UNFINISHED, "425"),
    difference(
        "saga-wait-unfinished",
        "event 0 reply",
        UNFINISHED,
        r#"{"dtm_result":"ONGOING","message":"the transaction is not finished yet"}"#,
    ),
    difference("tcc-duplicate-register", "event 2 status", REPEATED_REGISTRATION, "200"),
    difference("tcc-duplicate-register", "event 2 reply", REPEATED_REGISTRATION, r#"{"dtm_result":"SUCCESS"}"#),
    difference(
        "tcc-repeated-submit",
        "final branches",
        REPEATED_SUBMIT,
        r#"[["01","cancel","http://rm/outCancel","eyJhbW91bnQiOjMwLCJuIjoxfQ==","prepared"],
            ["01","confirm","http://rm/outConfirm","eyJhbW91bnQiOjMwLCJuIjoxfQ==","succeed"],
            ["02","cancel","http://rm/inCancel","eyJhbW91bnQiOjMwLCJuIjoyfQ==","prepared"],
            ["02","confirm","http://rm/inConfirm","eyJhbW91bnQiOjMwLCJuIjoyfQ==","succeed"]]"#,
    ),
    difference(
        "msg-query-back-failure",
        "final rollback_reason",
        SAYS_WHY,
        r#""the check-back said that the local transaction did not commit""#,
    ),
    difference("errors", "event 6 status", NOT_YET, "501"),
    difference("errors", "event 6 reply", NOT_YET, r#"{"message":"trans_type workflow is not supported yet"}"#),
];

const fn difference(trace: &'static str, path: &'static str, why: &'static str, expected: &'static str) -> Difference {
    Difference { trace, path, why, expected }
}

/// What is expected at a place of a conversation where DTM did what is recorded.
///
/// # Panics
/// If a difference is none.
pub(super) fn expected(trace: &str, path: &str, recorded: &Value) -> Value {
    match DIFFERENCES.iter().find(|difference| (difference.trace, difference.path) == (trace, path)) {
        None => recorded.clone(),
        Some(difference) => {
            let expected: Value = serde_json::from_str(difference.expected).unwrap();
            assert_ne!(expected, *recorded, "{trace} {path}: DTM does so too");
            expected
        }
    }
}

/// Calls that have to follow those that DTM made, and succeed: conversation, request and body.
const MORE_CALLS: &[(&str, &str, &str)] = &[
    (
        "tcc-repeated-submit",
        "POST http://rm/inConfirm?branch_id=02&gid=<gid>&op=confirm&trans_type=tcc",
        r#"{"amount":30,"n":2}"#,
    ),
    (
        "tcc-repeated-submit",
        "POST http://rm/outConfirm?branch_id=01&gid=<gid>&op=confirm&trans_type=tcc",
        r#"{"amount":30,"n":1}"#,
    ),
];

/// What has to follow the recorded events of a conversation.
pub(super) fn more_calls(trace: &str) -> impl Iterator<Item = Event> {
    MORE_CALLS.iter().filter(move |(name, ..)| *name == trace).map(|(_, request, body)| Event {
        from: From::Coordinator,
        request: (*request).to_owned(),
        body: Some((*body).to_owned()),
        headers: BTreeMap::new(),
        status: 200,
        reply: r#"{"dtm_result":"SUCCESS"}"#.to_owned(),
        at_s: 0,
    })
}

/// The earliest moments of the calls, counted from the first request: an unknown answer is followed by twice the base
/// interval, the next one in a row by four times; ONGOING by the base; a time-out, check-back or delay by what was asked.
const NOT_BEFORE_S: &[(&str, &[u64])] = &[
    ("saga-ongoing", &[0, 2, 4, 4]),
    ("saga-error-backoff", &[0, 0, 2, 6]),
    ("saga-compensate-error", &[0, 0, 0, 0, 2]),
    ("saga-timeout", &[0, 3]),
    ("msg-query-back-ok", &[3, 3]),
    ("msg-query-back-failure", &[3]),
    ("msg-delay", &[3]),
    ("tcc-timeout", &[3, 3]),
    ("tcc-confirm-errors", &[0, 2, 6, 6]),
];

/// The earliest moments of the calls of a conversation, counted from its first request.
pub(super) fn not_before(trace: &str, calls: usize) -> Vec<Duration> {
    let seconds = NOT_BEFORE_S.iter().find(|(name, _)| *name == trace).map(|(_, seconds)| *seconds);
    let Some(seconds) = seconds else { return vec![Duration::ZERO; calls] };
    assert_eq!(seconds.len(), calls, "{trace}");
    seconds.iter().map(|&seconds| Duration::from_secs(seconds)).collect()
}
