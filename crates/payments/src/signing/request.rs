//! Signed requests and answers: `pay-merchant`, `pay-timestamp`, `pay-nonce`, `pay-signature`.
//!
//! The signed text of a request is method, path with query, timestamp, nonce and body, each followed by one line feed; of an
//! answer, timestamp, nonce and body.

use super::{Secret, SignatureError, check_window, sign, verify};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Who sends: the merchant number, or the platform number at the bank.
pub const MERCHANT: &str = "pay-merchant";
/// Unix seconds at which the message was signed.
pub const TIMESTAMP: &str = "pay-timestamp";
/// Chosen by the sender, used once.
pub const NONCE: &str = "pay-nonce";
/// `v1,<base64>`.
pub const SIGNATURE: &str = "pay-signature";

/// Longest nonce accepted, in bytes.
const NONCE_BYTES_MAX: usize = 64;

/// What the signature headers of a request say, before the signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The sender's number; its secret decides.
    pub merchant_no: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// The sender's nonce.
    pub nonce: String,
    signature: String,
}

impl Claims {
    /// Reads the four headers.
    ///
    /// # Errors
    /// [`SignatureError::Header`] names the first one that is missing or unreadable.
    pub fn read(headers: &HeaderMap) -> Result<Self, SignatureError> {
        let nonce = text(headers, NONCE)?;
        if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX {
            return Err(SignatureError::Header { header: NONCE });
        }
        Ok(Self {
            merchant_no: text(headers, MERCHANT)?.to_owned(),
            timestamp: text(headers, TIMESTAMP)?.parse().map_err(|_| SignatureError::Header { header: TIMESTAMP })?,
            nonce: nonce.to_owned(),
            signature: text(headers, SIGNATURE)?.to_owned(),
        })
    }

    /// Checks the window and the signature of a request.
    ///
    /// # Errors
    /// [`SignatureError::Timestamp`] or [`SignatureError::Mismatch`]. A nonce used before is the caller's to notice.
    pub fn verify(
        &self,
        secret: &Secret,
        method: &str,
        path: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), SignatureError> {
        check_window(self.timestamp, now)?;
        let timestamp = self.timestamp.to_string();
        match verify(secret, &request_text(method, path, &timestamp, &self.nonce, body), &self.signature) {
            true => Ok(()),
            false => Err(SignatureError::Mismatch),
        }
    }
}

/// The four headers of a request from `merchant_no`.
pub fn sign_request(
    secret: &Secret,
    merchant_no: &str,
    method: &str,
    path: &str,
    timestamp: i64,
    nonce: &str,
    body: &[u8],
) -> Vec<(HeaderName, HeaderValue)> {
    let time = timestamp.to_string();
    let signature = sign(secret, &request_text(method, path, &time, nonce, body));
    headers([(MERCHANT, merchant_no), (TIMESTAMP, &time), (NONCE, nonce), (SIGNATURE, &signature)])
}

/// The three headers of an answer.
pub fn sign_answer(secret: &Secret, timestamp: i64, nonce: &str, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let time = timestamp.to_string();
    let signature = sign(secret, &answer_text(&time, nonce, body));
    headers([(TIMESTAMP, &time), (NONCE, nonce), (SIGNATURE, &signature)])
}

/// Checks window and signature of the answer to the request with this nonce.
///
/// # Errors
/// As [`Claims::read`] and [`Claims::verify`]; [`SignatureError::Mismatch`] also for the answer to another request.
pub fn verify_answer(
    secret: &Secret,
    nonce: &str,
    answer: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<(), SignatureError> {
    let time = text(answer, TIMESTAMP)?;
    check_window(time.parse().map_err(|_| SignatureError::Header { header: TIMESTAMP })?, now)?;
    let ours = text(answer, NONCE)? == nonce;
    match ours && verify(secret, &answer_text(time, nonce, body), text(answer, SIGNATURE)?) {
        true => Ok(()),
        false => Err(SignatureError::Mismatch),
    }
}

fn request_text<'a>(
    method: &'a str,
    path: &'a str,
    timestamp: &'a str,
    nonce: &'a str,
    body: &'a [u8],
) -> [&'a [u8]; 10] {
    [
        method.as_bytes(),
        b"\n",
        path.as_bytes(),
        b"\n",
        timestamp.as_bytes(),
        b"\n",
        nonce.as_bytes(),
        b"\n",
        body,
        b"\n",
    ]
}

fn answer_text<'a>(timestamp: &'a str, nonce: &'a str, body: &'a [u8]) -> [&'a [u8]; 6] {
    [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"]
}

fn text<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<&'a str, SignatureError> {
    headers.get(header).and_then(|value| value.to_str().ok()).ok_or(SignatureError::Header { header })
}

/// A value that cannot stand in a header becomes an empty one, which no receiver accepts.
fn headers<const N: usize>(pairs: [(&'static str, &str); N]) -> Vec<(HeaderName, HeaderValue)> {
    pairs
        .into_iter()
        .map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"merchant_no":"M1001","merchant_order_no":"SO1","amount":1000,"currency":"CNY"}"#;
    const NOW: i64 = 1_767_578_584;

    fn secret() -> Secret {
        Secret::new("merchant-secret-0001")
    }

    fn signed(method: &str, path: &str, timestamp: i64, body: &[u8]) -> HeaderMap {
        sign_request(&secret(), "M1001", method, path, timestamp, "n0nce-0001", body).into_iter().collect()
    }

    #[test]
    fn the_documented_vector_is_reproduced_and_accepted() {
        let headers = signed("POST", "/v1/payments", NOW, BODY);
        assert_eq!(headers[SIGNATURE], "v1,KKlWLK7jVsMKWQCX5zpx5kTBerUC1KGWNBzZyJQ/MxM=");
        let claims = Claims::read(&headers).unwrap();
        assert_eq!(
            (claims.merchant_no.as_str(), claims.timestamp, claims.nonce.as_str()),
            ("M1001", NOW, "n0nce-0001")
        );
        claims.verify(&secret(), "POST", "/v1/payments", BODY, NOW + 300).unwrap();
    }

    #[test]
    fn a_change_to_any_signed_part_is_noticed() {
        let claims = Claims::read(&signed("POST", "/v1/payments", NOW, BODY)).unwrap();
        let mismatch = Err(SignatureError::Mismatch);
        assert_eq!(claims.verify(&secret(), "GET", "/v1/payments", BODY, NOW), mismatch);
        assert_eq!(claims.verify(&secret(), "POST", "/v1/payments?x=1", BODY, NOW), mismatch);
        assert_eq!(claims.verify(&secret(), "POST", "/v1/payments", &BODY[1..], NOW), mismatch);
        assert_eq!(claims.verify(&Secret::new("other"), "POST", "/v1/payments", BODY, NOW), mismatch);
        let other_nonce = Claims { nonce: "n0nce-0002".into(), ..claims.clone() };
        assert_eq!(other_nonce.verify(&secret(), "POST", "/v1/payments", BODY, NOW), mismatch);
        let other_time = Claims { timestamp: NOW + 1, ..claims };
        assert_eq!(other_time.verify(&secret(), "POST", "/v1/payments", BODY, NOW), mismatch);
    }

    #[test]
    fn a_clock_more_than_the_window_away_is_refused_either_way() {
        let claims = Claims::read(&signed("POST", "/v1/payments", NOW, BODY)).unwrap();
        for now in [NOW - 301, NOW + 301] {
            assert_eq!(claims.verify(&secret(), "POST", "/v1/payments", BODY, now), Err(SignatureError::Timestamp));
        }
    }

    #[test]
    fn a_missing_header_is_named() {
        for header in [MERCHANT, TIMESTAMP, NONCE, SIGNATURE] {
            let mut headers = signed("GET", "/v1/payments/P1", NOW, b"");
            headers.remove(header);
            assert_eq!(Claims::read(&headers), Err(SignatureError::Header { header }));
        }
    }

    #[test]
    fn an_answer_is_bound_to_its_request_and_its_body() {
        let headers: HeaderMap = sign_answer(&secret(), NOW, "a1", b"{}").into_iter().collect();
        verify_answer(&secret(), "a1", &headers, b"{}", NOW).unwrap();
        assert_eq!(verify_answer(&secret(), "a1", &headers, b"{ }", NOW), Err(SignatureError::Mismatch));
        assert_eq!(verify_answer(&secret(), "a2", &headers, b"{}", NOW), Err(SignatureError::Mismatch));
    }
}
