//! The query strings of query and all.

use std::borrow::Cow;
use std::num::NonZeroU32;

use escrow_txn::{BusinessKey, Gid};

use super::DecodeError;
use super::transaction::{parse_business_key, parse_gid};

/// Entries of a page where the request does not say how many.
const LIMIT: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
/// Filters of DTM that are not served yet. Ignoring one would list what nobody asked for.
const FILTERS: [(&str, &str); 4] = [
    ("status", "the filter status"),
    ("transType", "the filter transType"),
    ("createTimeStart", "the filter createTimeStart"),
    ("createTimeEnd", "the filter createTimeEnd"),
];

/// What `all` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllQuery {
    /// Only this one; the rest then counts for nothing.
    pub gid: Option<Gid>,
    /// At most this many. Not bounded here: a store has a longest page.
    pub limit: NonZeroU32,
    /// Where the page before ended, as the reply to it said; empty: from the newest.
    pub position: String,
    /// Only those known by this key (`businessKey`; extension).
    pub business_key: Option<BusinessKey>,
}

/// Reads the query string of `query`.
///
/// ```
/// assert_eq!(escrow_wire::dtm::decode_query("gid=order%201")?.as_str(), "order 1");
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::NoGid`], [`DecodeError::InvalidGid`].
pub fn decode_query(query: &str) -> Result<Gid, DecodeError> {
    parse_gid(&first(query, "gid"))
}

/// Reads the query string of `all`.
///
/// ```
/// let all = escrow_wire::dtm::decode_all("limit=20&position=")?;
/// assert_eq!((all.gid, all.limit.get()), (None, 20));
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::InvalidParameter`], [`DecodeError::NotSupported`] for filters, and those of the ids.
pub fn decode_all(query: &str) -> Result<AllQuery, DecodeError> {
    if let Some((_, what)) = FILTERS.iter().find(|(name, _)| !first(query, name).is_empty()) {
        return Err(DecodeError::NotSupported { what });
    }
    let limit = first(query, "limit");
    let limit = match &*limit {
        "" => LIMIT,
        text => text.parse().map_err(|_| DecodeError::InvalidParameter {
            name: "limit",
            value: text.to_owned(),
            expected: "a whole number from 1",
        })?,
    };
    let gid = first(query, "gid");
    Ok(AllQuery {
        gid: if gid.is_empty() { None } else { Some(parse_gid(&gid)?) },
        limit,
        position: first(query, "position").into_owned(),
        business_key: parse_business_key(&first(query, "businessKey"))?,
    })
}

/// The first value under a name, decoded; empty if there is none.
fn first<'a>(query: &'a str, name: &str) -> Cow<'a, str> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gid_may_hold_anything_that_a_url_can_encode() {
        assert_eq!(decode_query("x=1&gid=a%27%20%20%27b+c%26d&gid=e").unwrap().as_str(), "a'  'b c&d");
        assert_eq!(decode_query("gid=%E8%AE%A2%E5%8D%95").unwrap().as_str(), "订单");
    }

    #[test]
    fn a_query_without_a_gid_is_told_so() {
        for query in ["", "gid=", "gid", "GID=x", "&&=&"] {
            let error = decode_query(query).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.status()), ("no gid specified", 500), "{query}");
        }
    }

    #[test]
    fn a_list_has_defaults_and_takes_its_position_as_it_came() {
        let all = decode_all("").unwrap();
        assert_eq!(all, AllQuery { gid: None, limit: LIMIT, position: String::new(), business_key: None });
        let all = decode_all("limit=5&position=17-a%26b&businessKey=no-1&status=&other=1").unwrap();
        assert_eq!((all.limit.get(), all.position.as_str()), (5, "17-a&b"));
        assert_eq!(all.business_key.unwrap().as_str(), "no-1");
    }

    #[test]
    fn a_limit_is_a_whole_number_from_1() {
        for limit in ["0", "-1", "x", "1.5", "99999999999"] {
            let error = decode_all(&format!("limit={limit}")).unwrap_err();
            assert_eq!((error.code(), error.status()), ("invalid_parameter", 500), "{limit}");
        }
    }

    #[test]
    fn a_filter_that_is_not_served_is_refused_and_not_ignored() {
        for query in ["status=failed", "transType=saga", "createTimeStart=1", "createTimeEnd=1"] {
            assert_eq!(decode_all(query).unwrap_err().status(), 501, "{query}");
        }
    }
}
