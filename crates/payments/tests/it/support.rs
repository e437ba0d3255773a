//! What the tests stand on: a platform whose coordinator nobody needs, and calls as a coordinator makes them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::IntoResponse;
use escrow_payments::barrier::BarrierOp;
use escrow_payments::foundation::branch::BranchContext;
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::faults::Faults;
use escrow_payments::foundation::http::{CallError, HttpClient, Reply, Server, bind};
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::Gid;
use escrow_payments::platform::{Platform, PlatformConfig};
use http::StatusCode;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, Connection, Row, TypeInfo, ValueRef};
use tokio::sync::Notify;

/// Longer than anything a test waits for on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A port where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// A running platform in a directory of its own.
pub(crate) struct Stage {
    pub(crate) platform: Platform,
    pub(crate) client: HttpClient,
    dir: tempfile::TempDir,
}

impl Stage {
    /// Sound and quiet.
    pub(crate) async fn open() -> Self {
        Self::open_with(|config| config).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(PlatformConfig) -> PlatformConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = change(PlatformConfig::reference(dir.path().to_owned(), NOBODY.to_owned(), 1));
        Self { platform: Platform::start(config).await.unwrap(), client: HttpClient::new(), dir }
    }

    /// Calls a branch once and returns whatever comes back.
    pub(crate) async fn try_call<T: Serialize>(
        &self,
        service: ServiceName,
        path: &str,
        context: &BranchContext,
        payload: &T,
    ) -> Result<Reply, CallError> {
        let url = context.url(&self.platform.directory().url(service, path));
        self.client.post_json(&url, payload, PATIENCE).await
    }

    /// Calls a branch and returns the status and the code of its answer.
    pub(crate) async fn call<T: Serialize>(
        &self,
        service: ServiceName,
        path: &str,
        context: &BranchContext,
        payload: &T,
    ) -> (u16, Option<String>) {
        let reply = self.try_call(service, path, context, payload).await.unwrap();
        let body: serde_json::Value = reply.json().unwrap_or_default();
        (reply.status.as_u16(), body["code"].as_str().map(str::to_owned))
    }

    pub(crate) async fn rows(&self, db: DbName, sql: &str) -> Vec<String> {
        rows(self.dir.path(), db, sql).await
    }

    /// Runs a statement behind the service's back.
    pub(crate) async fn meddle(&self, db: DbName, sql: &str) {
        let mut connection = connect(self.dir.path(), db).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
}

/// The rows of a query as text, columns separated by one space.
pub(crate) async fn rows(dir: &Path, db: DbName, sql: &str) -> Vec<String> {
    let mut connection = connect(dir, db).await;
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(text).collect()
}

async fn connect(dir: &Path, db: DbName) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(db.path_in(dir)).busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await.unwrap()
}

fn text(row: &SqliteRow) -> String {
    let cell = |column: &sqlx::sqlite::SqliteColumn| {
        let value = row.try_get_raw(column.ordinal()).unwrap();
        match (value.is_null(), value.type_info().name()) {
            (true, _) => "-".to_owned(),
            (_, "INTEGER") => row.get::<i64, _>(column.ordinal()).to_string(),
            _ => row.get::<String, _>(column.ordinal()),
        }
    };
    row.columns().iter().map(cell).collect::<Vec<_>>().join(" ")
}

/// The context of a call.
pub(crate) fn branch(trans_type: &str, gid: &str, branch_id: &str, op: BarrierOp) -> BranchContext {
    let (trans_type, branch_id) = (trans_type.to_owned(), branch_id.to_owned());
    BranchContext { gid: Gid::new(gid), trans_type, branch_id, op }
}

/// Answer *done*.
pub(crate) const DONE: (u16, Option<String>) = (200, None);
/// Answer *not yet*.
pub(crate) const IN_PROGRESS: (u16, Option<String>) = (425, None);
/// Answer *unknown*.
pub(crate) const UNKNOWN: (u16, Option<String>) = (500, None);

/// Answer *refused*, with this code.
pub(crate) fn refused(code: &str) -> (u16, Option<String>) {
    (409, Some(code.to_owned()))
}

/// A coordinator that remembers what it was asked and answers what it was told to.
pub(crate) struct FakeCoordinator {
    pub(crate) url: String,
    state: Arc<Mutex<FakeState>>,
    asked: Arc<Notify>,
    _server: Server,
}

#[derive(Default)]
struct FakeState {
    asked: Vec<(String, serde_json::Value)>,
    /// Answers to come, before the default one.
    answers: VecDeque<(u16, serde_json::Value)>,
    /// The status that a query shows; `None`: unknown gid.
    status: Option<&'static str>,
}

impl FakeCoordinator {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(FakeState::default()));
        let asked = Arc::new(Notify::new());
        let answer = {
            let (state, asked) = (state.clone(), asked.clone());
            async move |request: axum::extract::Request| {
                let reply = answer(state, request).await;
                asked.notify_waiters();
                reply
            }
        };
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", bound.addr());
        let server = bound.serve("coordinator", axum::Router::new().fallback(answer), Faults::none());
        Self { url, state, asked, _server: server }
    }

    /// The next calls that change something are answered like this; the ones after them with success.
    pub(crate) fn will_answer(&self, status: u16, body: serde_json::Value) {
        self.state.lock().unwrap().answers.push_back((status, body));
    }

    /// What queries show from now on.
    pub(crate) fn shows(&self, status: &'static str) {
        self.state.lock().unwrap().status = Some(status);
    }

    /// Waits until it has been asked to do this with that transaction, and returns the body of the first such call.
    pub(crate) async fn when_asked(&self, route: &str, gid: &str) -> serde_json::Value {
        let waited = async {
            loop {
                let next = self.asked.notified();
                tokio::pin!(next);
                next.as_mut().enable();
                let found = self.asked().into_iter().find(|(path, body)| path.ends_with(route) && body["gid"] == gid);
                match found {
                    Some((_, body)) => return body,
                    None => next.await,
                }
            }
        };
        let timeout = tokio::time::timeout(PATIENCE, waited).await;
        timeout.unwrap_or_else(|_| panic!("never asked to {route} {gid}: {:?}", self.asked()))
    }

    /// Path and body of every call so far, oldest first.
    pub(crate) fn asked(&self) -> Vec<(String, serde_json::Value)> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn answer(state: Arc<Mutex<FakeState>>, request: axum::extract::Request) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut state = state.lock().unwrap();
    let asked = if body.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&body).unwrap() };
    state.asked.push((head.uri.to_string(), asked));
    let (status, body) = if head.uri.path().ends_with("/query") {
        let transaction = state.status.map(|status| serde_json::json!({ "status": status }));
        (200, serde_json::json!({ "transaction": transaction, "branches": [] }))
    } else {
        state.answers.pop_front().unwrap_or_else(|| (200, serde_json::json!({"dtm_result": "SUCCESS"})))
    };
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}
