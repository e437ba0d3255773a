//! Signatures between the companies: of requests and answers ([`request`]) and of notifications ([`webhook`]).
//!
//! Everything that crosses a company's border is signed with HMAC-SHA256 over the bytes as they travel, so a receiver checks
//! before it parses. Comparison takes constant time. Secrets have no `Debug` output.

pub mod request;
pub mod webhook;

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
#[derive(Clone, PartialEq, Eq)]
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
    /// A header that belongs to the signature is missing or unreadable.
    #[error("header {header} is missing or unreadable")]
    Header {
        /// The header's name.
        header: &'static str,
    },
    /// The message's clock is further from ours than [`WINDOW`].
    #[error("the timestamp is outside the accepted window")]
    Timestamp,
    /// No signature in the list is ours.
    #[error("the signature does not match")]
    Mismatch,
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
