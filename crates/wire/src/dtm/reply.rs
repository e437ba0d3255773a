use bytes::Bytes;
use serde::Serialize;

use super::DecodeError;

/// A reply: a JSON object and the HTTP status it goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// What clients look for at the end of a 409's message, and nowhere in a 200.
const FAILURE: &str = "FAILURE";

#[derive(Serialize)]
struct Success<'a> {
    dtm_result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<&'a str>,
}

#[derive(Serialize)]
struct NoSuccess<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dtm_result: Option<&'static str>,
    message: &'a str,
}

impl Reply {
    /// Content type of every reply.
    pub const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";

    /// It is done, or durable and will be.
    ///
    /// ```
    /// assert_eq!(escrow_wire::dtm::Reply::success().body, r#"{"dtm_result":"SUCCESS"}"#);
    /// ```
    pub fn success() -> Self {
        Self::json(200, &Success { dtm_result: "SUCCESS", gid: None })
    }

    /// A fresh gid.
    pub fn new_gid(gid: &str) -> Self {
        Self::json(200, &Success { dtm_result: "SUCCESS", gid: Some(gid) })
    }

    /// It was not done and will not be: 409. The message ends with ` FAILURE` exactly once, whether it came with it or
    /// not.
    ///
    /// ```
    /// let reply = escrow_wire::dtm::Reply::failure("no funds");
    /// assert_eq!((reply.status, &reply.body[..]), (409, &br#"{"dtm_result":"FAILURE","message":"no funds FAILURE"}"#[..]));
    /// ```
    pub fn failure(message: &str) -> Self {
        let mut text = message.trim_end();
        while let Some(shorter) = text.strip_suffix(FAILURE).filter(|t| t.is_empty() || t.ends_with(' ')) {
            text = shorter.trim_end();
        }
        let message = format!("{text} {FAILURE}");
        Self::json(409, &NoSuccess { dtm_result: Some(FAILURE), message: &message })
    }

    /// It is being done: 425.
    pub fn ongoing(message: &str) -> Self {
        Self::json(425, &NoSuccess { dtm_result: Some("ONGOING"), message })
    }

    /// Anything else that went wrong, with the HTTP status given.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &NoSuccess { dtm_result: None, message })
    }

    /// The coordinator's version.
    pub fn version(version: &str) -> Self {
        #[derive(Serialize)]
        struct Version<'a> {
            version: &'a str,
        }
        Self::json(200, &Version { version })
    }

    /// The answer to `/api/ping`.
    pub fn pong() -> Self {
        Self { status: 200, body: Bytes::from_static(br#"{"msg":"pong"}"#) }
    }

    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        // `expect`: writing to memory does not fail, and no key of a reply is anything but a text.
        let body = serde_json::to_vec(body).expect("a reply can be written as JSON");
        // A reply may wait long for a slow client: it keeps no more memory than it has bytes.
        Self { status, body: Bytes::from(body.into_boxed_slice()) }
    }
}

impl From<&DecodeError> for Reply {
    fn from(error: &DecodeError) -> Self {
        Self::error(error.status(), &error.to_string())
    }
}

/// The first `max` bytes of a text, not splitting a character.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use escrow_txn::{Gid, Pattern, Status};

    use super::*;
    use crate::dtm;

    fn text(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    #[test]
    fn a_409_says_failure_at_its_end_exactly_once() {
        for message in ["no funds", "no funds FAILURE", "no funds FAILURE FAILURE ", "no funds "] {
            let reply = Reply::failure(message);
            assert_eq!(reply.status, 409);
            assert_eq!(text(&reply), r#"{"dtm_result":"FAILURE","message":"no funds FAILURE"}"#);
        }
        assert!(text(&Reply::failure("FAILURE")).ends_with(r#""message":" FAILURE"}"#));
        assert!(text(&Reply::failure("x: {\"r\":\"FAILURE\"}")).ends_with(r#"\"FAILURE\"} FAILURE"}"#));
        assert!(text(&Reply::failure("TOTALFAILURE")).ends_with(r#""message":"TOTALFAILURE FAILURE"}"#));
    }

    #[test]
    fn errors_have_no_result_and_ongoing_has_its_own() {
        assert_eq!(text(&Reply::error(500, "x")), r#"{"message":"x"}"#);
        let ongoing = Reply::ongoing("still at it");
        assert_eq!(ongoing.status, 425);
        assert_eq!(text(&ongoing), r#"{"dtm_result":"ONGOING","message":"still at it"}"#);
    }

    #[test]
    fn a_new_gid_comes_with_a_result() {
        assert_eq!(text(&Reply::new_gid("a")), r#"{"dtm_result":"SUCCESS","gid":"a"}"#);
        assert_eq!(text(&Reply::pong()), r#"{"msg":"pong"}"#);
        assert_eq!(text(&Reply::version("v1.2.3")), r#"{"version":"v1.2.3"}"#);
    }

    #[test]
    fn conflicts_are_told_in_the_words_that_clients_know() {
        let gid = Gid::parse("g").unwrap();
        let message = |conflict: String| text(&Reply::failure(&conflict)).to_owned();
        for (conflict, expected) in [
            (dtm::cannot_prepare(Status::Committed), "current status 'succeed', cannot prepare. FAILURE"),
            (dtm::cannot_submit(Status::Aborted), "current status 'failed', cannot sumbmit. FAILURE"),
            (dtm::cannot_submit(Status::Stopped), "current status 'failed', cannot sumbmit. FAILURE"),
            (
                dtm::cannot_abort(Pattern::Saga, Status::Submitted),
                "trans type: 'saga' current status 'submitted', cannot abort. FAILURE",
            ),
            (
                dtm::cannot_force_stop(Status::Committed),
                "global transaction force stop error. status: succeed. error: FAILURE",
            ),
            (dtm::cannot_register(&gid), "no trans with gid: g status: prepared found FAILURE"),
        ] {
            assert_eq!(message(conflict), format!(r#"{{"dtm_result":"FAILURE","message":"{expected}"}}"#));
        }
        assert_eq!(dtm::unknown_gid(&gid), "no TransGlobal with gid: g found");
    }
}
