//! A participant that outlives every coordinator: answers by the barrier's table and keeps books.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::any;
use tokio::sync::watch;

/// What one branch has done, by gid and branch id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    rows: BTreeSet<String>,
    pub(crate) forward: u32,
    pub(crate) backward: u32,
}

/// Where calls wait until it is opened for ever.
struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

#[derive(Default)]
struct Shared {
    books: Mutex<BTreeMap<(String, String), Book>>,
    calls: watch::Sender<u64>,
    gate: Gate,
}

pub(crate) struct Participant {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Participant {
    pub(crate) async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/{behaviour}", any(handle)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    /// How often it was called, by whomever.
    pub(crate) fn calls(&self) -> u64 {
        *self.shared.calls.borrow()
    }

    /// From now on it answers what it is asked at `/gated`.
    pub(crate) fn open_gate(&self) {
        self.shared.gate.0.send_replace(true);
    }

    /// Waits until it was called so often.
    pub(crate) async fn wait_for_calls(&self, count: u64, patience: Duration) {
        let mut calls = self.shared.calls.subscribe();
        let waited = tokio::time::timeout(patience, calls.wait_for(|calls| *calls >= count)).await;
        waited.expect("the calls come").unwrap();
    }

    pub(crate) fn book(&self, gid: &str, branch: &str) -> Book {
        self.shared.books.lock().unwrap().get(&(gid.to_owned(), branch.to_owned())).cloned().unwrap_or_default()
    }
}

/// `/ok` does what it is asked, `/refuse` refuses actions, `/shaky` loses every other first answer, `/gated` is silent
/// until the gate is opened.
async fn handle(
    State(shared): State<Arc<Shared>>,
    axum::extract::Path(behaviour): axum::extract::Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> StatusCode {
    let (op, key) = (query["op"].clone(), (query["gid"].clone(), query["branch_id"].clone()));
    shared.calls.send_modify(|calls| *calls += 1);
    if behaviour == "gated" {
        shared.gate.0.subscribe().wait_for(|is_open| *is_open).await.unwrap();
    }
    let mut books = shared.books.lock().unwrap();
    let book = books.entry(key).or_default();
    let origin = match op.as_str() {
        "compensate" => Some("action"),
        "cancel" => Some("try"),
        _ => None,
    };
    if let Some(origin) = origin {
        let empty = book.rows.insert(origin.to_owned());
        if book.rows.insert(op) && !empty {
            book.backward += 1;
        }
        return StatusCode::OK;
    }
    if behaviour == "refuse" && op == "action" && !book.rows.contains("action") {
        return StatusCode::CONFLICT;
    }
    if !book.rows.insert(op.clone()) {
        return StatusCode::OK;
    }
    if op != "try" {
        book.forward += 1;
    }
    // Done, and the answer is lost.
    if behaviour == "shaky" { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
}
