//! Signatures between the companies: of requests and answers ([`request`]) and of notifications ([`webhook`]).
//!
//! Everything that crosses a company's border is signed with HMAC-SHA256 over the bytes as they travel, so a receiver checks
//! before it parses. Comparison takes constant time. Secrets have no `Debug` output.

pub mod request;
pub mod webhook;

mod answer;
mod client;

pub use answer::signed_answer;
pub use client::{SignedCallError, SignedClient};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// How far a signed request's or notification's clock may be from ours, either way.
pub const WINDOW: Duration = Duration::from_secs(300);

/// The scheme's name in front of every signature: `v1,<base64>`.
const SCHEME: &str = "v1,";

/// A shared key. Its bytes are never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The key with exactly these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for storage.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a signed message was not believed. The variants' texts never carry the signature or the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A header or parameter that belongs to the signature is missing or unreadable.
    #[error("{header} is missing or unreadable")]
    Header {
        /// Its name.
        header: &'static str,
    },
    /// The message's clock is further from ours than [`WINDOW`].
    #[error("the timestamp is outside the accepted window")]
    Timestamp,
    /// No signature in the list is ours.
    #[error("the signature does not match")]
    Mismatch,
}

/// A form-encoded query with its own signature as last parameter, for addresses that travel through a browser.
pub fn sign_query(secret: &Secret, query: &str) -> String {
    let signature = sign(secret, &[query.as_bytes()]);
    let mut signed = url::form_urlencoded::Serializer::new(query.to_owned());
    signed.append_pair("signature", &signature).finish()
}

/// The query without its signature, if the signature is right.
///
/// # Errors
/// [`SignatureError`]: nothing in the query may be believed.
pub fn verify_query<'a>(secret: &Secret, signed: &'a str) -> Result<&'a str, SignatureError> {
    let missing = SignatureError::Header { header: "signature" };
    let (query, encoded) = signed.rsplit_once("&signature=").ok_or(missing)?;
    let (signature, _) = url::form_urlencoded::parse(encoded.as_bytes()).next().ok_or(missing)?;
    match verify(secret, &[query.as_bytes()], &signature) {
        true => Ok(query),
        false => Err(SignatureError::Mismatch),
    }
}

/// `v1,<base64>` of the HMAC-SHA256 over `parts`, written one after another.
fn sign(secret: &Secret, parts: &[&[u8]]) -> String {
    format!("{SCHEME}{}", STANDARD.encode(mac(secret, parts).finalize().into_bytes()))
}

/// True if `signature` (`v1,<base64>`) is the HMAC-SHA256 over `parts`.
fn verify(secret: &Secret, parts: &[&[u8]], signature: &str) -> bool {
    let Some(encoded) = signature.strip_prefix(SCHEME) else { return false };
    STANDARD.decode(encoded).is_ok_and(|bytes| mac(secret, parts).verify_slice(&bytes).is_ok())
}

fn mac(secret: &Secret, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Checks that `timestamp` (Unix seconds) lies within [`WINDOW`] of `now` (Unix seconds).
fn check_window(timestamp: i64, now: i64) -> Result<(), SignatureError> {
    match timestamp.abs_diff(now) <= WINDOW.as_secs() {
        true => Ok(()),
        false => Err(SignatureError::Timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_query_is_accepted_as_it_was_and_in_no_other_way() {
        let (secret, query) = (Secret::new("s"), "amount=1000&return_url=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc");
        let signed = sign_query(&secret, query);
        assert_eq!(verify_query(&secret, &signed), Ok(query));
        let altered = signed.replace("amount=1000", "amount=1");
        assert_eq!(verify_query(&secret, &altered), Err(SignatureError::Mismatch));
        assert_eq!(verify_query(&Secret::new("t"), &signed), Err(SignatureError::Mismatch));
        assert!(verify_query(&secret, query).is_err());
    }
}
