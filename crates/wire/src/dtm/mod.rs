//! The REST dialect of DTM: what its clients in Go, Java, C#, Python, Node and PHP send, and what they expect back.
//!
//! | route below `/api/dtmsvr` | in | out |
//! |---|---|---|
//! | `newGid` | nothing | [`Reply::new_gid`] |
//! | `prepare`, `submit` | [`decode_begin_with`], [`decode_begin`] | [`Reply::success`] |
//! | `abort` | [`decode_abort`] | [`Reply::success`] |
//! | `registerBranch`, `registerTccBranch`, `registerXaBranch` | [`decode_registration`] | [`Reply::success`] |
//! | `forceStop`, `resetNextCronTime` | [`decode_gid_body`] | [`Reply::success`] |
//! | `resetCronTime` | [`decode_reset`] | [`encode_reset`] |
//! | `query` | [`decode_query`] | [`encode_query`] |
//! | `all` | [`decode_all`] | [`encode_all`], [`encode_all_of_gid`] |
//! | `subscribe`, `unsubscribe`, `topic/...` | [`decode_subscribe`], [`decode_unsubscribe`], [`decode_topic`] | [`Reply::success`] |
//! | `scanKV`, `queryKV` | [`decode_scan`], [`decode_key`] | [`encode_scan`], [`encode_kv`] |
//!
//! **Lenient where clients need it.** Unknown keys are ignored and may be repeated. `null` is the zero value of every
//! field. Keys match whatever their case. `[]` may stand for an empty map, and a list for `orders`: PHP writes them so.
//! Line breaks and semicolons are taken out of a gid.
//!
//! **Strict where money needs it.** A known field of the wrong type, a fraction where seconds are counted, a known key
//! given twice, `custom_data` that cannot be read, more payloads than steps: the request is refused as a whole. Payloads
//! are passed on byte for byte.
//!
//! **Extensions**, ignored by DTM itself: `branches` in prepare or submit of a TCC or XA (`{branch_id, confirm, cancel,
//! data}`, of an XA `{branch_id, url}`); `concurrent` of a TCC or XA; `business_key`, also as the branch header
//! `escrow-business-key`; `reason` and `operator` of `forceStop`; `business_key`, `attention`, `attention_reason` and `attention_since` in replies.
//!
//! **Status codes** are DTM's: 200, 409, 425, and 500 for any other error; of the `registerBranch` family a body that
//! cannot be read is 400. Changed on purpose: 413 for what is too large, 501 for parts of the protocol that are not
//! supported yet. Refused here and accepted by DTM, where it did harm: an empty gid, an unknown transaction type (DTM
//! stores the one and breaks on the other), `custom_data` of a saga or message that cannot be read (every pass over such a
//! transaction fails in DTM), a URL that cannot be called, an XA branch without a URL, payloads without a step, header
//! lines that HTTP does not allow.

mod error;
mod json;

mod custom_data;
mod force_stop;
mod query_string;
mod registration;
mod retry;
mod topics;
mod transaction;

mod alert;
mod conflict;
mod reply;
mod view;
mod words;

pub use alert::{Alert, encode_alert};
pub use conflict::{cannot_abort, cannot_force_stop, cannot_prepare, cannot_register, cannot_submit, unknown_gid};
pub use error::{Body, DecodeError};
pub use force_stop::{ForceStop, decode_gid_body};
pub use query_string::{AllQuery, decode_all, decode_query};
pub use registration::decode_registration;
pub use reply::Reply;
pub use retry::{ResetQuery, decode_reset, encode_reset};
pub use topics::{
    KeyQuery, REMARK_BYTES_MAX, ScanQuery, Subscription, TopicEntry, decode_key, decode_scan, decode_subscribe,
    decode_topic, decode_unsubscribe, encode_kv, encode_scan,
};
pub use transaction::{decode_abort, decode_begin, decode_begin_with};
pub use view::{ListedTxn, encode_all, encode_all_of_gid, encode_query};
pub use words::{op_word, status_word, trans_type};

/// Bytes of the largest body that is read: room for the payloads of a transaction with every quote escaped.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of the longest `custom_data`.
pub const CUSTOM_DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all branch headers of a transaction together.
pub const BRANCH_HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a reason that are kept; the rest is cut, so that no reason keeps an abort from being carried out.
pub const REASON_BYTES_MAX: usize = 4 * 1024;
