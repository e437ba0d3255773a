//! A participant that answers as its path begins, and remembers every call.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::routing::any;

/// One call, by the coordinator or by the client itself.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) gid: String,
    pub(super) trans_type: String,
    /// Method, path, operation, branch and body.
    pub(super) text: String,
    /// The header `x-tenant`.
    pub(super) tenant: Option<String>,
}

#[derive(Default)]
struct Memory {
    calls: Vec<Call>,
    /// Gids that `/late` has put off once.
    put_off: HashSet<String>,
}

#[derive(Clone)]
pub(super) struct Participant {
    pub(super) address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

impl Participant {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let participant = Self { address: listener.local_addr().unwrap(), memory: Arc::default() };
        let app = Router::new().route("/{answer}/{name}", any(handle)).with_state(participant.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        participant
    }

    /// Every call with this gid, in the order in which they came.
    pub(super) fn calls(&self, gid: &str) -> Vec<Call> {
        self.memory.lock().unwrap().calls.iter().filter(|call| call.gid == gid).cloned().collect()
    }
}

async fn handle(
    State(participant): State<Participant>,
    method: Method,
    Path((answer, name)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let (gid, trans_type) = (query["gid"].clone(), query["trans_type"].clone());
    if method == Method::POST {
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    }
    // Clients before 1.5 say `branch_type` when they call try.
    let op = ["op", "branch_type"].iter().filter_map(|key| Some(format!("{key}={}", query.get(*key)?)));
    let op = op.collect::<Vec<_>>().join(" ");
    let text = format!("{method} /{answer}/{name} {op} {} {body}", query["branch_id"]);
    let tenant = headers.get("x-tenant").map(|value| value.to_str().unwrap().to_owned());

    let mut memory = participant.memory.lock().unwrap();
    memory.calls.push(Call { gid: gid.clone(), trans_type, text, tenant });
    match answer.as_str() {
        "done" => (StatusCode::OK, r#"{"dtm_result":"SUCCESS"}"#),
        "refused" => (StatusCode::CONFLICT, "no funds"),
        "refused-in-200" => (StatusCode::OK, r#"{"dtm_result":"FAILURE","message":"no funds"}"#),
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, "no idea"),
        "late" if memory.put_off.insert(gid) => (StatusCode::TOO_EARLY, "not yet"),
        "late" => (StatusCode::OK, ""),
        _ => (StatusCode::NOT_FOUND, ""),
    }
}
