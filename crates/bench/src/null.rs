//! A coordinator without rules and store: the same calls in and out, nothing decided, nothing remembered after the reply.
//!
//! Made of what a coordinator in Rust is commonly made of (axum, generic JSON values, hyper's pooled client), so that it says what the
//! HTTP work costs, not what could be saved on it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;

const SUCCESS: &str = r#"{"dtm_result":"SUCCESS"}"#;

/// Connections that may be kept to a participant while no call needs them.
const IDLE_CONNECTIONS_MAX: usize = 1024;

/// Serves on `listen` until the process ends. Prints `listening on ADDRESS` once it does.
///
/// # Errors
/// It cannot listen there.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {}", listener.local_addr()?);
    serve_on(listener).await
}

/// Serves the connections of this listener until the future is dropped.
///
/// # Errors
/// As axum reports them; so far it reports none.
pub(crate) async fn serve_on(listener: TcpListener) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX).build(connector);
    let routes = Router::new()
        .route("/api/dtmsvr/prepare", post(prepare))
        .route("/api/dtmsvr/registerBranch", post(register))
        .route("/api/dtmsvr/submit", post(submit))
        .with_state(Coordinator { client, begun: Arc::default() });
    let listener = listener.tap_io(|stream| {
        // Without it the coordinator only becomes slower; nothing that is counted changes.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, routes).await?)
}

#[derive(Clone)]
struct Coordinator {
    client: Client<HttpConnector, Full<Bytes>>,
    /// The branches of each TCC and XA between its prepare and its submit, by gid: objects as they were declared or registered.
    begun: Arc<Mutex<HashMap<String, Vec<Value>>>>,
}

impl Coordinator {
    fn begun(&self) -> MutexGuard<'_, HashMap<String, Vec<Value>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, url: &str, query: Query<'_>, payload: String) -> anyhow::Result<()> {
        let Query { gid, trans_type, branch, op } = query;
        let url = format!("{url}?gid={gid}&trans_type={trans_type}&branch_id={branch}&op={op}");
        let request = http::Request::post(url)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(payload)))?;
        let reply = self.client.request(request).await?;
        let status = reply.status();
        reply.into_body().collect().await?;
        ensure!(status.is_success(), "a call was answered {status}");
        Ok(())
    }
}

/// What a call says about itself.
#[derive(Clone, Copy)]
struct Query<'a> {
    gid: &'a str,
    trans_type: &'a str,
    branch: &'a str,
    op: &'a str,
}

/// Why there is no success: a body that is not as expected, or a call that failed.
struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

async fn prepare(State(coordinator): State<Coordinator>, body: Bytes) -> Result<&'static str, Failed> {
    let mut body: Value = serde_json::from_slice(&body)?;
    let branches = match body["branches"].take() {
        Value::Array(branches) => branches,
        _ => Vec::new(),
    };
    coordinator.begun().insert(text(&body, "gid")?.to_owned(), branches);
    Ok(SUCCESS)
}

async fn register(State(coordinator): State<Coordinator>, body: Bytes) -> Result<&'static str, Failed> {
    let branch: Value = serde_json::from_slice(&body)?;
    let mut begun = coordinator.begun();
    begun.get_mut(text(&branch, "gid")?).context("no transaction with this gid")?.push(branch);
    Ok(SUCCESS)
}

async fn submit(State(coordinator): State<Coordinator>, body: Bytes) -> Result<&'static str, Failed> {
    let body: Value = serde_json::from_slice(&body)?;
    match text(&body, "trans_type")? {
        "tcc" => second_phase(&coordinator, &body, "confirm", "confirm").await?,
        "xa" => second_phase(&coordinator, &body, "url", "commit").await?,
        _ => actions(&coordinator, &body).await?,
    }
    Ok(SUCCESS)
}

/// Of a saga or a message: each action once, in order.
async fn actions(coordinator: &Coordinator, body: &Value) -> anyhow::Result<()> {
    let (gid, trans_type) = (text(body, "gid")?, text(body, "trans_type")?);
    let steps = body["steps"].as_array().context("no steps")?;
    for (index, step) in steps.iter().enumerate() {
        let payload = body["payloads"][index].as_str().unwrap_or_default();
        let branch = format!("{:02}", index + 1);
        let query = Query { gid, trans_type, branch: &branch, op: "action" };
        coordinator.call(text(step, "action")?, query, payload.to_owned()).await?;
    }
    Ok(())
}

/// Of a TCC or XA: the URL `url` of each branch once, in order. It is forgotten then, whatever becomes of the calls.
async fn second_phase(coordinator: &Coordinator, body: &Value, url: &str, op: &str) -> anyhow::Result<()> {
    let (gid, trans_type) = (text(body, "gid")?, text(body, "trans_type")?);
    let branches = coordinator.begun().remove(gid).context("no transaction with this gid")?;
    for branch in &branches {
        let payload = branch["data"].as_str().unwrap_or_default();
        let query = Query { gid, trans_type, branch: text(branch, "branch_id")?, op };
        coordinator.call(text(branch, url)?, query, payload.to_owned()).await?;
    }
    Ok(())
}

fn text<'a>(object: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    object[member].as_str().with_context(|| format!("no text {member}"))
}

#[cfg(test)]
mod tests;
