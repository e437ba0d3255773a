use std::fmt::{self, Write as _};

use escrow_txn::{InvalidId, Pattern};

/// Which body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Of prepare, submit or abort.
    Transaction,
    /// Of the registerBranch family.
    Registration,
    /// Of forceStop.
    Gid,
}

/// Why a request could not be read. Nothing of it was carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is no JSON object, or a known field has the wrong type.
    #[error("{}", Brief(source))]
    Malformed {
        /// Which body.
        body: Body,
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// A list or map has more entries than it may have.
    #[error("{what} has {count} entries, at most {max} are allowed")]
    TooMany {
        /// Which one.
        what: &'static str,
        /// How many entries it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// There is no gid, or an empty one.
    #[error("no gid specified")]
    NoGid,
    /// The gid is none.
    #[error("gid {source}")]
    InvalidGid {
        /// Which rule it breaks.
        #[source]
        source: InvalidId,
    },
    /// A branch id is none.
    #[error("branch_id {source}")]
    InvalidBranchId {
        /// Which rule it breaks.
        #[source]
        source: InvalidId,
    },
    /// The business key is none.
    #[error("business_key {source}")]
    InvalidBusinessKey {
        /// Which rule it breaks.
        #[source]
        source: InvalidId,
    },
    /// No pattern has this name; branches can be registered for `tcc` and `xa` only.
    #[error("unknow trans type: {}", Brief(trans_type))]
    UnknownTransType {
        /// The name.
        trans_type: String,
    },
    /// The protocol of the branch calls has no known name.
    #[error("unknown protocol: {}", Brief(protocol))]
    UnknownProtocol {
        /// The name.
        protocol: String,
    },
    /// A part of the protocol that this coordinator does not speak yet.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// Which part.
        what: &'static str,
    },
    /// There is no topic to subscribe to, or an empty one.
    #[error("empty topic")]
    NoTopic,
    /// The topic is none.
    #[error("topic {source}")]
    InvalidTopic {
        /// Which rule it breaks.
        #[source]
        source: InvalidId,
    },
    /// There is no subscriber, or an empty one.
    #[error("empty url")]
    NoSubscriberUrl,
    /// A URL is neither empty nor one that can be called.
    #[error("{key}: no http:// URL that can be called: {}", Brief(url))]
    UnsupportedUrl {
        /// The key that holds it.
        key: &'static str,
        /// The URL.
        url: String,
    },
    /// An XA branch without a URL could never be committed or rolled back.
    #[error("url: an XA branch needs one")]
    NoXaUrl,
    /// A payload has no step that it belongs to.
    #[error("{payloads} payloads for {steps} steps")]
    PayloadWithoutStep {
        /// How many payloads there are.
        payloads: usize,
        /// How many steps there are.
        steps: usize,
    },
    /// A branch header has a name or a value that HTTP does not allow, or is not the transaction's to set.
    #[error("branch_headers: {} is no header that HTTP allows a transaction to set", Brief(name))]
    InvalidBranchHeader {
        /// Its name.
        name: String,
    },
    /// The `custom_data` of a saga or message cannot be read.
    #[error("custom_data of a {}: {}", super::trans_type(*pattern), Brief(source))]
    InvalidCustomData {
        /// Whose.
        pattern: Pattern,
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
    /// A parameter of the query string cannot be read.
    #[error("{name}: {} is not {expected}", Brief(value))]
    InvalidParameter {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// Gives every kind of error its code, and lists the codes: there is no way to have one that is not in the list.
macro_rules! codes {
    ($($kind:ident => $code:literal,)+) => {
        impl DecodeError {
            /// What [`DecodeError::code`] can return.
            pub const CODES: &'static [&'static str] = &[$($code),+];

            /// A name for this kind of error that does not change.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $code,)+
                }
            }
        }
    };
}

codes! {
    Malformed => "malformed_body",
    TooLarge => "too_large",
    TooMany => "too_large",
    NoGid => "no_gid",
    InvalidGid => "invalid_gid",
    InvalidBranchId => "invalid_branch_id",
    InvalidBusinessKey => "invalid_business_key",
    UnknownTransType => "unknown_trans_type",
    UnknownProtocol => "unknown_protocol",
    NotSupported => "not_supported",
    NoTopic => "invalid_subscription",
    InvalidTopic => "invalid_subscription",
    NoSubscriberUrl => "invalid_subscription",
    UnsupportedUrl => "unsupported_url",
    NoXaUrl => "no_xa_url",
    PayloadWithoutStep => "payload_without_step",
    InvalidBranchHeader => "invalid_branch_header",
    InvalidCustomData => "invalid_custom_data",
    InvalidParameter => "invalid_parameter",
}

impl DecodeError {
    /// The HTTP status of the reply: DTM's, which is 500 for all that is no business outcome, with the exceptions that
    /// [`crate::dtm`] lists.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { body: Body::Registration, .. } => 400,
            Self::TooLarge { .. } | Self::TooMany { .. } => 413,
            Self::NotSupported { .. } => 501,
            _ => 500,
        }
    }
}

/// Displays at most the first [`Brief::MAX`] bytes: an error may repeat what was sent, and that may be long.
struct Brief<T>(T);

impl<T> Brief<T> {
    const MAX: usize = 300;
}

impl<T: fmt::Display> fmt::Display for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = Head { text: String::new(), cut: false };
        // `Head` fails once it is full, which ends the formatting early; that is no error here.
        let _ = write!(head, "{}", self.0);
        f.write_str(&head.text)?;
        if head.cut { f.write_str("...") } else { Ok(()) }
    }
}

struct Head {
    text: String,
    cut: bool,
}

impl fmt::Write for Head {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = Brief::<()>::MAX - self.text.len();
        let head = super::reply::cut(part, room);
        self.text.push_str(head);
        self.cut = head.len() < part.len();
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}
