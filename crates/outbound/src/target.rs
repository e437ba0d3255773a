//! The URL of a branch, taken apart without re-encoding anything.

use std::borrow::Cow;
use std::fmt;

/// Where a branch is called. Borrows from the URL as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// `name:password` of the URL, still encoded; a secret.
    pub(crate) credentials: Option<&'a str>,
    /// `host` or `host:port`.
    pub(crate) authority: &'a str,
    /// From the first `/`; empty if the URL has none.
    pub(crate) path: &'a str,
    /// Without the `?`; `None` if the URL has none.
    pub(crate) query: Option<&'a str>,
}

/// Why a URL cannot be called. Says nothing of the URL's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadTarget {
    /// The scheme is one that is known and not there yet.
    Unsupported(&'static str),
    /// There is no `http://` in front.
    NotHttp,
    /// There is nothing between `http://` and the path.
    NoHost,
    /// It has characters that no URL may have.
    Malformed,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(scheme) => write!(f, "{scheme} is not supported yet"),
            Self::NotHttp => f.write_str("the URL does not begin with http://"),
            Self::NoHost => f.write_str("the URL names no host"),
            Self::Malformed => f.write_str("the URL is malformed"),
        }
    }
}

impl<'a> Target<'a> {
    pub(crate) fn parse(url: &'a str) -> Result<Self, BadTarget> {
        let (scheme, rest) = url.split_once("://").ok_or(BadTarget::NotHttp)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(BadTarget::Unsupported("https"));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(BadTarget::NotHttp);
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _fragment)| before);
        let (before_query, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        let path_start = before_query.find('/').unwrap_or(before_query.len());
        let (authority, path) = before_query.split_at(path_start);
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        if authority.is_empty() || authority.starts_with(':') {
            return Err(BadTarget::NoHost);
        }
        // `http::Uri` lets any text stand for a port, and would then mean the default one.
        if port_of(authority).is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(BadTarget::Malformed);
        }
        Ok(Self { credentials, authority, path, query })
    }

    /// Host and port: what calls to the same process have in common.
    pub(crate) fn lane(&self) -> Cow<'a, str> {
        let has_port = port_of(self.authority).is_some();
        if has_port && !self.authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.authority.into();
        }
        let port = if has_port { "" } else { ":80" };
        format!("{}{port}", self.authority.to_ascii_lowercase()).into()
    }
}

/// What follows the host; the colons inside `[::1]` are no port's.
fn port_of(authority: &str) -> Option<&str> {
    authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_without_changing_a_byte() {
        let target = Target::parse("http://u:p%40@Host:81/a%20b/ü?z=9&k=x%20y?#frag").unwrap();
        assert_eq!(target.credentials, Some("u:p%40"));
        assert_eq!(target.authority, "Host:81");
        assert_eq!(target.path, "/a%20b/ü");
        assert_eq!(target.query, Some("z=9&k=x%20y?"));
        let bare = Target::parse("HTTP://h?x").unwrap();
        assert_eq!((bare.authority, bare.path, bare.query), ("h", "", Some("x")));
    }

    #[test]
    fn other_schemes_are_named_as_what_they_are() {
        assert_eq!(Target::parse("https://h/"), Err(BadTarget::Unsupported("https")));
        for url in ["ftp://h/", "h:80/pkg.Service/Method", "", "/path", "localhost"] {
            assert_eq!(Target::parse(url), Err(BadTarget::NotHttp), "{url}");
        }
        for url in ["http://", "http:///path", "http://:80/", "http://user@/"] {
            assert_eq!(Target::parse(url), Err(BadTarget::NoHost), "{url}");
        }
    }

    #[test]
    fn a_port_is_a_number() {
        for url in ["http://h:port/", "http://h:65536/", "http://h:-1/", "http://[::1]:x/", "http://h:/"] {
            assert_eq!(Target::parse(url), Err(BadTarget::Malformed), "{url}");
        }
        assert_eq!(Target::parse("http://[::1]/").unwrap().authority, "[::1]");
    }

    #[test]
    fn calls_to_one_host_and_port_share_a_lane() {
        let lane = |url| Target::parse(url).unwrap().lane();
        assert_eq!(lane("http://RM/a?x"), "rm:80");
        assert_eq!(lane("http://u:p@rm:80/b"), "rm:80");
        assert_eq!(lane("http://rm:81/b"), "rm:81");
        assert_eq!(lane("http://[::1]/b"), "[::1]:80");
        assert_eq!(lane("http://[::1]:8080/b"), "[::1]:8080");
    }
}
