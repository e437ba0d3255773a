//! Keeps web pages out: a browser on this machine can reach the coordinator, and must not do so for a page.
//!
//! A page under a name of its own whose address is changed to this machine's (DNS rebinding) is betrayed by its `Host`; a
//! page elsewhere that posts here is betrayed by its `Origin`, and one that only fetches by `Sec-Fetch-Site`: some routes of
//! DTM change things with a GET.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{Request, Version};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptOut {
    /// There is no `Host`, or more than one, or it is no host.
    BadHost,
    /// The host is none of ours.
    UnknownHost,
    /// It was made by a page of another origin.
    ForeignOrigin,
}

/// Decides whether a request that came in at `local` is let in. `allowed` are host names in lower case.
pub(crate) fn check<B>(request: &Request<B>, local: SocketAddr, allowed: &[String]) -> Result<(), KeptOut> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| KeptOut::BadHost)?),
        // Browsers always send one; old health checks speak HTTP/1.0 without.
        (None, _) if request.version() == Version::HTTP_10 => None,
        _ => return Err(KeptOut::BadHost),
    };
    for name in host.into_iter().chain(request.uri().authority().map(Authority::as_str)) {
        let name = without_port(name).ok_or(KeptOut::BadHost)?;
        if !is_ours(name, local.ip(), allowed) {
            return Err(KeptOut::UnknownHost);
        }
    }
    for origin in request.headers().get_all(ORIGIN) {
        let origin = origin.to_str().map_err(|_| KeptOut::ForeignOrigin)?;
        let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let same = page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host));
        if !same {
            return Err(KeptOut::ForeignOrigin);
        }
    }
    // Images and forms of a page are fetched without an origin; the browser says so in its own words. `none` is a person.
    let is_foreign = |site: &HeaderValue| site != "same-origin" && site != "none";
    if request.headers().get_all(SEC_FETCH_SITE).iter().any(is_foreign) {
        return Err(KeptOut::ForeignOrigin);
    }
    Ok(())
}

/// The host of `host` or `host:port`, without brackets; `None` if it is neither.
fn without_port(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && port_is_one).then_some(host)
}

fn is_ours(host: &str, local: IpAddr, allowed: &[String]) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        if address.is_loopback() || address == local.to_canonical() {
            return true;
        }
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_allowed = |name: &String| name.trim_matches(['[', ']']).eq_ignore_ascii_case(host);
    host.eq_ignore_ascii_case("localhost") || allowed.iter().any(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: Option<&str>, origin: Option<&str>) -> Result<(), KeptOut> {
        let mut request = Request::builder().uri("/api/ping");
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let allowed = ["escrow.example".to_owned(), "[fd00::1]".to_owned()];
        check(&request.body(()).unwrap(), "10.0.0.7:36789".parse().unwrap(), &allowed)
    }

    #[test]
    fn our_own_names_are_let_in_and_no_others() {
        let ours = [
            "localhost",
            "LocalHost:36789",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:36789",
            "[::ffff:127.0.0.1]",
            "10.0.0.7:36789",
            "escrow.example",
            "Escrow.Example:80",
            "[fd00::1]:80",
        ];
        for host in ours {
            assert_eq!(verdict(Some(host), None), Ok(()), "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "10.0.0.8",
            "8.8.8.8:36789",
            "2130706433",
            "0x7f.1",
            "127.1",
            "[2001:db8::1]",
            "escrow.example.evil",
            "[fd00::2]",
        ];
        for host in foreign {
            assert_eq!(verdict(Some(host), None), Err(KeptOut::UnknownHost), "{host}");
        }
        for host in ["", ":80", "localhost:port", "[::1", "[::1]80", "a:b:c"] {
            assert_eq!(verdict(Some(host), None), Err(KeptOut::BadHost), "{host}");
        }
        assert_eq!(verdict(None, None), Err(KeptOut::BadHost));
    }

    #[test]
    fn only_old_requests_may_leave_the_host_out_and_none_may_have_two() {
        let check =
            |request: http::request::Builder| check(&request.body(()).unwrap(), "127.0.0.1:1".parse().unwrap(), &[]);
        assert_eq!(check(Request::builder().version(Version::HTTP_10)), Ok(()));
        assert_eq!(check(Request::builder().header(HOST, "localhost").header(HOST, "evil")), Err(KeptOut::BadHost));
    }

    #[test]
    fn the_host_of_an_absolute_url_counts_too() {
        let request = Request::builder().uri("http://evil.example/api/ping").header(HOST, "localhost");
        let found = check(&request.body(()).unwrap(), "127.0.0.1:1".parse().unwrap(), &[]);
        assert_eq!(found, Err(KeptOut::UnknownHost));
    }

    #[test]
    fn a_page_is_let_in_only_from_the_very_host_it_asks() {
        let host = Some("localhost:36789");
        for origin in ["http://localhost:36789", "https://LOCALHOST:36789"] {
            assert_eq!(verdict(host, Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "file://",
            "localhost:36789",
        ] {
            assert_eq!(verdict(host, Some(origin)), Err(KeptOut::ForeignOrigin), "{origin}");
        }
    }
}
