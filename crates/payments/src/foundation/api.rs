//! How services answer requests that are no branch calls: JSON, or an error with a code from the platform's list.
//!
//! In a handler a plain `?` means *unavailable, try again*; anything final takes a word.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

/// A request that was not done. The codes are part of the interface; the cause of an unavailable one is only logged.
#[derive(Debug)]
pub enum ApiError {
    /// 400: the request makes no sense.
    BadRequest(&'static str),
    /// 401: the sender is not who it says.
    Unauthorized(&'static str),
    /// 403: the sender may not do this.
    Forbidden(&'static str),
    /// 404: there is no such thing, or it is somebody else's.
    NotFound,
    /// 409: it will never be done like this.
    Conflict(&'static str),
    /// 503: nothing was changed, or nobody knows. Try again.
    Unavailable(Box<dyn Error + Send + Sync>),
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(code) | Self::Unauthorized(code) | Self::Forbidden(code) | Self::Conflict(code) => code,
            Self::NotFound => "NOT_FOUND",
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "the request cannot be understood",
            Self::Unauthorized(_) => "the request is not signed as it has to be",
            Self::Forbidden(_) => "the sender may not do this",
            Self::NotFound => "there is no such thing",
            Self::Conflict(_) => "the request contradicts what stands",
            Self::Unavailable(_) => "not now; the same request may succeed later",
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ApiError {
    fn from(source: E) -> Self {
        Self::Unavailable(Box::new(source))
    }
}

impl ApiError {
    /// The answer that a caller gets; the cause of an unavailable one goes to the log.
    pub fn answer(&self) -> (StatusCode, ErrorBody) {
        if let Self::Unavailable(cause) = self {
            tracing::warn!(cause = %super::branch::Chain(cause.as_ref()), "request ended unavailable");
        }
        let retryable = matches!(self, Self::Unavailable(_));
        let body = ErrorBody { code: self.code().to_owned(), message: self.message().to_owned(), retryable };
        (self.status(), body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = self.answer();
        (status, Json(body)).into_response()
    }
}
