use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Secret;
use super::request::sign_answer;

/// A JSON answer with its signature, under the nonce of the request that it answers.
pub fn signed_answer(secret: &Secret, now: i64, nonce: &str, status: StatusCode, body: Bytes) -> Response {
    let mut headers: HeaderMap = sign_answer(secret, now, nonce, &body).into_iter().collect();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, headers, Body::from(body)).into_response()
}
