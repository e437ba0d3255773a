//! The DTM REST API: decode, ask the coordinator, encode. Nothing is decided here.

pub(crate) mod topics;

use std::num::NonZeroU32;

use escrow_engine::{Coordinator, RetryError};
use escrow_store::{Cursor, ListQuery, PAGE_MAX, TxnSummary};
use escrow_txn::{Begin, Gid, Operator, Txn};
use escrow_wire::dtm::{self, DecodeError, ListedTxn, Reply};
use http::HeaderMap;

use crate::answer::{self, ApiError, Asked};
use crate::body::Body;
use crate::gid;
use crate::large::Large;
use crate::sizes::Sizes;

/// The operator of a forced stop whose request names none.
const NAMELESS_OPERATOR: &str = "dtm api";
/// The reason of a forced stop whose request gives none.
const NO_REASON: &str = "forced through /api/dtmsvr/forceStop";
/// Transactions that one request makes go on at once.
const RESET_MAX: usize = 1_000;
/// What one row of a list comes to, roughly.
const LISTED_BYTES: usize = 256;

pub(crate) fn new_gid() -> Reply {
    Reply::new_gid(&gid::new_gid())
}

pub(crate) async fn prepare(
    coordinator: &Coordinator,
    sizes: &Sizes,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, ApiError> {
    let begin = decode_begin(headers, body).await?;
    sizes.check_begin(&begin)?;
    coordinator.prepare(begin).await.map_err(|error| ApiError::of_request(Asked::Prepare, &error))?;
    Ok(Reply::success())
}

pub(crate) async fn submit(
    coordinator: &Coordinator,
    sizes: &Sizes,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, ApiError> {
    let begin = decode_begin(headers, body).await?;
    sizes.check_begin(&begin)?;
    let receipt = coordinator.submit(begin).await.map_err(|error| ApiError::of_request(Asked::Submit, &error))?;
    Ok(answer::submitted(&receipt))
}

pub(crate) async fn abort(coordinator: &Coordinator, body: Body) -> Result<Reply, ApiError> {
    let abort = body.decode(dtm::decode_abort).await?;
    let receipt = coordinator.abort(abort).await.map_err(|error| ApiError::of_request(Asked::Abort, &error))?;
    Ok(answer::aborted(&receipt))
}

pub(crate) async fn register(coordinator: &Coordinator, sizes: &Sizes, body: Body) -> Result<Reply, ApiError> {
    let registration = body.decode(dtm::decode_registration).await?;
    sizes.check_registration(&registration)?;
    coordinator.register(registration).await.map_err(|error| ApiError::of_request(Asked::Register, &error))?;
    Ok(Reply::success())
}

pub(crate) async fn force_stop(coordinator: &Coordinator, body: Body) -> Result<Reply, ApiError> {
    let stop = body.decode(dtm::decode_gid_body).await?;
    let operator = Operator {
        by: stop.operator.unwrap_or_else(|| NAMELESS_OPERATOR.to_owned()),
        reason: stop.reason.unwrap_or_else(|| NO_REASON.to_owned()),
    };
    coordinator.force_stop(stop.gid, operator).await.map_err(|error| ApiError::of_request(Asked::ForceStop, &error))?;
    Ok(Reply::success())
}

/// One transaction goes on at once; a final one has nothing to go on with, which is no error.
pub(crate) async fn retry_now(coordinator: &Coordinator, body: Body) -> Result<Reply, ApiError> {
    let gid = body.decode(dtm::decode_gid_body).await?.gid;
    coordinator.retry_now(gid).await.map_err(|error| ApiError::of_request(Asked::RetryNow, &error))?;
    Ok(Reply::success())
}

/// Many that wait for long go on at once.
pub(crate) async fn retry_waiting(coordinator: &Coordinator, query: &str) -> Result<Reply, ApiError> {
    let reset = dtm::decode_reset(query)?;
    let longer_than = reset.longer_than.unwrap_or(coordinator.defaults().timeout_to_fail * 3);
    let limit = usize::try_from(reset.limit).unwrap_or(RESET_MAX).min(RESET_MAX);
    let retried = coordinator.retry_waiting(longer_than, limit).await.map_err(|error| ApiError::of_retry(&error))?;
    Ok(dtm::encode_reset(retried.count, retried.more))
}

/// What is on hold since a restore goes on: one transaction. One that is not on hold is no error.
pub(crate) async fn release(coordinator: &Coordinator, body: Body) -> Result<Reply, ApiError> {
    let gid = body.decode(dtm::decode_gid_body).await?.gid;
    released(coordinator.release_held(Some(&gid)).await)
}

/// The same for all of them: a route of its own, so that a request which forgets the gid releases nothing.
pub(crate) async fn release_all(coordinator: &Coordinator) -> Result<Reply, ApiError> {
    released(coordinator.release_held(None).await)
}

fn released(count: Result<u64, RetryError>) -> Result<Reply, ApiError> {
    let count = count.map_err(|error| ApiError::of_retry(&error))?;
    Ok(Reply { status: 200, body: format!(r#"{{"released_count":{count}}}"#).into() })
}

pub(crate) async fn query(coordinator: &Coordinator, large: &Large, query: &str) -> Result<Reply, ApiError> {
    show(coordinator, large, dtm::decode_query(query)?, dtm::encode_query).await
}

/// Loads a transaction and writes it. What it takes is known only when it is there, so each has its turn.
async fn show(
    coordinator: &Coordinator,
    large: &Large,
    gid: Gid,
    write: impl FnOnce(Option<&Txn>) -> Reply + Send + 'static,
) -> Result<Reply, ApiError> {
    let turn = large.turn().await?;
    let found = coordinator.query(&gid).await.map_err(|error| ApiError::of_store(&error))?;
    let found = found.map(|found| found.value);
    let bytes = found.as_ref().map_or(0, |txn| txn.def.bytes());
    // The reply will be longer: what has no room now need not be written.
    large.room().grow_to(bytes)?;
    Ok(turn.work(bytes, move || write(found.as_ref())).await)
}

pub(crate) async fn all(coordinator: &Coordinator, large: &Large, query: &str) -> Result<Reply, ApiError> {
    let all = dtm::decode_all(query)?;
    if let Some(gid) = all.gid {
        return show(coordinator, large, gid, move |found| dtm::encode_all_of_gid(found, &all.position)).await;
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
    let turn = large.turn().await?;
    let page = coordinator.list(&list).await.map_err(|error| ApiError::of_store(&error))?;
    let next = page.next.map(|cursor| cursor.to_text());
    let rows: Vec<_> = page.items.into_iter().map(listed).collect();
    let bytes = rows.len() * LISTED_BYTES;
    Ok(turn.work(bytes, move || dtm::encode_all(&rows, next.as_deref())).await)
}

async fn decode_begin(headers: HeaderMap, body: Body) -> Result<Begin, ApiError> {
    body.decode(move |bytes| dtm::decode_begin_with(bytes, |name| header(&headers, name))).await
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
