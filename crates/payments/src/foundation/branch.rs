//! How a participant is called and answers, by DTM's protocol.
//!
//! In a handler a plain `?` means *unknown, ask me again*; refusing takes a word: `return Err(refuse("ACCOUNT_CLOSED"))`.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::http::{CallError, HttpClient, Reply};
use crate::barrier::BarrierOp;
use crate::ids::Gid;

/// Which call this is: the four parameters that every branch call carries in its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchContext {
    /// The global transaction.
    pub gid: Gid,
    /// Its type: `tcc`, `saga`, `msg`.
    pub trans_type: String,
    /// The branch within it.
    pub branch_id: String,
    /// What is asked.
    pub op: BarrierOp,
}

impl BranchContext {
    /// A Try that an initiator is about to call.
    pub fn tcc_try(gid: &Gid, branch_id: &str) -> Self {
        Self { gid: gid.clone(), trans_type: "tcc".to_owned(), branch_id: branch_id.to_owned(), op: BarrierOp::Try }
    }

    /// `url` with this context in its query.
    pub fn url(&self, url: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("branch_id", &self.branch_id);
        query.append_pair("gid", self.gid.as_str());
        query.append_pair("op", self.op.as_str());
        query.append_pair("trans_type", &self.trans_type);
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}{}", query.finish())
    }
}

#[derive(Deserialize)]
struct RawContext {
    gid: String,
    trans_type: String,
    branch_id: String,
    op: String,
}

impl<S: Send + Sync> FromRequestParts<S> for BranchContext {
    /// A call without a context is a bug of the caller. It is answered 400, which a coordinator takes for unknown.
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let missing = (StatusCode::BAD_REQUEST, "gid, trans_type, branch_id and op are needed in the query");
        let Ok(Query(raw)) = Query::<RawContext>::from_request_parts(parts, state).await else {
            return Err(missing);
        };
        let op = BarrierOp::parse(&raw.op).ok_or((StatusCode::BAD_REQUEST, "unknown op"))?;
        Ok(Self { gid: Gid::new(raw.gid), trans_type: raw.trans_type, branch_id: raw.branch_id, op })
    }
}

/// What a branch handler returns.
pub type BranchResult = Result<Done, BranchError>;

/// The branch did what it was asked, now or before. Answered 200.
#[derive(Debug, Clone, Copy)]
pub struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        Json(json!({"dtm_result": "SUCCESS"})).into_response()
    }
}

/// Why a branch is not done. Any error turns into `Unknown`, so this is no error type itself.
#[derive(Debug)]
pub enum BranchError {
    /// It will never do this; nothing was changed. Answered 409, with the code.
    Refused(&'static str),
    /// Not yet: ask again at the same pace. Answered 425, with the reason.
    InProgress(&'static str),
    /// Nobody knows. Answered 500; the cause goes to the log, not to the caller.
    Unknown(Box<dyn Error + Send + Sync>),
}

/// The word it takes to refuse: this branch will never do what it was asked, and has changed nothing.
pub fn refuse(code: &'static str) -> BranchError {
    BranchError::Refused(code)
}

/// Not yet: the coordinator asks again at the base interval.
pub fn in_progress(reason: &'static str) -> BranchError {
    BranchError::InProgress(reason)
}

impl<E: Error + Send + Sync + 'static> From<E> for BranchError {
    fn from(source: E) -> Self {
        Self::Unknown(Box::new(source))
    }
}

impl IntoResponse for BranchError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(code) => {
                let body = json!({"dtm_result": "FAILURE", "code": code, "message": code});
                (StatusCode::CONFLICT, Json(body)).into_response()
            }
            Self::InProgress(reason) => {
                let body = json!({"dtm_result": "ONGOING", "message": reason});
                (StatusCode::TOO_EARLY, Json(body)).into_response()
            }
            Self::Unknown(cause) => {
                tracing::warn!(cause = %Chain(cause.as_ref()), "branch call ended unknown");
                let body = json!({"message": "unknown, ask again"});
                (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
            }
        }
    }
}

/// Shows an error with its causes, in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What a called branch answered.
#[derive(Debug)]
pub enum BranchOutcome {
    /// It is done.
    Done,
    /// It refused for good; the code, where the answer carries one.
    Refused(Option<String>),
    /// It works on it.
    InProgress,
    /// It may have done it or not.
    Unknown(CallError),
}

/// Calls a branch, as an initiator calls a Try.
pub async fn call_branch<T: Serialize + Sync>(
    client: &HttpClient,
    url: &str,
    context: &BranchContext,
    payload: &T,
    timeout: Duration,
) -> BranchOutcome {
    match client.post_json(&context.url(url), payload, timeout).await {
        Ok(reply) => outcome_of(reply),
        Err(error) => BranchOutcome::Unknown(error),
    }
}

fn outcome_of(reply: Reply) -> BranchOutcome {
    #[derive(Deserialize)]
    struct Refusal {
        code: Option<String>,
    }
    match reply.status {
        StatusCode::OK => BranchOutcome::Done,
        StatusCode::TOO_EARLY => BranchOutcome::InProgress,
        StatusCode::CONFLICT => {
            let refusal: Option<Refusal> = serde_json::from_slice(&reply.body).ok();
            BranchOutcome::Refused(refusal.and_then(|refusal| refusal.code))
        }
        status => BranchOutcome::Unknown(CallError::Status { status }),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::post;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("disk full: SECRET")]
    struct DiskFull;

    /// What a handler's answer looks like from outside.
    async fn answer_of(
        result: impl Fn() -> BranchResult + Clone + Send + Sync + 'static,
        query: &str,
    ) -> (u16, String) {
        let handler = move |_: BranchContext| async move { result() };
        let request = Request::post(format!("/work{query}")).body(Body::empty()).unwrap();
        let reply = Router::new().route("/work", post(handler)).oneshot(request).await.unwrap();
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    const QUERY: &str = "?gid=g1&trans_type=tcc&branch_id=02&op=try";

    #[tokio::test]
    async fn each_outcome_has_its_status_and_a_question_mark_means_unknown() {
        let done = answer_of(|| Ok(Done), QUERY).await;
        assert_eq!(done, (200, r#"{"dtm_result":"SUCCESS"}"#.to_owned()));
        let (status, body) = answer_of(|| Err(refuse("ACCOUNT_CLOSED")), QUERY).await;
        assert_eq!(status, 409);
        assert!(body.contains(r#""code":"ACCOUNT_CLOSED""#) && body.contains(r#""dtm_result":"FAILURE""#), "{body}");
        let (status, body) = answer_of(|| Err(in_progress("not posted yet")), QUERY).await;
        assert_eq!(status, 425);
        assert!(body.contains(r#""dtm_result":"ONGOING""#), "{body}");
        let (status, body) = answer_of(|| Err(DiskFull)?, QUERY).await;
        assert_eq!(status, 500);
        assert!(!body.contains("SECRET") && !body.contains("FAILURE"), "{body}");
    }

    #[tokio::test]
    async fn a_call_without_its_context_is_no_refusal() {
        for query in ["", "?gid=g1&trans_type=tcc&branch_id=02", "?gid=g1&trans_type=tcc&branch_id=02&op=TRY"] {
            let (status, body) = answer_of(|| Ok(Done), query).await;
            assert_eq!(status, 400, "{query}");
            assert!(!body.contains("FAILURE") && !body.contains("ONGOING"), "{body}");
        }
    }

    #[test]
    fn a_context_survives_the_address_it_is_put_into() {
        let context = BranchContext::tcc_try(&Gid::new("pay & settle/1"), "02");
        assert_eq!(context.url("http://h/p"), "http://h/p?branch_id=02&gid=pay+%26+settle%2F1&op=try&trans_type=tcc");
        let url = context.url("/p?x=1");
        let (mut parts, ()) = Request::get(url).body(()).unwrap().into_parts();
        let read = BranchContext::from_request_parts(&mut parts, &());
        let read = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read);
        assert_eq!(read.unwrap(), context);
    }

    #[test]
    fn answers_are_read_by_their_status() {
        let reply = |status: u16, body: &'static str| Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: Default::default(),
            body: body.into(),
        };
        assert!(matches!(outcome_of(reply(200, "")), BranchOutcome::Done));
        let refused = outcome_of(reply(409, r#"{"code":"INJECTED"}"#));
        assert!(matches!(refused, BranchOutcome::Refused(Some(code)) if code == "INJECTED"));
        assert!(matches!(outcome_of(reply(409, "no JSON")), BranchOutcome::Refused(None)));
        assert!(matches!(outcome_of(reply(425, "")), BranchOutcome::InProgress));
        for status in [201, 302, 400, 404, 429, 500, 503] {
            assert!(matches!(outcome_of(reply(status, "")), BranchOutcome::Unknown(_)), "{status}");
        }
    }
}
