//! The query strings of query and all.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::str::FromStr;

use escrow_txn::{BusinessKey, Gid, Pattern, Status, Timestamp};

use super::transaction::{parse_business_key, parse_gid, parse_pattern};
use super::{DecodeError, status_word};

/// Entries of a page where the request does not say how many.
const LIMIT: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
/// What `all` asks for. All filters that are set must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllQuery {
    /// Only this one; the rest then counts for nothing.
    pub gid: Option<Gid>,
    /// At most this many. Not bounded here: a store has a longest page.
    pub limit: NonZeroU32,
    /// Where the page before ended, as the reply to it said; empty: from the newest.
    pub position: String,
    /// Only these states (`status`); empty: all. `failed` is what DTM says of a transaction stopped by force, too.
    pub statuses: Vec<Status>,
    /// Only this pattern (`transType`).
    pub pattern: Option<Pattern>,
    /// Only those created at this time or later (`createTimeStart`, in milliseconds).
    pub created_from: Option<Timestamp>,
    /// Only those created before this time (`createTimeEnd`; its millisecond is included).
    pub created_before: Option<Timestamp>,
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
/// let all = escrow_wire::dtm::decode_all("limit=20&status=failed&createTimeStart=1700000000000")?;
/// assert_eq!((all.gid, all.limit.get(), all.statuses.len()), (None, 20, 2));
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::InvalidParameter`], [`DecodeError::UnknownTransType`], [`DecodeError::NotSupported`] for workflows, and
/// those of the ids.
pub fn decode_all(query: &str) -> Result<AllQuery, DecodeError> {
    let gid = first(query, "gid");
    Ok(AllQuery {
        gid: if gid.is_empty() { None } else { Some(parse_gid(&gid)?) },
        limit: number(query, "limit", "a whole number from 1")?.unwrap_or(LIMIT),
        position: first(query, "position").into_owned(),
        statuses: statuses(&first(query, "status"))?,
        pattern: match &*first(query, "transType") {
            "" => None,
            trans_type => Some(parse_pattern(trans_type)?),
        },
        created_from: millis(query, "createTimeStart")?.map(|start| start.begin),
        created_before: millis(query, "createTimeEnd")?.map(|end| end.next),
        business_key: parse_business_key(&first(query, "businessKey"))?,
    })
}

/// The states that one of the dialect's words stands for.
fn statuses(word: &str) -> Result<Vec<Status>, DecodeError> {
    use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
    if word.is_empty() {
        return Ok(Vec::new());
    }
    let all = [Prepared, Submitted, Aborting, Committed, Aborted, Stopped];
    let statuses: Vec<_> = all.into_iter().filter(|&status| status_word(status) == word).collect();
    if statuses.is_empty() {
        let expected = "prepared, submitted, aborting, succeed or failed";
        return Err(DecodeError::InvalidParameter { name: "status", value: word.to_owned(), expected });
    }
    Ok(statuses)
}

/// One millisecond of time.
struct Millisecond {
    begin: Timestamp,
    next: Timestamp,
}

fn millis(query: &str, name: &'static str) -> Result<Option<Millisecond>, DecodeError> {
    let millis = number::<u64>(query, name, "a time in milliseconds since 1970")?;
    let at = |millis: u64| Timestamp::from_micros(millis.saturating_mul(1_000));
    Ok(millis.map(|millis| Millisecond { begin: at(millis), next: at(millis.saturating_add(1)) }))
}

/// The number under a name; `None` if it is not there or empty.
pub(super) fn number<T: FromStr>(
    query: &str,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, DecodeError> {
    match &*first(query, name) {
        "" => Ok(None),
        text => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(DecodeError::InvalidParameter { name, value: text.to_owned(), expected }),
        },
    }
}

/// The first value under a name, decoded; empty if there is none.
pub(super) fn first<'a>(query: &'a str, name: &str) -> Cow<'a, str> {
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
        let everything = AllQuery {
            gid: None,
            limit: LIMIT,
            position: String::new(),
            statuses: Vec::new(),
            pattern: None,
            created_from: None,
            created_before: None,
            business_key: None,
        };
        assert_eq!(decode_all("").unwrap(), everything);
        let empty = "gid=&limit=&position=&status=&transType=&createTimeStart=&createTimeEnd=&businessKey=&other=1";
        assert_eq!(decode_all(empty).unwrap(), everything);
        let all = decode_all("limit=5&position=17-a%26b&businessKey=no-1").unwrap();
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
    fn a_filter_names_a_status_a_type_and_a_time_in_words_of_the_dialect() {
        use Status::{Aborted, Aborting, Committed, Prepared, Stopped, Submitted};
        for (word, statuses) in [
            ("prepared", vec![Prepared]),
            ("submitted", vec![Submitted]),
            ("aborting", vec![Aborting]),
            ("succeed", vec![Committed]),
            ("failed", vec![Aborted, Stopped]),
        ] {
            assert_eq!(decode_all(&format!("status={word}")).unwrap().statuses, statuses);
        }
        for (word, pattern) in
            [("saga", Pattern::Saga), ("tcc", Pattern::Tcc), ("xa", Pattern::Xa), ("msg", Pattern::Message)]
        {
            assert_eq!(decode_all(&format!("transType={word}")).unwrap().pattern, Some(pattern));
        }
        let window = decode_all("createTimeStart=1500&createTimeEnd=2500").unwrap();
        assert_eq!(window.created_from, Some(Timestamp::from_micros(1_500_000)));
        assert_eq!(window.created_before, Some(Timestamp::from_micros(2_501_000)), "the last millisecond is included");
        let for_ever = decode_all("createTimeEnd=18446744073709551615").unwrap();
        assert_eq!(for_ever.created_before, Some(Timestamp::from_micros(u64::MAX)));
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused_and_not_ignored() {
        for (query, code, status) in [
            ("status=committed", "invalid_parameter", 500),
            ("status=FAILED", "invalid_parameter", 500),
            ("transType=zzz", "unknown_trans_type", 500),
            ("transType=workflow", "not_supported", 501),
            ("createTimeStart=x", "invalid_parameter", 500),
            ("createTimeStart=-1", "invalid_parameter", 500),
            ("createTimeEnd=1.5", "invalid_parameter", 500),
            ("createTimeEnd=2026-01-01", "invalid_parameter", 500),
        ] {
            let error = decode_all(query).unwrap_err();
            assert_eq!((error.code(), error.status()), (code, status), "{query}");
        }
    }
}
