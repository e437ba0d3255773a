//! A participant that outlives every coordinator: answers by the barrier's table and keeps books.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::any;

/// What one branch has done, by gid and branch id.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    rows: BTreeSet<String>,
    pub(super) forward: u32,
    pub(super) backward: u32,
}

type Books = Arc<Mutex<BTreeMap<(String, String), Book>>>;

pub(super) struct Participant {
    pub(super) address: SocketAddr,
    books: Books,
}

impl Participant {
    pub(super) async fn start() -> Self {
        let books = Books::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/{behaviour}", any(handle)).with_state(Arc::clone(&books));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, books }
    }

    pub(super) fn book(&self, gid: &str, branch: &str) -> Book {
        self.books.lock().unwrap().get(&(gid.to_owned(), branch.to_owned())).cloned().unwrap_or_default()
    }
}

/// `/ok` does what it is asked, `/refuse` refuses actions, `/shaky` loses every other first answer.
async fn handle(
    State(books): State<Books>,
    axum::extract::Path(behaviour): axum::extract::Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> StatusCode {
    let (op, key) = (query["op"].clone(), (query["gid"].clone(), query["branch_id"].clone()));
    let mut books = books.lock().unwrap();
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
