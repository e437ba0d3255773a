//! Every limit on what one transaction may hold. They are checked where bytes come in; `docs/limits.md` explains them.

/// Steps or registered branches of one transaction.
pub const BRANCHES_MAX: usize = 1_000;
/// Pairs "this step waits for that one" of a saga.
pub const ORDERS_MAX: usize = 10_000;
/// Characters of a gid or a branch id.
pub const ID_CHARS_MAX: usize = 128;
/// Characters of a business key.
pub const BUSINESS_KEY_CHARS_MAX: usize = 128;
/// Bytes of one URL.
pub const URL_BYTES_MAX: usize = 2_048;
/// Bytes of one branch's payload.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of all payloads of one transaction.
pub const PAYLOADS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers that a transaction adds to each of its branch calls.
pub const BRANCH_HEADERS_MAX: usize = 32;
/// Headers that describe the connection or the message of a call, which a transaction has no say in.
pub const RESERVED_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Attempts that a transaction's history keeps.
pub const ATTEMPTS_MAX: usize = 32;
/// Bytes of an answer that an attempt keeps.
pub const ATTEMPT_ANSWER_BYTES_MAX: usize = 256;
/// Bytes of a participant's answer that may become part of a reason.
pub const REASON_ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Unknown or refused answers of one operation in a row before the transaction asks for attention.
pub const ATTENTION_AFTER_FAILURES: u32 = 3;
