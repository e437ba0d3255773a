//! One request: let in, found, read, answered, counted.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use escrow_engine::Coordinator;
use escrow_store::Backend;
use escrow_wire::dtm::Reply;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::accept::{Connection, Handler};
use crate::answer::{self, ApiError};
use crate::body::{self, Body};
use crate::config::HttpConfig;
use crate::large::Large;
use crate::metrics::{self, Metrics};
use crate::routes::{Found, Route, find};
use crate::sizes::Sizes;
use crate::topics::Topics;
use crate::{dtm, guard};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// What every request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) coordinator: Coordinator,
    pub(crate) store: Arc<dyn Backend>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) http: HttpConfig,
    pub(crate) sizes: Sizes,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) large: Large,
    pub(crate) topics: Topics,
}

impl Handler for App {
    async fn handle(&self, request: Request<Incoming>, connection: Connection) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        if let Err(error) = self.check(&request, connection) {
            return self.counted("none", begun, answer::of_error(error));
        }
        match find(request.method(), request.uri().path()) {
            Found::Route(route) => {
                let response = self.route(route, request).await.unwrap_or_else(answer::of_error);
                self.counted(route.label(), begun, response)
            }
            Found::Redirect(path) => {
                let response = redirect(path, request.uri().query());
                self.counted("none", begun, response)
            }
            Found::Nothing => self.counted("none", begun, answer::respond(404, TEXT, "404 page not found")),
        }
    }

    fn panicked(&self) -> Response<Full<Bytes>> {
        tracing::error!("the handling of a request panicked");
        answer::of_error(ApiError::internal())
    }
}

impl App {
    fn check(&self, request: &Request<Incoming>, connection: Connection) -> Result<(), ApiError> {
        guard::check(request, connection.local, &self.allowed_hosts).map_err(ApiError::of_guard)?;
        let url_bytes = request.uri().path_and_query().map_or(0, |both| both.as_str().len());
        if url_bytes > self.http.url_bytes_max {
            return Err(ApiError::url_too_long(self.http.url_bytes_max));
        }
        if request.headers().len() > self.http.headers_max {
            return Err(ApiError::too_many_headers(self.http.headers_max));
        }
        Ok(())
    }

    async fn route(&self, route: Route, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ApiError> {
        let coordinator = &self.coordinator;
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let reply = match route {
            Route::NewGid => dtm::new_gid(),
            Route::Prepare => dtm::prepare(coordinator, &self.sizes, head.headers, self.read(body).await?).await?,
            Route::Submit => dtm::submit(coordinator, &self.sizes, head.headers, self.read(body).await?).await?,
            Route::Abort => dtm::abort(coordinator, self.read(body).await?).await?,
            Route::RegisterBranch | Route::RegisterTccBranch | Route::RegisterXaBranch => {
                dtm::register(coordinator, &self.sizes, self.read(body).await?).await?
            }
            Route::ForceStop => dtm::force_stop(coordinator, self.read(body).await?).await?,
            Route::ResetNextCronTime => dtm::retry_now(coordinator, self.read(body).await?).await?,
            Route::ResetCronTime => dtm::retry_waiting(coordinator, query).await?,
            Route::ReleaseHeld => dtm::release(coordinator, self.read(body).await?).await?,
            Route::ReleaseAllHeld => dtm::release_all(coordinator).await?,
            Route::Subscribe => dtm::topics::subscribe(&self.topics, query).await?,
            Route::Unsubscribe => dtm::topics::unsubscribe(&self.topics, query).await?,
            Route::DeleteTopic => dtm::topics::delete(&self.topics, last_part(head.uri.path())).await?,
            Route::ScanKv => dtm::topics::scan(&self.topics, &self.large, query).await?,
            Route::QueryKv => dtm::topics::query(&self.topics, &self.large, query).await?,
            Route::Query => dtm::query(coordinator, &self.large, query).await?,
            Route::All => dtm::all(coordinator, &self.large, query).await?,
            Route::Version => dtm::version(),
            Route::Ping => dtm::ping(),
            Route::Healthz => return Ok(answer::respond(200, JSON, r#"{"status":"ok"}"#)),
            Route::Readyz => {
                let (status, body) = readiness(coordinator.is_stopping(), self.store.stats().full);
                return Ok(answer::respond(status, JSON, body));
            }
            Route::Metrics => {
                let text = self.metrics.render(coordinator.active());
                return Ok(answer::respond(200, metrics::CONTENT_TYPE, text));
            }
            Route::Later(later) => return Err(ApiError::not_yet(later)),
        };
        let body = self.large.hold(reply.body)?;
        Ok(answer::of_reply(Reply { body, ..reply }))
    }

    async fn read(&self, body: Incoming) -> Result<Body, ApiError> {
        let read = body::read(body, &self.http, &self.large).await;
        read.map_err(|unread| ApiError::of_body(unread, self.http.body_bytes_max))
    }

    fn counted(&self, api: &'static str, begun: Instant, response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        let (status, latency) = (response.status().as_u16(), begun.elapsed());
        tracing::debug!(api, status, latency_us = latency.as_micros(), "answered");
        self.metrics.answered_request(api, status < 400, latency);
        response
    }
}

/// Whether new transactions would be taken: status and body of `/readyz`.
fn readiness(stopping: bool, store_full: bool) -> (u16, &'static str) {
    match (stopping, store_full) {
        (true, _) => (503, r#"{"status":"stopping"}"#),
        (false, true) => (503, r#"{"status":"full","reason":"the disk or the backlog of the store is full"}"#),
        (false, false) => (200, r#"{"status":"ready"}"#),
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn redirect(path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut response = answer::respond(301, TEXT, "");
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_not_ready_and_says_why() {
        assert_eq!(readiness(false, false), (200, r#"{"status":"ready"}"#));
        assert_eq!(readiness(true, true), (503, r#"{"status":"stopping"}"#));
        let (status, body) = readiness(false, true);
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((status, body["status"].as_str()), (503, Some("full")));
        assert!(body["reason"].as_str().unwrap().contains("is full"));
    }
}
