//! Reading a coordinator's records over a real socket.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::audit::{RecordsError, fetch, list};
use crate::foundation::faults::Faults;
use crate::foundation::http::{HttpClient, Server, bind};

type Parameters = Query<HashMap<String, String>>;

async fn serve(router: Router) -> (Server, String) {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", bound.addr());
    (bound.serve("coordinator", router, Faults::none()), url)
}

fn transaction(gid: &str) -> Value {
    json!({"id": 1, "gid": gid, "trans_type": "tcc", "status": "succeed", "create_time": "2026-01-05T00:00:00Z"})
}

/// Two pages of one row each, and a gid that has to be escaped in a query.
fn two_pages() -> Router {
    let all = async |Query(asked): Parameters| {
        Json(match asked["position"].as_str() {
            "" => json!({"transactions": [transaction("a b&c")], "next_position": "p+1"}),
            "p+1" => json!({"transactions": [transaction("z")], "next_position": ""}),
            other => panic!("unknown position {other}"),
        })
    };
    let query = async |Query(asked): Parameters| {
        let confirm = json!({"branch_id": "01", "op": "confirm", "url": "http://rm/confirm", "status": "succeed"});
        let cancel = json!({"branch_id": "01", "op": "cancel", "status": "prepared"});
        Json(json!({"transaction": transaction(&asked["gid"]), "branches": [cancel, confirm]}))
    };
    Router::new().route("/api/dtmsvr/all", get(all)).route("/api/dtmsvr/query", get(query))
}

#[tokio::test]
async fn records_are_read_page_by_page_with_their_operations() {
    let (_server, url) = serve(two_pages()).await;
    let records = fetch(&HttpClient::new(), &url).await.unwrap();
    let gids: Vec<_> = records.iter().map(|record| record.gid.as_str()).collect();
    assert_eq!(gids, ["a b&c", "z"]);
    assert!(records.iter().all(|record| record.is_final()));
    let operations: Vec<_> = records[0].operations.iter().map(|op| (op.op.as_str(), op.url.as_str())).collect();
    assert_eq!(operations, [("cancel", ""), ("confirm", "http://rm/confirm")]);
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_an_error_and_no_empty_list() {
    let broken = Router::new().route("/api/dtmsvr/all", get(async || StatusCode::INTERNAL_SERVER_ERROR));
    let (_server, url) = serve(broken).await;
    let error = list(&HttpClient::new(), &url).await.unwrap_err();
    assert!(matches!(error, RecordsError::Status { status: StatusCode::INTERNAL_SERVER_ERROR, .. }), "{error}");

    let odd = Router::new().route("/api/dtmsvr/all", get(async || "{\"transactions\":7}"));
    let (_server, url) = serve(odd).await;
    let error = list(&HttpClient::new(), &url).await.unwrap_err();
    assert!(matches!(error, RecordsError::Shape { .. }), "{error}");
}

#[tokio::test]
async fn a_listed_record_that_is_unknown_is_an_error() {
    let vanished = Router::new()
        .route("/api/dtmsvr/all", get(async || Json(json!({"transactions": [transaction("a")], "next_position": ""}))))
        .route("/api/dtmsvr/query", get(async || Json(json!({"transaction": null, "branches": []}))));
    let (_server, url) = serve(vanished).await;
    let error = fetch(&HttpClient::new(), &url).await.unwrap_err();
    assert!(matches!(error, RecordsError::Vanished { .. }), "{error}");
}
