//! What requests are answered: DTM's bodies and status codes, with a stable code of our own for every error.
//!
//! The code of an error goes into the header `x-escrow-error`, because the bodies are DTM's to the letter; `docs/errors/`
//! has a page for each.

use std::time::Duration;

use bytes::Bytes;
use escrow_engine::{Receipt, RequestError, RetryError};
use escrow_store::{StoreError, error_chain};
use escrow_txn::{IllegalEvent, InvalidDefinition, RepeatRefused, Status};
use escrow_wire::dtm::{self, DecodeError, Reply};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::body::Unread;
use crate::codes::{self, Code};
use crate::guard::KeptOut;
use crate::large::NoRoom;
use crate::routes::Later;
use crate::topics::TopicError;

/// Where the code of an error stands.
const ERROR_CODE: HeaderName = HeaderName::from_static(codes::HEADER);
/// When to repeat what failed for reasons that pass.
const SOON: Duration = Duration::from_secs(1);
/// When to repeat what waits for an operator.
const ON_HOLD_FOR: Duration = Duration::from_secs(60);

/// Why a request has no good answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    reply: Reply,
    code: Code,
    retry_after: Option<Duration>,
}

/// What was asked of the coordinator: the same conflict is told in different words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Prepare,
    Submit,
    Abort,
    Register,
    ForceStop,
    RetryNow,
}

impl ApiError {
    /// Not done, and will not be: 409.
    fn refused(code: Code, message: &str) -> Self {
        Self { reply: Reply::failure(message), code, retry_after: None }
    }

    /// Not done, with a status of its own.
    fn error(status: u16, code: Code, message: &str) -> Self {
        Self { reply: Reply::error(status, message), code, retry_after: None }
    }

    /// Not done, or not known: 503, worth repeating.
    fn passing(code: Code, message: &str, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::error(503, code, message) }
    }

    /// What a request of the coordinator came to when it came to nothing.
    pub(crate) fn of_request(asked: Asked, error: &RequestError) -> Self {
        match error {
            RequestError::Invalid { source, .. } => Self::of_definition(source),
            RequestError::NotFound { gid } if asked == Asked::Register => {
                Self::refused(Code::NOT_FOUND, &dtm::cannot_register(gid))
            }
            RequestError::NoSubscribers { .. } => Self::error(500, Code::TOPIC_NOT_FOUND, "topic not found"),
            RequestError::NotFound { gid } => Self::error(500, Code::NOT_FOUND, &dtm::unknown_gid(gid)),
            RequestError::NotPrepared { gid, pattern } => {
                let message =
                    format!("no prepared {} with gid: {gid} found, cannot submit.", dtm::trans_type(*pattern));
                Self::refused(Code::NOT_PREPARED, &message)
            }
            RequestError::Repeat { gid, source } => match source {
                RepeatRefused::Pattern { stored, sent } => {
                    let (stored, sent) = (dtm::trans_type(*stored), dtm::trans_type(*sent));
                    let message = format!("gid: {gid} is a transaction of type '{stored}', not '{sent}'.");
                    Self::refused(Code::TYPE_MISMATCH, &message)
                }
                RepeatRefused::Status { status } => Self::refused(
                    Code::WRONG_STATUS,
                    &match asked {
                        Asked::Prepare => dtm::cannot_prepare(*status),
                        _ => dtm::cannot_submit(*status),
                    },
                ),
                RepeatRefused::Orders => {
                    let message = format!("gid: {gid}: {source}.");
                    Self::refused(Code::DEFINITION_MISMATCH, &message)
                }
                _ => {
                    let message = format!("gid: {gid} is a transaction with different steps or payloads.");
                    Self::refused(Code::DEFINITION_MISMATCH, &message)
                }
            },
            RequestError::Illegal { gid, source } => match source {
                IllegalEvent::Status { pattern, status, .. } => Self::refused(
                    Code::WRONG_STATUS,
                    &match asked {
                        Asked::Prepare => dtm::cannot_prepare(*status),
                        Asked::Submit => dtm::cannot_submit(*status),
                        Asked::Abort => dtm::cannot_abort(*pattern, *status),
                        Asked::Register => dtm::cannot_register(gid),
                        Asked::ForceStop => dtm::cannot_force_stop(*status),
                        Asked::RetryNow => source.to_string(),
                    },
                ),
                IllegalEvent::Limit(source) => Self::of_definition(source),
                other => Self::refused(Code::BRANCH_MISMATCH, &other.to_string()),
            },
            RequestError::Overloaded { retry_after } => {
                Self::passing(Code::OVERLOADED, &error.to_string(), *retry_after)
            }
            // Nothing is decided: neither 409, after which a client gives up for good, nor 425, which says that it goes on.
            RequestError::Held { gid } => {
                let message = format!(
                    "transaction {gid} is on hold since its store was restored: an operator has to release it, with \
                     escrow tx release {gid}"
                );
                Self::passing(Code::ON_HOLD, &message, ON_HOLD_FOR)
            }
            RequestError::ShuttingDown => Self::passing(Code::SHUTTING_DOWN, &error.to_string(), SOON),
            RequestError::Store { source, .. } => Self::of_store(source),
            RequestError::Interrupted { .. } => Self::passing(Code::INTERRUPTED, &error.to_string(), SOON),
            _ => Self::internal(),
        }
    }

    /// A request that no transaction can come of.
    fn of_definition(error: &InvalidDefinition) -> Self {
        match error {
            InvalidDefinition::NoCheckBack => Self::refused(Code::NO_CHECK_BACK, &error.to_string()),
            InvalidDefinition::DuplicateBranch { .. }
            | InvalidDefinition::BadOrder { .. }
            | InvalidDefinition::CircularOrders => Self::error(500, Code::INVALID_DEFINITION, &error.to_string()),
            _ => Self::error(413, Code::TOO_LARGE, &error.to_string()),
        }
    }

    /// What a question to the store came to when it came to nothing. The cause is logged and not told.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Corrupt { gid, .. } => {
                tracing::error!(%gid, error = error_chain(error), "a transaction's record cannot be read");
                Self::error(500, Code::CORRUPT_RECORD, &error.to_string())
            }
            StoreError::CorruptSetting { .. } => {
                tracing::error!(error = error_chain(error), "a setting cannot be read");
                Self::error(500, Code::CORRUPT_RECORD, &error.to_string())
            }
            StoreError::BadCursor { .. } => {
                Self::error(500, Code::INVALID_PARAMETER, "position: not one that a list returned")
            }
            StoreError::Busy => Self::passing(Code::STORE_BUSY, "the store has too much work at the moment", SOON),
            StoreError::Unknown { .. } => {
                tracing::warn!(error = error_chain(error), "it is not known whether a write landed");
                let message = "it is not known whether the request was carried out: repeat it";
                Self::passing(Code::STORE_UNKNOWN, message, SOON)
            }
            _ => {
                tracing::warn!(error = error_chain(error), "the store did not answer a request");
                Self::passing(Code::STORE_DOWN, "the store is not available", SOON)
            }
        }
    }

    /// Why an order to many was not carried out.
    pub(crate) fn of_retry(error: &RetryError) -> Self {
        match error {
            RetryError::Store(error) => Self::of_store(error),
            RetryError::Request(error) => Self::of_request(Asked::RetryNow, error),
            _ => Self::internal(),
        }
    }

    /// Why a topic was not changed.
    pub(crate) fn of_topic(error: &TopicError) -> Self {
        let code = match error {
            TopicError::AlreadySubscribed => Code::ALREADY_SUBSCRIBED,
            TopicError::NoSuchTopic | TopicError::NothingToDelete => Code::TOPIC_NOT_FOUND,
            TopicError::NoSubscribers | TopicError::NotSubscribed => Code::NOT_SUBSCRIBED,
            TopicError::Changed { .. } => Code::TOPIC_CHANGED,
            TopicError::TooManySubscribers | TopicError::TooLarge => {
                return Self::error(413, Code::TOO_LARGE, &error.to_string());
            }
            TopicError::Store(error) => return Self::of_store(error),
        };
        Self::error(500, code, &error.to_string())
    }

    pub(crate) fn too_many_topics() -> Self {
        Self::error(
            413,
            Code::TOO_LARGE,
            "there are more topics than one reply may hold: walk through them with scanKV",
        )
    }

    pub(crate) fn of_guard(kept_out: KeptOut) -> Self {
        match kept_out {
            KeptOut::BadHost => Self::error(400, Code::BAD_HOST, "the request needs one Host header that names a host"),
            KeptOut::UnknownHost => Self::error(
                421,
                Code::UNKNOWN_HOST,
                "this host is not one of the coordinator's: add it to allowed_hosts if it should be",
            ),
            KeptOut::ForeignOrigin => {
                Self::error(403, Code::FOREIGN_ORIGIN, "web pages of other origins may not talk to the coordinator")
            }
        }
    }

    pub(crate) fn of_body(unread: Unread, bytes_max: usize) -> Self {
        match unread {
            Unread::TooLarge => {
                Self::error(413, Code::TOO_LARGE, &format!("the body is larger than {bytes_max} bytes"))
            }
            Unread::TooSlow => Self::error(408, Code::TOO_SLOW, "the body did not come in time"),
            Unread::NoRoom => NoRoom.into(),
            Unread::Broken => Self::error(400, Code::BROKEN_BODY, "the body broke off"),
        }
    }

    pub(crate) fn url_too_long(bytes_max: usize) -> Self {
        Self::error(414, Code::TOO_LARGE, &format!("the path and query are longer than {bytes_max} bytes"))
    }

    pub(crate) fn too_many_headers(max: usize) -> Self {
        Self::error(431, Code::TOO_LARGE, &format!("the request has more than {max} header lines"))
    }

    pub(crate) fn not_yet(later: Later) -> Self {
        Self::error(501, Code::NOT_SUPPORTED, &format!("{} is not supported yet", later.what()))
    }

    pub(crate) fn internal() -> Self {
        Self::error(500, Code::INTERNAL, "something went wrong inside the coordinator")
    }
}

impl From<NoRoom> for ApiError {
    fn from(_: NoRoom) -> Self {
        Self::passing(Code::OVERLOADED, "there are too many large requests and replies at the moment", SOON)
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self { reply: Reply::from(&error), code: Code::from(&error), retry_after: None }
    }
}

/// What a submit came to: done, on its way, turned back, or still unfinished.
pub(crate) fn submitted(receipt: &Receipt) -> Reply {
    match receipt {
        Receipt::Accepted | Receipt::Ended { status: Status::Committed, .. } => Reply::success(),
        Receipt::Ended { reason, .. } => Reply::failure(reason.as_deref().unwrap_or("the transaction was rolled back")),
        Receipt::Waiting { status: Status::Aborting, reason } => {
            Reply::failure(reason.as_deref().unwrap_or("the transaction is being rolled back"))
        }
        Receipt::Waiting { .. } => Reply::ongoing("the transaction is not finished yet"),
    }
}

/// What an abort came to.
pub(crate) fn aborted(receipt: &Receipt) -> Reply {
    match receipt {
        Receipt::Accepted | Receipt::Ended { status: Status::Aborted, .. } => Reply::success(),
        Receipt::Ended { reason, .. } => Reply::failure(reason.as_deref().unwrap_or("the transaction ended otherwise")),
        Receipt::Waiting { .. } => Reply::ongoing("the transaction is not rolled back yet"),
    }
}

pub(crate) fn of_reply(reply: Reply) -> Response<Full<Bytes>> {
    respond(reply.status, Reply::CONTENT_TYPE, reply.body)
}

pub(crate) fn of_error(error: ApiError) -> Response<Full<Bytes>> {
    let mut response = of_reply(error.reply);
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(error.code.as_str()));
    if let Some(after) = error.retry_after {
        // Rounded up: whoever comes back too early is refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A response with this content.
pub(crate) fn respond(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
