//! Merchants' requests: checked, passed on to the payment-order service, answered with its answer, signed.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::caller::Caller;
use super::{App, check};
use crate::contract::CALL_TIMEOUT;
use crate::contract::merchants::{self, AttemptRequest, NewAttempt, NewPayment, PaymentRequest, RefundRequest};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::http::{CallError, Reply};
use crate::foundation::service::ServiceName;

/// `POST /v1/payments`
pub(super) async fn create_payment(State(app): State<App>, caller: Caller) -> Response {
    let outcome = async {
        let request: PaymentRequest = caller.json()?;
        check::payment(&request, &caller.merchant.merchant_no)?;
        let default_notify_url = caller.merchant.default_notify_url.clone();
        let new = NewPayment { request, default_notify_url, terms: caller.merchant.terms };
        let key = format!("{}-{}", new.request.merchant_no, new.request.merchant_order_no);
        post(&app, merchants::PAYMENTS, &key, &new).await
    };
    let outcome = outcome.await;
    caller.answer(outcome)
}

/// `POST /v1/payments/{pay_no}/attempts`
pub(super) async fn create_attempt(State(app): State<App>, Path(pay_no): Path<String>, caller: Caller) -> Response {
    let outcome = async {
        let request: AttemptRequest = caller.json()?;
        let key = caller.header(merchants::IDEMPOTENCY_KEY).filter(|key| check::is_number(key));
        let idem_key = key.ok_or(ApiError::BadRequest("IDEMPOTENCY_KEY"))?.to_owned();
        let path = with_number(merchants::ATTEMPTS, "{pay_no}", &pay_no)?;
        let key = format!("{pay_no}-{idem_key}");
        let new = NewAttempt { merchant_no: caller.merchant.merchant_no.clone(), idem_key, request };
        post(&app, &path, &key, &new).await
    };
    let outcome = outcome.await;
    caller.answer(outcome)
}

/// `GET /v1/payments/{pay_no}`
pub(super) async fn show_payment(State(app): State<App>, Path(pay_no): Path<String>, caller: Caller) -> Response {
    let outcome = async { get(&app, &with_number(merchants::PAYMENT, "{pay_no}", &pay_no)?, &caller).await };
    let outcome = outcome.await;
    caller.answer(outcome)
}

/// `POST /v1/refunds`
pub(super) async fn create_refund(State(app): State<App>, caller: Caller) -> Response {
    let outcome = async {
        let request: RefundRequest = caller.json()?;
        check::refund(&request, &caller.merchant.merchant_no)?;
        let key = format!("{}-{}", request.merchant_no, request.merchant_refund_no);
        post(&app, merchants::REFUNDS, &key, &request).await
    };
    let outcome = outcome.await;
    caller.answer(outcome)
}

/// `GET /v1/refunds/{merchant_refund_no}`
pub(super) async fn show_refund(
    State(app): State<App>,
    Path(merchant_refund_no): Path<String>,
    caller: Caller,
) -> Response {
    let outcome = async {
        let path = with_number(merchants::REFUND, "{merchant_refund_no}", &merchant_refund_no)?;
        get(&app, &path, &caller).await
    };
    let outcome = outcome.await;
    caller.answer(outcome)
}

/// A path with a number in its place; what is no number names nothing.
fn with_number(path: &str, place: &str, number: &str) -> ApiResult<String> {
    if check::is_number(number) { Ok(path.replace(place, number)) } else { Err(ApiError::NotFound) }
}

/// The idempotency key tells repeats of a call apart from other calls, wherever faults are injected or traces read.
async fn post<T: Serialize>(app: &App, path: &str, key: &str, payload: &T) -> ApiResult<(StatusCode, Bytes)> {
    let url = app.service.directory.url(ServiceName::Order, path);
    let mut headers = HeaderMap::new();
    headers.insert(merchants::IDEMPOTENCY_KEY, key.parse()?);
    let body = serde_json::to_vec(payload)?;
    pass_on(app.service.client.post(&url, headers, body.into(), CALL_TIMEOUT).await?)
}

async fn get(app: &App, path: &str, caller: &Caller) -> ApiResult<(StatusCode, Bytes)> {
    let query = format!("{path}?merchant_no={}", caller.merchant.merchant_no);
    let url = app.service.directory.url(ServiceName::Order, &query);
    pass_on(app.service.client.get(&url, CALL_TIMEOUT).await?)
}

/// The order service's answer is the gateway's, unless it says nothing about the outcome.
fn pass_on(reply: Reply) -> ApiResult<(StatusCode, Bytes)> {
    match reply.status.is_success() || reply.status.is_client_error() {
        true => Ok((reply.status, reply.body)),
        false => Err(CallError::Status { status: reply.status }.into()),
    }
}
