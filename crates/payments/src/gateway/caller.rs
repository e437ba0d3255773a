//! Who sends a request: its signature, checked over the bytes as they came, before anything is parsed.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::merchants::Merchant;
use super::{App, merchants, nonces};
use crate::foundation::api::{ApiError, ApiResult};
use crate::foundation::http::BODY_BYTES_MAX;
use crate::signing::request::Claims;
use crate::signing::{SignatureError, signed_answer};

/// A request of a known and active merchant, whose signature is right and whose nonce is new.
#[derive(Debug)]
pub(super) struct Caller {
    /// Who.
    pub(super) merchant: Merchant,
    headers: HeaderMap,
    body: Bytes,
    nonce: String,
    app: App,
}

impl FromRequest<App> for Caller {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await?;
        let claims = Claims::read(&head.headers).map_err(unauthorized)?;
        let merchant = merchants::find(app.service.db.readers(), &claims.merchant_no).await?;
        // An unknown merchant is told what a wrong signature is told.
        let merchant = merchant.ok_or(unauthorized(SignatureError::Mismatch))?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let now = app.service.clock.now();
        claims.verify(&merchant.secret, head.method.as_str(), path, &body, now.as_seconds()).map_err(unauthorized)?;
        if !merchant.active {
            return Err(ApiError::Forbidden("MERCHANT_NOT_ACTIVE"));
        }
        if !nonces::take(&app.service.db, &merchant.merchant_no, &claims.nonce, now).await? {
            return Err(ApiError::Unauthorized("NONCE_USED"));
        }
        Ok(Self { merchant, headers: head.headers, body, nonce: claims.nonce, app: app.clone() })
    }
}

fn unauthorized(error: SignatureError) -> ApiError {
    match error {
        SignatureError::Timestamp => ApiError::Unauthorized("TIMESTAMP"),
        _ => ApiError::Unauthorized("SIGNATURE"),
    }
}

impl Caller {
    /// What the caller sent.
    pub(super) fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        serde_json::from_slice(&self.body).map_err(|_| ApiError::BadRequest("BODY"))
    }

    /// A header as text, if it is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The signed answer: what came of the request, or its error.
    pub(super) fn answer(&self, outcome: ApiResult<(StatusCode, Bytes)>) -> Response {
        let (status, body) = outcome.unwrap_or_else(|error| {
            let (status, body) = error.answer();
            // Texts and a bool always make JSON.
            (status, serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default())
        });
        let now = self.app.service.clock.now().as_seconds();
        signed_answer(&self.merchant.secret, now, &self.nonce, status, body)
    }
}
