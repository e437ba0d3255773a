//! The request that a branch call becomes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use escrow_engine::BranchCall;
use escrow_txn::{BranchOp, Pattern, limits};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::target::{BadTarget, Target};

/// What form encoding leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Builds the request of one call, and says which host it goes to.
pub(crate) fn build(call: &BranchCall) -> Result<(Authority, Request<Full<Bytes>>), BadTarget> {
    let target = Target::parse(&call.url)?;
    let method = method(call);
    let (host, mut request) = request(&target, path_and_query(&target, call), &call.headers, call.payload.clone())?;
    if call.payload.is_empty() && method == Method::POST {
        // Some servers answer 411 to a POST that does not say its length.
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    *request.method_mut() = method;
    Ok((host, request))
}

/// Builds a request that has nothing to do with a branch: the URL as it stands, and a JSON text.
pub(crate) fn post_json(url: &str, body: Bytes) -> Result<(Authority, Request<Full<Bytes>>), BadTarget> {
    let target = Target::parse(url)?;
    let query = target.query.map(|query| format!("?{query}")).unwrap_or_default();
    request(&target, format!("{}{query}", path(&target)), &[], body)
}

/// A POST to the target's host.
fn request(
    target: &Target<'_>,
    path_and_query: String,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<(Authority, Request<Full<Bytes>>), BadTarget> {
    let host: Authority = target.authority.parse().map_err(|_| BadTarget::Malformed)?;
    let path_and_query = PathAndQuery::try_from(path_and_query).map_err(|_| BadTarget::Malformed)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path_and_query.into();
    *request.headers_mut() = self::headers(target, &host, headers);
    Ok((host, request))
}

fn method(call: &BranchCall) -> Method {
    if call.payload.is_empty() && call.pattern != Pattern::Xa { Method::GET } else { Method::POST }
}

fn path<'a>(target: &Target<'a>) -> &'a str {
    if target.path.is_empty() { "/" } else { target.path }
}

/// The URL's own query comes first, byte for byte; a parameter that it already has stays beside the new one.
fn path_and_query(target: &Target<'_>, call: &BranchCall) -> String {
    // A check-back asks the initiator, whose number is 00.
    let branch = call.branch.as_ref().map_or("00", |branch| branch.as_str());
    let mut text = String::with_capacity(call.url.len() + branch.len() + call.gid.as_str().len() + 64);
    text.push_str(path(target));
    text.push('?');
    if let Some(query) = target.query.filter(|query| !query.is_empty()) {
        text.push_str(query);
        text.push('&');
    }
    text.push_str("branch_id=");
    push_form(&mut text, branch);
    text.push_str("&gid=");
    push_form(&mut text, call.gid.as_str());
    text.push_str("&op=");
    text.push_str(op_name(call.op));
    text.push_str("&trans_type=");
    text.push_str(pattern_name(call.pattern));
    text
}

fn push_form(text: &mut String, value: &str) {
    // Most ids need no encoding.
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')) {
        return text.push_str(value);
    }
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            text.push('+');
        }
        text.extend(percent_encode(word.as_bytes(), FORM));
    }
}

fn op_name(op: BranchOp) -> &'static str {
    match op {
        BranchOp::Action | BranchOp::Prepare | BranchOp::Deliver => "action",
        BranchOp::Compensate => "compensate",
        BranchOp::Try => "try",
        BranchOp::Confirm => "confirm",
        BranchOp::Cancel => "cancel",
        BranchOp::Commit => "commit",
        BranchOp::Rollback => "rollback",
        BranchOp::CheckBack => "msg",
    }
}

fn pattern_name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Saga => "saga",
        Pattern::Tcc => "tcc",
        Pattern::Xa => "xa",
        Pattern::Message => "msg",
    }
}

/// The headers of a call: ours, then the transaction's, which may replace ours. Illegal and reserved ones are left out,
/// because a call that cannot be made would stop the transaction for good.
fn headers(target: &Target<'_>, host: &Authority, own: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(5 + own.len());
    let name = if host.port_u16() == Some(80) { host.host() } else { host.as_str() };
    // A host has no characters that a header must not have.
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (header::HOST, name)));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("escrow/", env!("CARGO_PKG_VERSION"))));
    if let Some(value) = target.credentials.and_then(basic_auth) {
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, value) in own {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        if !limits::RESERVED_HEADERS.contains(&name.as_str()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn basic_auth(credentials: &str) -> Option<HeaderValue> {
    let mut plain: Vec<u8> = percent_decode_str(credentials).collect();
    if !credentials.contains(':') {
        plain.push(b':');
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use escrow_txn::{BranchId, Gid};

    use super::*;

    fn call(url: &str) -> BranchCall {
        BranchCall {
            gid: Gid::parse("g1").unwrap(),
            pattern: Pattern::Saga,
            branch: Some(BranchId::parse("01").unwrap()),
            op: BranchOp::Action,
            url: url.to_owned(),
            payload: Bytes::from_static(b"{}"),
            headers: Vec::new(),
            timeout: Duration::from_secs(3),
        }
    }

    fn path_and_query(call: &BranchCall) -> String {
        build(call).unwrap().1.uri().path_and_query().unwrap().to_string()
    }

    #[test]
    fn the_four_parameters_follow_the_urls_own_query() {
        let table = [
            ("http://rm", "/?branch_id=01&gid=g1&op=action&trans_type=saga"),
            ("http://rm/a%2Fb", "/a%2Fb?branch_id=01&gid=g1&op=action&trans_type=saga"),
            ("http://rm/a?", "/a?branch_id=01&gid=g1&op=action&trans_type=saga"),
            ("http://rm/a?z=9&k=x%20y", "/a?z=9&k=x%20y&branch_id=01&gid=g1&op=action&trans_type=saga"),
            ("http://rm/a?gid=mine#top", "/a?gid=mine&branch_id=01&gid=g1&op=action&trans_type=saga"),
        ];
        for (url, expected) in table {
            assert_eq!(path_and_query(&call(url)), expected, "{url}");
        }
    }

    #[test]
    fn ids_are_form_encoded() {
        let mut call = call("http://rm/a");
        call.gid = Gid::parse("g '&=+/~-_.*订").unwrap();
        call.branch = Some(BranchId::parse("a b").unwrap());
        assert_eq!(
            path_and_query(&call),
            "/a?branch_id=a+b&gid=g+%27%26%3D%2B%2F~-_.%2A%E8%AE%A2&op=action&trans_type=saga"
        );
    }

    #[test]
    fn every_operation_goes_out_under_its_dtm_name() {
        let table = [
            (Pattern::Saga, BranchOp::Action, "op=action&trans_type=saga"),
            (Pattern::Saga, BranchOp::Compensate, "op=compensate&trans_type=saga"),
            (Pattern::Tcc, BranchOp::Confirm, "op=confirm&trans_type=tcc"),
            (Pattern::Tcc, BranchOp::Cancel, "op=cancel&trans_type=tcc"),
            (Pattern::Xa, BranchOp::Commit, "op=commit&trans_type=xa"),
            (Pattern::Xa, BranchOp::Rollback, "op=rollback&trans_type=xa"),
            (Pattern::Message, BranchOp::Deliver, "op=action&trans_type=msg"),
        ];
        for (pattern, op, expected) in table {
            let found = path_and_query(&BranchCall { pattern, op, ..call("http://rm/a") });
            assert_eq!(found, format!("/a?branch_id=01&gid=g1&{expected}"));
        }
        let check_back = BranchCall {
            pattern: Pattern::Message,
            branch: None,
            op: BranchOp::CheckBack,
            payload: Bytes::new(),
            ..call("http://rm/q")
        };
        assert_eq!(path_and_query(&check_back), "/q?branch_id=00&gid=g1&op=msg&trans_type=msg");
        assert_eq!(build(&check_back).unwrap().1.method(), Method::GET);
    }

    #[test]
    fn a_call_without_body_is_a_get_unless_it_is_xa() {
        let with = |pattern, payload: &'static str| {
            let call = BranchCall { pattern, payload: Bytes::from_static(payload.as_bytes()), ..call("http://rm/a") };
            build(&call).unwrap().1.method().clone()
        };
        assert_eq!(with(Pattern::Saga, ""), Method::GET);
        assert_eq!(with(Pattern::Saga, "null"), Method::POST);
        assert_eq!(with(Pattern::Xa, ""), Method::POST);
    }

    #[test]
    fn branch_headers_override_ours_but_never_the_connections() {
        let own = [
            ("content-TYPE", "text/plain"),
            ("X-Tenant", "t1"),
            ("Authorization", "Bearer x"),
            ("Host", "evil"),
            ("Content-Length", "7"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Keep-Alive", "1"),
            ("bad name", "v"),
            ("x-split", "a\r\nx-injected: b"),
            ("", "v"),
        ];
        let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let (_, request) = build(&BranchCall { headers, ..call("http://rm/a") }).unwrap();
        let mut found: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("accept", "application/json"),
                ("authorization", "Bearer x"),
                ("content-type", "text/plain"),
                ("host", "rm"),
                ("user-agent", concat!("escrow/", env!("CARGO_PKG_VERSION"))),
                ("x-tenant", "t1"),
            ]
        );
    }

    #[test]
    fn credentials_of_the_url_become_basic_authentication_and_leave_the_url() {
        let (host, request) = build(&call("http://me:p%40ss@rm/a")).unwrap();
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic bWU6cEBzcw==");
        assert_eq!(host, "rm");
        assert_eq!(request.headers()[header::HOST], "rm");
    }

    #[test]
    fn the_host_is_named_with_its_port_unless_that_is_the_usual_one() {
        for (url, host) in [("http://Rm:80/a", "Rm"), ("http://rm:81", "rm:81"), ("http://[::1]:8080/", "[::1]:8080")] {
            assert_eq!(build(&call(url)).unwrap().1.headers()[header::HOST], host, "{url}");
        }
    }

    #[test]
    fn what_is_no_branch_is_called_at_its_url_and_nothing_else() {
        for (url, expected) in [("http://me:pw@hook", "/"), ("http://hook/a?b=c#d", "/a?b=c"), ("http://hook?x", "/?x")]
        {
            let (host, request) = post_json(url, Bytes::from_static(b"{}")).unwrap();
            assert_eq!(host, "hook");
            assert_eq!((request.method(), request.uri().path_and_query().unwrap().as_str()), (&Method::POST, expected));
            assert_eq!(request.headers()[header::CONTENT_TYPE], "application/json");
            assert_eq!(request.headers().contains_key(header::AUTHORIZATION), url.contains('@'));
        }
        assert!(post_json("hook/a", Bytes::new()).is_err());
    }

    #[test]
    fn a_url_with_illegal_characters_is_malformed() {
        for url in ["http://rm/a b", "http://r m/", "http://rm:port/", "http://rm/\u{7f}\n"] {
            assert_eq!(build(&call(url)).map(|_| ()), Err(BadTarget::Malformed), "{url:?}");
        }
    }
}
