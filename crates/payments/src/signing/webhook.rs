//! Signed notifications: `webhook-id`, `webhook-timestamp`, `webhook-signature`, as Standard Webhooks 1.0.0 has them.
//!
//! The signed text is `{id}.{timestamp}.{raw body}`. The signature header is a list, so that a sender can rotate its key;
//! entries of schemes that we do not know are passed over.

use super::{Secret, SignatureError, check_window, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The notification's id, the same in every attempt.
pub const ID: &str = "webhook-id";
/// Unix seconds of this attempt.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Space-separated list of `v1,<base64>`.
pub const SIGNATURE: &str = "webhook-signature";

/// Most entries of the signature list that are looked at.
const SIGNATURES_MAX: usize = 16;

/// Reads a secret as it is shown to people: `whsec_` and base64 of the key's bytes. `None` if it is anything else.
pub fn parse_secret(shown: &str) -> Option<Secret> {
    STANDARD.decode(shown.strip_prefix("whsec_")?).ok().map(Secret::new)
}

/// The three headers of one attempt to deliver `body` under `id`.
pub fn sign_attempt(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let time = timestamp.to_string();
    let signature = sign(secret, &signed_text(id, &time, body));
    [(ID, id), (TIMESTAMP, &time), (SIGNATURE, &signature)]
        .into_iter()
        .map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")))
        })
        .collect()
}

/// Checks window and signature of a notification, and returns its id.
///
/// # Errors
/// [`SignatureError`]: nothing in the body may be believed.
pub fn verify_attempt(secret: &Secret, headers: &HeaderMap, body: &[u8], now: i64) -> Result<String, SignatureError> {
    let text =
        |header| headers.get(header).and_then(|value| value.to_str().ok()).ok_or(SignatureError::Header { header });
    let (id, time, list) = (text(ID)?, text(TIMESTAMP)?, text(SIGNATURE)?);
    if id.is_empty() {
        return Err(SignatureError::Header { header: ID });
    }
    check_window(time.parse().map_err(|_| SignatureError::Header { header: TIMESTAMP })?, now)?;
    let parts = signed_text(id, time, body);
    match list.split(' ').take(SIGNATURES_MAX).any(|signature| verify(secret, &parts, signature)) {
        true => Ok(id.to_owned()),
        false => Err(SignatureError::Mismatch),
    }
}

fn signed_text<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT_ID: &str = "P2026010500000001-succeeded";
    const NOW: i64 = 1_767_578_584;
    const BODY: &[u8] = br#"{"type":"payment.succeeded","timestamp":"2026-01-05T02:03:04Z","data":{"pay_no":"P2026010500000001","merchant_order_no":"SO2026010500000001","amount":1000,"currency":"CNY","status":"SUCCESS","acct_date":"2026-01-05"}}"#;
    const VECTORS: [(&str, &str); 2] = [
        ("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "v1,N+RNqsR937evXy7ur1CLtQ2C3sgwNmArjTs1IYdS6Sg="),
        ("whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", "v1,ZAH1Ttt8RFooRAfwSsYNpY9+zwXLj6deNM6FypuDwJQ="),
    ];

    fn attempt(secret: &Secret) -> HeaderMap {
        sign_attempt(secret, ATTEMPT_ID, NOW, BODY).into_iter().collect()
    }

    #[test]
    fn the_documented_vectors_are_reproduced_and_accepted() {
        assert_eq!(BODY.len(), 217);
        for (shown, signature) in VECTORS {
            let secret = parse_secret(shown).unwrap();
            let headers = attempt(&secret);
            assert_eq!(headers[SIGNATURE], signature);
            assert_eq!(verify_attempt(&secret, &headers, BODY, NOW - 300).as_deref(), Ok(ATTEMPT_ID));
        }
    }

    #[test]
    fn one_matching_entry_of_a_rotating_senders_list_is_enough() {
        let secret = parse_secret(VECTORS[1].0).unwrap();
        let mut headers = attempt(&secret);
        let list = format!("v1a,unknown {} {}", VECTORS[0].1, VECTORS[1].1);
        headers.insert(SIGNATURE, list.parse().unwrap());
        assert!(verify_attempt(&secret, &headers, BODY, NOW).is_ok());
        headers.insert(SIGNATURE, VECTORS[0].1.parse().unwrap());
        assert_eq!(verify_attempt(&secret, &headers, BODY, NOW), Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_altered_body_an_old_clock_and_a_missing_id_are_refused() {
        let secret = parse_secret(VECTORS[0].0).unwrap();
        let mut headers = attempt(&secret);
        assert_eq!(verify_attempt(&secret, &headers, &BODY[1..], NOW), Err(SignatureError::Mismatch));
        assert_eq!(verify_attempt(&secret, &headers, BODY, NOW + 301), Err(SignatureError::Timestamp));
        headers.remove(ID);
        assert_eq!(verify_attempt(&secret, &headers, BODY, NOW), Err(SignatureError::Header { header: ID }));
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", parse_secret(VECTORS[0].0)), "Some(Secret(..))");
        assert!(parse_secret("secret").is_none());
    }
}
