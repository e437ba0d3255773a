use bytes::Bytes;
use escrow_txn::{Gid, Status};
use serde::Serialize;

use super::status_word;
use super::view::Masked;

/// An operation that has failed several times in a row.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    /// The transaction.
    pub gid: &'a Gid,
    /// Where it stands.
    pub status: Status,
    /// What was called.
    pub url: &'a str,
    /// The status code of the answer; `None` if there was none.
    pub code: Option<u16>,
    /// The answer, or what went wrong.
    pub answer: &'a str,
    /// How often in a row.
    pub failures: u32,
}

/// Writes the body of a call to the alert web hook. Names and passwords in URLs are masked.
///
/// ```
/// # use escrow_wire::dtm::{Alert, encode_alert};
/// # let gid = escrow_txn::Gid::parse("order-1")?;
/// let (url, answer) = ("http://stock/take", "no connection");
/// let alert = Alert { gid: &gid, status: escrow_txn::Status::Submitted, url, code: None, answer, failures: 3 };
/// assert_eq!(encode_alert(&alert), concat!(
///     r#"{"gid":"order-1","status":"submitted","branch":"http://stock/take","#,
///     r#""error":"no connection","retry_count":3}"#));
/// # Ok::<(), escrow_txn::InvalidId>(())
/// ```
pub fn encode_alert(alert: &Alert<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        gid: &'a str,
        status: &'static str,
        branch: Masked<'a>,
        error: Masked<'a>,
        retry_count: u32,
    }
    let error = match alert.code {
        Some(code) => format!("answered with status {code}: {}", alert.answer),
        None => alert.answer.to_owned(),
    };
    let body = Body {
        gid: alert.gid.as_str(),
        status: status_word(alert.status),
        branch: Masked(alert.url),
        error: Masked(&error),
        retry_count: alert.failures,
    };
    // `expect`: writing to memory does not fail, and all keys are texts.
    Bytes::from(serde_json::to_vec(&body).expect("an alert can be written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_says_what_came_back_and_no_password() {
        let gid = Gid::parse("g").unwrap();
        let alert = Alert {
            gid: &gid,
            status: Status::Aborting,
            url: "http://me:secret@rm/x",
            code: Some(500),
            answer: "see http://me:secret@rm/log",
            failures: 4,
        };
        let body = encode_alert(&alert);
        let expected = r#"{"gid":"g","status":"aborting","branch":"http://***@rm/x","error":"answered with status 500: see http://***@rm/log","retry_count":4}"#;
        assert_eq!(body, expected);
    }
}
