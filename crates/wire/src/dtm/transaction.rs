//! The bodies of prepare, submit and abort.

use std::time::Duration;

use bytes::Bytes;
use escrow_txn::{Abort, Begin, Branch, BranchId, BusinessKey, Gid, Options, Pattern, limits};
use serde::Deserialize;

use super::custom_data::CustomData;
use super::json::{List, TextMap, object};
use super::reply::cut;
use super::{BODY_BYTES_MAX, BRANCH_HEADERS_BYTES_MAX, Body, DecodeError, REASON_BYTES_MAX};

/// The branch header that holds the business key.
const BUSINESS_KEY_HEADER: &str = "escrow-business-key";

object! {
    /// What prepare and submit carry. Times are in seconds, 0 means: not said.
    struct TransactionBody {
        gid: String,
        trans_type: String,
        steps: List<StepBody, { limits::BRANCHES_MAX }>,
        payloads: List<String, { limits::BRANCHES_MAX }>,
        /// Extension.
        branches: List<BranchBody, { limits::BRANCHES_MAX }>,
        custom_data: String,
        query_prepared: String,
        protocol: String,
        /// Extension.
        business_key: String,
        wait_result: bool,
        timeout_to_fail: u32,
        request_timeout: u32,
        retry_interval: u32,
        retry_limit: u32,
        branch_headers: TextMap<{ limits::BRANCH_HEADERS_MAX }>,
        /// Names of headers of the request itself; only old clients send some.
        passthrough_headers: List<String, { limits::BRANCH_HEADERS_MAX }>,
        concurrent: bool,
    }
}

object! {
    /// A step of a saga or message.
    struct StepBody {
        action: String,
        compensate: String,
        /// The payload, where old clients put it.
        data: String,
    }
}

object! {
    /// A declared branch of a TCC (`confirm`, `cancel`) or XA (`url`).
    struct BranchBody {
        branch_id: String,
        confirm: String,
        cancel: String,
        url: String,
        data: String,
    }
}

object! {
    /// What abort carries, as far as it matters.
    struct AbortBody {
        gid: String,
        trans_type: String,
        rollback_reason: String,
    }
}

/// Reads the body of prepare or submit, where the headers of the request say nothing.
///
/// ```
/// let body = br#"{"gid":"order-1","trans_type":"saga","payloads":["{\"amount\":30}"],
///     "steps":[{"action":"http://stock/take","compensate":"http://stock/give"}]}"#;
/// let begin = escrow_wire::dtm::decode_begin(body)?;
/// assert_eq!(begin.branches[0].forward_url, "http://stock/take");
/// assert_eq!(begin.branches[0].payload, r#"{"amount":30}"#);
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`]; what is lenient and what is strict stands in [`crate::dtm`]. Rules that do not need the bytes, such
/// as a circle in the orders, are checked by whoever takes the request.
pub fn decode_begin(body: &[u8]) -> Result<Begin, DecodeError> {
    decode_begin_with(body, |_| None)
}

/// Reads the body of prepare or submit. `header` finds a header of the request by its name, for those that
/// `passthrough_headers` names: they are added to every branch call, before the `branch_headers`.
///
/// ```
/// let body = br#"{"gid":"order-1","trans_type":"tcc","passthrough_headers":["x-tenant"]}"#;
/// let begin = escrow_wire::dtm::decode_begin_with(body, |name| (name == "x-tenant").then(|| "t1".to_owned()))?;
/// assert_eq!(begin.options.branch_headers, [("x-tenant".to_owned(), "t1".to_owned())]);
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// See [`decode_begin`].
pub fn decode_begin_with(body: &[u8], header: impl Fn(&str) -> Option<String>) -> Result<Begin, DecodeError> {
    let body: TransactionBody = parse(body, Body::Transaction)?;
    let gid = parse_gid(&body.gid)?;
    let pattern = parse_pattern(&body.trans_type)?;
    check_protocol(&body.protocol)?;
    let branches = match pattern {
        Pattern::Saga | Pattern::Message => {
            steps(pattern, body.steps.entries("steps")?, body.payloads.entries("payloads")?)?
        }
        Pattern::Tcc | Pattern::Xa => declared(pattern, body.branches.entries("branches")?)?,
    };
    check_url("query_prepared", &body.query_prepared)?;
    let passed_on = body.passthrough_headers.entries("passthrough_headers")?;
    let branch_headers = headers(passed_on, body.branch_headers.entries("branch_headers")?, header)?;
    let custom = CustomData::parse(pattern, &body.custom_data)?;
    let business_key = business_key(&body.business_key, &branch_headers)?;
    let options = Options {
        request_timeout: seconds(body.request_timeout),
        retry_interval: seconds(body.retry_interval),
        timeout_to_fail: seconds(body.timeout_to_fail),
        retry_limit: body.retry_limit,
        branch_headers,
        concurrent: match pattern {
            Pattern::Saga => custom.concurrent, // Clients also send the top-level key with a saga; DTM does not look at it.
            Pattern::Tcc | Pattern::Xa | Pattern::Message => body.concurrent,
        },
        delay: custom.delay,
        wait_result: body.wait_result,
    };
    Ok(Begin {
        gid,
        pattern,
        branches,
        orders: custom.orders,
        options,
        check_back_url: body.query_prepared,
        custom_data: body.custom_data,
        business_key,
    })
}

/// Reads the body of abort: gid, transaction type and reason, whatever else it carries.
///
/// ```
/// let body = br#"{"gid":"order-1","trans_type":"tcc","rollback_reason":"no funds"}"#;
/// let abort = escrow_wire::dtm::decode_abort(body)?;
/// assert_eq!(abort.reason.as_deref(), Some("no funds"));
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`].
pub fn decode_abort(body: &[u8]) -> Result<Abort, DecodeError> {
    let body: AbortBody = parse(body, Body::Transaction)?;
    Ok(Abort {
        gid: parse_gid(&body.gid)?,
        pattern: parse_pattern(&body.trans_type)?,
        reason: parse_reason(body.rollback_reason),
    })
}

pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], body: Body) -> Result<T, DecodeError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(DecodeError::TooLarge { what: "the body", bytes: bytes.len(), max: BODY_BYTES_MAX });
    }
    serde_json::from_slice(bytes).map_err(|source| DecodeError::Malformed { body, source })
}

/// Line breaks and semicolons are no part of a gid, whatever a client put around it.
pub(super) fn parse_gid(text: &str) -> Result<Gid, DecodeError> {
    let gid = if text.contains(['\n', '\r', ';']) {
        Gid::parse(text.replace(['\n', '\r', ';'], ""))
    } else {
        Gid::parse(text)
    };
    gid.map_err(|source| match source {
        escrow_txn::InvalidId::Empty => DecodeError::NoGid,
        _ => DecodeError::InvalidGid { source },
    })
}

pub(super) fn parse_pattern(trans_type: &str) -> Result<Pattern, DecodeError> {
    match trans_type {
        "saga" => Ok(Pattern::Saga),
        "tcc" => Ok(Pattern::Tcc),
        "xa" => Ok(Pattern::Xa),
        "msg" => Ok(Pattern::Message),
        "workflow" => Err(DecodeError::NotSupported { what: "trans_type workflow" }),
        _ => Err(DecodeError::UnknownTransType { trans_type: trans_type.to_owned() }),
    }
}

pub(super) fn parse_branch_id(text: &str) -> Result<BranchId, DecodeError> {
    BranchId::parse(text).map_err(|source| DecodeError::InvalidBranchId { source })
}

pub(super) fn parse_business_key(text: &str) -> Result<Option<BusinessKey>, DecodeError> {
    match text {
        "" => Ok(None),
        _ => BusinessKey::parse(text).map(Some).map_err(|source| DecodeError::InvalidBusinessKey { source }),
    }
}

pub(super) fn parse_reason(mut reason: String) -> Option<String> {
    reason.truncate(cut(&reason, REASON_BYTES_MAX).len());
    (!reason.is_empty()).then_some(reason)
}

pub(super) fn seconds(number: u32) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(u64::from(number)))
}

fn check_protocol(protocol: &str) -> Result<(), DecodeError> {
    match protocol {
        "" | "http" => Ok(()),
        "grpc" => Err(DecodeError::NotSupported { what: "protocol grpc" }),
        "json-rpc" => Err(DecodeError::NotSupported { what: "protocol json-rpc" }),
        _ => Err(DecodeError::UnknownProtocol { protocol: protocol.to_owned() }),
    }
}

/// A URL that nothing can ever call would keep its transaction open for ever, so it is refused while somebody listens.
pub(super) fn check_url(key: &'static str, url: &str) -> Result<(), DecodeError> {
    let has_scheme = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if url.is_empty() || has_scheme("http://") && is_callable(url) {
        return Ok(());
    }
    if has_scheme("https://") {
        return Err(DecodeError::NotSupported { what: "an https:// address of a branch" });
    }
    Err(DecodeError::UnsupportedUrl { key, url: url.to_owned() })
}

/// Whether a call to this URL could be sent: it has a host, its port is a number, and all its characters are legal.
fn is_callable(url: &str) -> bool {
    let without_fragment = url.split_once('#').map_or(url, |(before, _)| before);
    let Ok(uri) = without_fragment.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let host_and_port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, after)| after);
    !authority.host().is_empty() && (authority.host() == host_and_port || authority.port_u16().is_some())
}

/// Steps with their payloads: those in `payloads` first; where there is none, what the step itself carries.
fn steps(pattern: Pattern, steps: Vec<StepBody>, payloads: Vec<String>) -> Result<Vec<Branch>, DecodeError> {
    if payloads.len() > steps.len() {
        return Err(DecodeError::PayloadWithoutStep { payloads: payloads.len(), steps: steps.len() });
    }
    let mut payloads = payloads.into_iter();
    let branch = |(index, step): (usize, StepBody)| {
        let backward_url = match pattern.backward_op() {
            Some(_) => step.compensate,
            None => String::new(),
        };
        let branch = Branch {
            id: BranchId::of_step(index),
            forward_url: step.action,
            backward_url,
            payload: Bytes::from(payloads.next().unwrap_or(step.data)),
        };
        // Who the subscribers of a topic are is known when the steps are stored.
        if pattern != Pattern::Message || branch.topic().is_none() {
            check_url("action", &branch.forward_url)?;
        }
        check_url("compensate", &branch.backward_url)?;
        Ok(branch)
    };
    steps.into_iter().enumerate().map(branch).collect()
}

fn declared(pattern: Pattern, branches: Vec<BranchBody>) -> Result<Vec<Branch>, DecodeError> {
    let branch = |body: BranchBody| {
        let id = parse_branch_id(&body.branch_id)?;
        let payload = Bytes::from(body.data);
        match pattern {
            Pattern::Xa => xa_branch(id, body.url, payload),
            _ => tcc_branch(id, body.confirm, body.cancel, payload),
        }
    };
    branches.into_iter().map(branch).collect()
}

/// A TCC branch; an empty URL is an operation that is done without a call.
pub(super) fn tcc_branch(id: BranchId, confirm: String, cancel: String, payload: Bytes) -> Result<Branch, DecodeError> {
    check_url("confirm", &confirm)?;
    check_url("cancel", &cancel)?;
    Ok(Branch { id, forward_url: confirm, backward_url: cancel, payload })
}

/// An XA branch: one URL for commit and rollback. Its payload is kept for people to see and never sent.
pub(super) fn xa_branch(id: BranchId, url: String, payload: Bytes) -> Result<Branch, DecodeError> {
    if url.is_empty() {
        return Err(DecodeError::NoXaUrl);
    }
    check_url("url", &url)?;
    Ok(Branch { id, forward_url: url.clone(), backward_url: url, payload })
}

/// The headers of every branch call: those of the request that are passed on, then the transaction's own. What describes the
/// request itself or its connection is not passed on.
fn headers(
    passed_on: Vec<String>,
    own: Vec<(String, String)>,
    header: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, DecodeError> {
    let is_own = |name: &str| own.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut headers: Vec<(String, String)> = Vec::new();
    for name in passed_on {
        let is_known = is_own(&name) || headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name));
        if let Some(value) = header(&name).filter(|_| !is_known && !is_reserved(&name)) {
            headers.push((name, value));
        }
    }
    headers.extend(own);
    check_headers(&headers)?;
    Ok(headers)
}

/// A header line that HTTP does not allow would make every call of the transaction fail; one that describes the connection
/// or the message would make another call of it.
fn check_headers(headers: &[(String, String)]) -> Result<(), DecodeError> {
    let (count, max) = (headers.len(), limits::BRANCH_HEADERS_MAX);
    if count > max {
        return Err(DecodeError::TooMany { what: "branch_headers with the passthrough_headers", count, max });
    }
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > BRANCH_HEADERS_BYTES_MAX {
        return Err(DecodeError::TooLarge { what: "branch_headers", bytes, max: BRANCH_HEADERS_BYTES_MAX });
    }
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_value_byte = |b: u8| b == b'\t' || (b >= b' ' && b != 0x7f);
    let is_allowed = |(name, value): &&(String, String)| {
        let is_legal = !name.is_empty() && name.bytes().all(is_name_byte) && value.bytes().all(is_value_byte);
        is_legal && !is_reserved(name)
    };
    match headers.iter().find(|header| !is_allowed(header)) {
        Some((name, _)) => Err(DecodeError::InvalidBranchHeader { name: name.clone() }),
        None => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    limits::RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// The key of the body, or else of the branch header: clients that cannot add a key to the body can add a header.
fn business_key(of_body: &str, headers: &[(String, String)]) -> Result<Option<BusinessKey>, DecodeError> {
    let of_header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(BUSINESS_KEY_HEADER));
    match (of_body, of_header) {
        ("", Some((_, value))) => parse_business_key(value),
        _ => parse_business_key(of_body),
    }
}

#[cfg(test)]
mod tests;
