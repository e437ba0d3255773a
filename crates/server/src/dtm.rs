//! The DTM REST API: decode, ask the coordinator, encode. Nothing is decided here.

use std::num::NonZeroU32;

use escrow_engine::Coordinator;
use escrow_store::{Cursor, ListQuery, PAGE_MAX, TxnSummary};
use escrow_txn::Operator;
use escrow_wire::dtm::{self, DecodeError, ListedTxn, Reply};
use http::HeaderMap;

use crate::answer::{self, ApiError, Asked};
use crate::gid;

/// The operator of a forced stop whose request names none.
const NAMELESS_OPERATOR: &str = "dtm api";
/// The reason of a forced stop whose request gives none.
const NO_REASON: &str = "forced through /api/dtmsvr/forceStop";

pub(crate) fn new_gid() -> Reply {
    Reply::new_gid(&gid::new_gid())
}

pub(crate) async fn prepare(coordinator: &Coordinator, headers: &HeaderMap, body: &[u8]) -> Result<Reply, ApiError> {
    let begin = dtm::decode_begin_with(body, |name| header(headers, name))?;
    coordinator.prepare(begin).await.map_err(|error| ApiError::of_request(Asked::Prepare, &error))?;
    Ok(Reply::success())
}

pub(crate) async fn submit(coordinator: &Coordinator, headers: &HeaderMap, body: &[u8]) -> Result<Reply, ApiError> {
    let begin = dtm::decode_begin_with(body, |name| header(headers, name))?;
    let receipt = coordinator.submit(begin).await.map_err(|error| ApiError::of_request(Asked::Submit, &error))?;
    Ok(answer::submitted(&receipt))
}

pub(crate) async fn abort(coordinator: &Coordinator, body: &[u8]) -> Result<Reply, ApiError> {
    let abort = dtm::decode_abort(body)?;
    let receipt = coordinator.abort(abort).await.map_err(|error| ApiError::of_request(Asked::Abort, &error))?;
    Ok(answer::aborted(&receipt))
}

pub(crate) async fn register(coordinator: &Coordinator, body: &[u8]) -> Result<Reply, ApiError> {
    let registration = dtm::decode_registration(body)?;
    coordinator.register(registration).await.map_err(|error| ApiError::of_request(Asked::Register, &error))?;
    Ok(Reply::success())
}

pub(crate) async fn force_stop(coordinator: &Coordinator, body: &[u8]) -> Result<Reply, ApiError> {
    let stop = dtm::decode_gid_body(body)?;
    let operator = Operator {
        by: stop.operator.unwrap_or_else(|| NAMELESS_OPERATOR.to_owned()),
        reason: stop.reason.unwrap_or_else(|| NO_REASON.to_owned()),
    };
    coordinator.force_stop(stop.gid, operator).await.map_err(|error| ApiError::of_request(Asked::ForceStop, &error))?;
    Ok(Reply::success())
}

pub(crate) async fn query(coordinator: &Coordinator, query: &str) -> Result<Reply, ApiError> {
    let gid = dtm::decode_query(query)?;
    let found = coordinator.query(&gid).await.map_err(|error| ApiError::of_store(&error))?;
    Ok(dtm::encode_query(found.as_ref().map(|found| &found.value)))
}

pub(crate) async fn all(coordinator: &Coordinator, query: &str) -> Result<Reply, ApiError> {
    let all = dtm::decode_all(query)?;
    if let Some(gid) = &all.gid {
        let found = coordinator.query(gid).await.map_err(|error| ApiError::of_store(&error))?;
        return Ok(dtm::encode_all_of_gid(found.as_ref().map(|found| &found.value), &all.position));
    }
    let limit = all.limit.min(NonZeroU32::new(PAGE_MAX).unwrap_or(NonZeroU32::MIN));
    let list = ListQuery {
        after: position(&all.position)?,
        statuses: all.statuses,
        pattern: all.pattern,
        business_key: all.business_key,
        created_from: all.created_from,
        created_before: all.created_before,
        ..ListQuery::newest(limit)
    };
    let page = coordinator.list(&list).await.map_err(|error| ApiError::of_store(&error))?;
    let rows: Vec<_> = page.items.into_iter().map(listed).collect();
    Ok(dtm::encode_all(&rows, page.next.map(|cursor| cursor.to_text()).as_deref()))
}

pub(crate) fn version() -> Reply {
    Reply::version(concat!("v", env!("CARGO_PKG_VERSION")))
}

pub(crate) fn ping() -> Reply {
    Reply::pong()
}

/// A header of the request, to be passed on. One that is no text cannot be.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    String::from_utf8(headers.get(name)?.as_bytes().to_vec()).ok()
}

fn position(text: &str) -> Result<Option<Cursor>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    Cursor::parse(text).map(Some).map_err(|_| DecodeError::InvalidParameter {
        name: "position",
        value: text.to_owned(),
        expected: "one that a list returned",
    })
}

fn listed(summary: TxnSummary) -> ListedTxn {
    let TxnSummary { gid, pattern, status, created_at, updated_at, finished_at, next_run_at, business_key, attention } =
        summary;
    ListedTxn { gid, pattern, status, created_at, updated_at, finished_at, next_run_at, business_key, attention }
}
