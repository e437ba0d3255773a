//! Topics: the requests that change and show them, and how they are shown.

use std::num::NonZeroU32;

use escrow_txn::{Timestamp, TopicName, limits};
use serde::Serialize;

use super::query_string::{first, number};
use super::transaction::check_url;
use super::view::{Masked, Time};
use super::{DecodeError, Reply};

/// Bytes of the longest remark of a subscription.
pub const REMARK_BYTES_MAX: usize = 1024;

/// Entries of a page where the request does not say how many.
const LIMIT: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
/// The one category that is shown. What else the coordinator keeps is nobody's business.
const TOPICS: &str = "topics";

/// What subscribe and unsubscribe ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// Where its messages go.
    pub url: String,
    /// What people want to know about it; nothing when it ends.
    pub remark: String,
}

/// What scanKV asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanQuery {
    /// Whether it is about topics; of other categories there is nothing to show.
    pub of_topics: bool,
    /// At most this many. Not bounded here.
    pub limit: NonZeroU32,
    /// Where the page before ended, as the reply to it said; `None`: from the first.
    pub after: Option<String>,
}

/// What queryKV asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    /// Whether it is about topics; of other categories there is nothing to show.
    pub of_topics: bool,
    /// Only this one; `None`: all.
    pub key: Option<String>,
}

/// A topic, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    /// Its name.
    pub topic: String,
    /// Its subscribers in the order of their subscription, each with its URL and its remark.
    pub subscribers: Vec<(String, String)>,
    /// How often it was changed.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Reads the query string of subscribe.
///
/// ```
/// let subscription = escrow_wire::dtm::decode_subscribe("topic=paid&url=http%3A%2F%2Fledger%2Fpaid&remark=books")?;
/// assert_eq!((subscription.topic.as_str(), subscription.url.as_str()), ("paid", "http://ledger/paid"));
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`] if topic or URL are missing or none, or something is too long.
pub fn decode_subscribe(query: &str) -> Result<Subscription, DecodeError> {
    let subscription = decode_unsubscribe(query)?;
    check_url("url", &subscription.url)?;
    let Subscription { url, remark, .. } = &subscription;
    for (what, text, max) in [("url", url, limits::URL_BYTES_MAX), ("remark", remark, REMARK_BYTES_MAX)] {
        if text.len() > max {
            return Err(DecodeError::TooLarge { what, bytes: text.len(), max });
        }
    }
    Ok(subscription)
}

/// Reads the query string of unsubscribe. Its URL may be any text.
///
/// # Errors
/// [`DecodeError`] if topic or URL are missing.
pub fn decode_unsubscribe(query: &str) -> Result<Subscription, DecodeError> {
    let topic = parse_topic(&first(query, "topic"))?;
    let url = first(query, "url").into_owned();
    if url.is_empty() {
        return Err(DecodeError::NoSubscriberUrl);
    }
    Ok(Subscription { topic, url, remark: first(query, "remark").into_owned() })
}

/// Reads the last part of the path of a request to delete a topic.
///
/// ```
/// assert_eq!(escrow_wire::dtm::decode_topic("a%20b+c")?.as_str(), "a b+c");
/// # Ok::<(), escrow_wire::dtm::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::NoTopic`], [`DecodeError::InvalidTopic`].
pub fn decode_topic(path: &str) -> Result<TopicName, DecodeError> {
    parse_topic(&percent_encoding::percent_decode_str(path).decode_utf8_lossy())
}

/// Reads the query string of scanKV.
///
/// # Errors
/// [`DecodeError::InvalidParameter`].
pub fn decode_scan(query: &str) -> Result<ScanQuery, DecodeError> {
    Ok(ScanQuery {
        of_topics: first(query, "cat") == TOPICS,
        limit: number(query, "limit", "a whole number from 1")?.unwrap_or(LIMIT),
        after: text(query, "position"),
    })
}

/// Reads the query string of queryKV.
pub fn decode_key(query: &str) -> KeyQuery {
    KeyQuery { of_topics: first(query, "cat") == TOPICS, key: text(query, "key") }
}

fn text(query: &str, name: &str) -> Option<String> {
    Some(first(query, name).into_owned()).filter(|text| !text.is_empty())
}

fn parse_topic(topic: &str) -> Result<TopicName, DecodeError> {
    TopicName::parse(topic).map_err(|source| match source {
        escrow_txn::InvalidId::Empty => DecodeError::NoTopic,
        _ => DecodeError::InvalidTopic { source },
    })
}

/// Writes the reply to scanKV: one page, in the order given, and where the next one begins (`None`: this was the last).
///
/// ```
/// let reply = escrow_wire::dtm::encode_scan(&[], None);
/// assert_eq!(reply.body, r#"{"kv":[],"next_position":""}"#);
/// ```
pub fn encode_scan(page: &[TopicEntry], next_position: Option<&str>) -> Reply {
    #[derive(Serialize)]
    struct Scan<'a> {
        kv: Vec<Row<'a>>,
        next_position: &'a str,
    }
    let kv = page.iter().map(Row::of).collect();
    Reply::json(200, &Scan { kv, next_position: next_position.unwrap_or_default() })
}

/// Writes the reply to queryKV. Passwords in URLs are masked.
///
/// ```
/// assert_eq!(escrow_wire::dtm::encode_kv(&[]).body, r#"{"kv":[]}"#);
/// ```
pub fn encode_kv(topics: &[TopicEntry]) -> Reply {
    #[derive(Serialize)]
    struct Kv<'a> {
        kv: Vec<Row<'a>>,
    }
    Reply::json(200, &Kv { kv: topics.iter().map(Row::of).collect() })
}

#[derive(Serialize)]
struct Row<'a> {
    id: i32,
    create_time: Time,
    update_time: Time,
    cat: &'static str,
    k: &'a str,
    v: String,
    version: u64,
}

impl<'a> Row<'a> {
    fn of(entry: &'a TopicEntry) -> Self {
        #[derive(Serialize)]
        struct Subscriber<'a> {
            url: Masked<'a>,
            remark: &'a str,
        }
        let subscribers = entry.subscribers.iter();
        let subscribers: Vec<_> = subscribers.map(|(url, remark)| Subscriber { url: Masked(url), remark }).collect();
        Self {
            id: 0,
            create_time: Time(entry.created_at),
            update_time: Time(entry.updated_at),
            cat: TOPICS,
            k: &entry.topic,
            // `expect`: writing to memory does not fail, and all keys are texts.
            v: serde_json::to_string(&subscribers).expect("subscribers can be written as JSON"),
            version: entry.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> (&'static str, u16, String) {
        let error = decode_subscribe(query).unwrap_err();
        (error.code(), error.status(), error.to_string())
    }

    #[test]
    fn a_subscription_needs_a_topic_and_a_url_that_can_be_called() {
        let text = |text: &str| text.to_owned();
        for query in ["", "url=http://a/", "topic=&url="] {
            assert_eq!(refused(query), ("invalid_subscription", 500, text("empty topic")), "{query}");
        }
        for query in ["topic=t", "topic=t&url=&remark=x"] {
            assert_eq!(refused(query), ("invalid_subscription", 500, text("empty url")), "{query}");
        }
        for query in [format!("topic={}&url=http://a/", "x".repeat(129)), text("topic=a%0Ab&url=http://a/")] {
            assert_eq!(refused(&query).0, "invalid_subscription", "{query}");
        }
        assert_eq!(refused("topic=t&url=a:1/pkg.Service/Method").0, "unsupported_url");
        assert_eq!(refused("topic=t&url=topic://other").0, "unsupported_url");
        assert_eq!(refused("topic=t&url=https://a/").1, 501);
        let long = "x".repeat(limits::URL_BYTES_MAX);
        assert_eq!(refused(&format!("topic=t&url=http://a/{long}")).1, 413);
        assert_eq!(refused(&format!("topic=t&url=http://a/&remark={long}")).1, 413);
        let most = decode_subscribe(&format!("topic={}&url=http://a/?b=c%26d", "单".repeat(128))).unwrap();
        assert_eq!((most.url.as_str(), most.remark.as_str()), ("http://a/?b=c&d", ""));
    }

    #[test]
    fn whatever_was_subscribed_once_can_be_unsubscribed() {
        assert_eq!(decode_unsubscribe("topic=t&url=u").unwrap().url, "u");
        assert_eq!(decode_unsubscribe("topic=t").unwrap_err().to_string(), "empty url");
        assert_eq!(decode_topic("").unwrap_err().to_string(), "empty topic");
        assert_eq!(decode_topic("%00").unwrap_err().code(), "invalid_subscription");
        assert_eq!(decode_topic("%E8%AE%A2%2F%ff").unwrap().as_str(), "订/\u{fffd}");
    }

    #[test]
    fn only_topics_are_shown() {
        let scan = ScanQuery { of_topics: true, limit: LIMIT, after: None };
        assert_eq!(decode_scan("cat=topics").unwrap(), scan);
        let next = decode_scan("cat=coordinator&limit=3&position=a%26b").unwrap();
        let expected =
            ScanQuery { of_topics: false, limit: NonZeroU32::new(3).unwrap(), after: Some("a&b".to_owned()) };
        assert_eq!(next, expected);
        for limit in ["0", "-1", "x"] {
            assert_eq!(decode_scan(&format!("limit={limit}")).unwrap_err().code(), "invalid_parameter");
        }
        assert_eq!(decode_key("cat=topics&key=t"), KeyQuery { of_topics: true, key: Some("t".to_owned()) });
        assert_eq!(decode_key("cat=coordinator"), KeyQuery { of_topics: false, key: None });
    }

    #[test]
    fn a_topic_is_shown_as_a_value_under_a_key() {
        let entry = TopicEntry {
            topic: "paid".to_owned(),
            subscribers: vec![
                ("http://a/1".to_owned(), "one".to_owned()),
                ("http://me:secret@b/2".to_owned(), String::new()),
            ],
            version: 2,
            created_at: Timestamp::from_micros(1_000_000),
            updated_at: Timestamp::from_micros(2_500_000),
        };
        let value = r#"[{\"url\":\"http://a/1\",\"remark\":\"one\"},{\"url\":\"http://***@b/2\",\"remark\":\"\"}]"#;
        let row = format!(
            r#"{{"id":0,"create_time":"1970-01-01T00:00:01Z","update_time":"1970-01-01T00:00:02.5Z","cat":"topics","k":"paid","v":"{value}","version":2}}"#
        );
        let entries = [entry];
        assert_eq!(encode_kv(&entries).body, format!(r#"{{"kv":[{row}]}}"#));
        assert_eq!(encode_scan(&entries, Some("paid")).body, format!(r#"{{"kv":[{row}],"next_position":"paid"}}"#));
    }
}
