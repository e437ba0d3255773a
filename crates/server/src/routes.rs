//! Which path and method mean what.

use http::Method;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    NewGid,
    Prepare,
    Submit,
    Abort,
    RegisterBranch,
    RegisterTccBranch,
    RegisterXaBranch,
    Query,
    All,
    ForceStop,
    ResetNextCronTime,
    ResetCronTime,
    ReleaseHeld,
    ReleaseAllHeld,
    Subscribe,
    Unsubscribe,
    DeleteTopic,
    ScanKv,
    QueryKv,
    Version,
    Ping,
    Healthz,
    Readyz,
    Metrics,
    /// A part of DTM's API that is not there yet.
    Later(Later),
}

/// See [`Route::Later`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    PrepareWorkflow,
    JsonRpc,
}

/// What a path and method come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Route(Route),
    /// A known path with a slash too many; this is the path without it.
    Redirect(&'a str),
    Nothing,
}

/// The methods of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Methods {
    Get,
    Post,
    Delete,
    GetOrHead,
    Any,
}

/// Finds the route of a request. A wrong method is as unknown as a wrong path.
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    if let Some((methods, route)) = known(path) {
        return if methods.contains(method) { Found::Route(route) } else { Found::Nothing };
    }
    match path.strip_suffix('/').and_then(|shorter| Some((shorter, known(shorter)?))) {
        Some((shorter, (methods, _))) if method == Method::GET && methods.contains(method) => Found::Redirect(shorter),
        _ => Found::Nothing,
    }
}

fn known(path: &str) -> Option<(Methods, Route)> {
    use Methods::{Any, Delete, Get, GetOrHead, Post};
    Some(match path.strip_prefix("/api/dtmsvr/") {
        Some("newGid") => (Get, Route::NewGid),
        Some("prepare") => (Post, Route::Prepare),
        Some("submit") => (Post, Route::Submit),
        Some("abort") => (Post, Route::Abort),
        Some("registerBranch") => (Post, Route::RegisterBranch),
        Some("registerTccBranch") => (Post, Route::RegisterTccBranch),
        Some("registerXaBranch") => (Post, Route::RegisterXaBranch),
        Some("query") => (Get, Route::Query),
        Some("all") => (Get, Route::All),
        Some("forceStop") => (Post, Route::ForceStop),
        Some("version") => (Get, Route::Version),
        Some("prepareWorkflow") => (Post, Route::Later(Later::PrepareWorkflow)),
        Some("resetCronTime") => (Get, Route::ResetCronTime),
        Some("resetNextCronTime") => (Post, Route::ResetNextCronTime),
        Some("releaseHeld") => (Post, Route::ReleaseHeld),
        Some("releaseAllHeld") => (Post, Route::ReleaseAllHeld),
        Some("subscribe") => (Get, Route::Subscribe),
        Some("unsubscribe") => (Get, Route::Unsubscribe),
        Some("scanKV") => (Get, Route::ScanKv),
        Some("queryKV") => (Get, Route::QueryKv),
        Some(below) => match below.strip_prefix("topic/") {
            Some(name) if !name.is_empty() && !name.contains('/') => (Delete, Route::DeleteTopic),
            _ => return None,
        },
        None => match path {
            "/api/ping" => (Any, Route::Ping),
            "/api/json-rpc" => (Post, Route::Later(Later::JsonRpc)),
            "/api/metrics" | "/metrics" => (Get, Route::Metrics),
            "/healthz" => (GetOrHead, Route::Healthz),
            "/readyz" => (GetOrHead, Route::Readyz),
            _ => return None,
        },
    })
}

impl Methods {
    fn contains(self, method: &Method) -> bool {
        match self {
            Self::Get => method == Method::GET,
            Self::Post => method == Method::POST,
            Self::Delete => method == Method::DELETE,
            Self::GetOrHead => method == Method::GET || method == Method::HEAD,
            Self::Any => true,
        }
    }
}

impl Route {
    /// The last part of the path in lower case, as metrics call it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NewGid => "newgid",
            Self::Prepare => "prepare",
            Self::Submit => "submit",
            Self::Abort => "abort",
            Self::RegisterBranch => "registerbranch",
            Self::RegisterTccBranch => "registertccbranch",
            Self::RegisterXaBranch => "registerxabranch",
            Self::Query => "query",
            Self::All => "all",
            Self::ForceStop => "forcestop",
            Self::ResetNextCronTime => "resetnextcrontime",
            Self::ResetCronTime => "resetcrontime",
            Self::ReleaseHeld => "releaseheld",
            Self::ReleaseAllHeld => "releaseallheld",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::DeleteTopic => "topic",
            Self::ScanKv => "scankv",
            Self::QueryKv => "querykv",
            Self::Version => "version",
            Self::Ping => "ping",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Later(later) => later.label(),
        }
    }
}

impl Later {
    fn label(self) -> &'static str {
        match self {
            Self::PrepareWorkflow => "prepareworkflow",
            Self::JsonRpc => "json-rpc",
        }
    }

    /// What is not there, in words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::PrepareWorkflow => "trans_type workflow",
            Self::JsonRpc => "JSON-RPC",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_methods_and_no_others() {
        let table = [
            ("/api/dtmsvr/newGid", "GET"),
            ("/api/dtmsvr/prepare", "POST"),
            ("/api/dtmsvr/submit", "POST"),
            ("/api/dtmsvr/abort", "POST"),
            ("/api/dtmsvr/registerBranch", "POST"),
            ("/api/dtmsvr/registerTccBranch", "POST"),
            ("/api/dtmsvr/registerXaBranch", "POST"),
            ("/api/dtmsvr/query", "GET"),
            ("/api/dtmsvr/all", "GET"),
            ("/api/dtmsvr/forceStop", "POST"),
            ("/api/dtmsvr/version", "GET"),
            ("/api/dtmsvr/prepareWorkflow", "POST"),
            ("/api/dtmsvr/resetCronTime", "GET"),
            ("/api/dtmsvr/resetNextCronTime", "POST"),
            ("/api/dtmsvr/releaseHeld", "POST"),
            ("/api/dtmsvr/releaseAllHeld", "POST"),
            ("/api/dtmsvr/subscribe", "GET"),
            ("/api/dtmsvr/unsubscribe", "GET"),
            ("/api/dtmsvr/topic/t1", "DELETE"),
            ("/api/dtmsvr/scanKV", "GET"),
            ("/api/dtmsvr/queryKV", "GET"),
            ("/api/json-rpc", "POST"),
            ("/api/metrics", "GET"),
            ("/metrics", "GET"),
            ("/api/ping", "GET PUT POST HEAD DELETE"),
            ("/healthz", "GET HEAD"),
            ("/readyz", "GET HEAD"),
        ];
        for (path, methods) in table {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
                let found = find(&method.parse().unwrap(), path);
                let expected = methods.split(' ').any(|known| known == method);
                assert_eq!(matches!(found, Found::Route(_)), expected, "{method} {path}");
            }
        }
    }

    #[test]
    fn a_slash_too_many_is_redirected_on_a_get_only() {
        assert_eq!(find(&Method::GET, "/api/dtmsvr/version/"), Found::Redirect("/api/dtmsvr/version"));
        assert_eq!(find(&Method::POST, "/api/dtmsvr/submit/"), Found::Nothing);
        assert_eq!(find(&Method::GET, "/api/dtmsvr/submit/"), Found::Nothing);
        assert_eq!(find(&Method::GET, "/api/dtmsvr/version//"), Found::Nothing);
    }

    #[test]
    fn what_is_not_known_is_nothing() {
        for path in ["/", "", "*", "/api/dtmsvr", "/api/dtmsvr/", "/api/dtmsvr/nope", "/api/dtmsvr/topic/", "/API/ping"]
        {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }
}
