//! Topics: who has subscribed to what, kept in the store's settings.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use escrow_store::{Clock, Setting, Settings, SettingsError, StoreError, Version};
use escrow_txn::{Timestamp, TopicName, limits};
use escrow_wire::dtm::{Subscription, TopicEntry};
use serde::{Deserialize, Serialize};

const CATEGORY: &str = "topics";
/// Bytes of one topic as it is stored: all its subscribers, with their remarks.
pub(crate) const TOPIC_BYTES_MAX: usize = 256 * 1024;
/// The longest page of a list.
pub(crate) const PAGE_MAX: usize = 1_000;
/// Bytes of stored topics from which on a page is full.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Topics read at once.
const CHUNK: NonZeroU32 = NonZeroU32::new(16).expect("not zero");

/// The topics. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Topics {
    settings: Arc<dyn Settings>,
    clock: Arc<dyn Clock>,
}

/// Why a topic was not changed, in DTM's words where it has some.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicError {
    #[error("this url exists")]
    AlreadySubscribed,
    #[error("no such a topic")]
    NoSuchTopic,
    #[error("this topic is empty")]
    NoSubscribers,
    // The blank belongs to it.
    #[error("no such an url ")]
    NotSubscribed,
    #[error("storage: NotFound")]
    NothingToDelete,
    /// Somebody else changed it at the same time, and was first.
    #[error("storage: {}", if *.made_meanwhile { "UniqueKeyConflict" } else { "NotFound" })]
    Changed { made_meanwhile: bool },
    #[error("a topic has at most {} subscribers", limits::BRANCHES_MAX)]
    TooManySubscribers,
    #[error("the subscribers of a topic come to at most {TOPIC_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A topic as it is stored. Later programs may add fields.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    created_at_us: u64,
    updated_at_us: u64,
    subscribers: Vec<Subscriber>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subscriber {
    url: String,
    remark: String,
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").finish_non_exhaustive()
    }
}

impl Topics {
    /// `clock` tells when a topic is changed.
    pub(crate) fn new(settings: Arc<dyn Settings>, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock }
    }

    /// Adds a subscriber behind the others; makes the topic if it is not there.
    pub(crate) async fn subscribe(&self, subscription: Subscription) -> Result<(), TopicError> {
        let Subscription { topic, url, remark } = subscription;
        let (mut record, version) = match self.load(topic.as_str()).await? {
            Some((record, version)) => (record, Some(version)),
            None => (Record { created_at_us: self.now(), updated_at_us: 0, subscribers: Vec::new() }, None),
        };
        if record.subscribers.iter().any(|known| known.url == url) {
            return Err(TopicError::AlreadySubscribed);
        }
        if record.subscribers.len() == limits::BRANCHES_MAX {
            return Err(TopicError::TooManySubscribers);
        }
        record.subscribers.push(Subscriber { url, remark });
        self.store(&topic, record, version).await
    }

    /// Takes a subscriber away. A topic without any stays, and is not found by messages.
    pub(crate) async fn unsubscribe(&self, subscription: Subscription) -> Result<(), TopicError> {
        let Subscription { topic, url, .. } = subscription;
        let (mut record, version) = self.load(topic.as_str()).await?.ok_or(TopicError::NoSuchTopic)?;
        if record.subscribers.is_empty() {
            return Err(TopicError::NoSubscribers);
        }
        let at = record.subscribers.iter().position(|known| known.url == url).ok_or(TopicError::NotSubscribed)?;
        record.subscribers.remove(at);
        self.store(&topic, record, Some(version)).await
    }

    /// Removes a topic with all its subscribers.
    pub(crate) async fn delete(&self, topic: &TopicName) -> Result<(), TopicError> {
        let found = self.settings.get(CATEGORY, topic.as_str()).await?.ok_or(TopicError::NothingToDelete)?;
        let deleted = self.settings.delete(CATEGORY, topic.as_str(), found.version).await;
        deleted.map_err(|error| not_written(error, Some(found.version)))
    }

    /// One topic.
    pub(crate) async fn get(&self, topic: &str) -> Result<Option<TopicEntry>, StoreError> {
        Ok(self.load(topic).await?.map(|(record, version)| record.into_entry(topic.to_owned(), version)))
    }

    /// Up to `limit` topics behind `after`, by their names, and whether there are more.
    pub(crate) async fn page(
        &self,
        mut after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<TopicEntry>, bool), StoreError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        loop {
            let chunk = self.settings.scan(CATEGORY, after.as_deref(), CHUNK).await?;
            let is_last = chunk.len() < CHUNK.get() as usize;
            for setting in chunk {
                bytes += setting.value.len();
                if page.len() == limit || (bytes > PAGE_BYTES_MAX && !page.is_empty()) {
                    return Ok((page, true));
                }
                let (record, version) = Record::read(&setting)?;
                page.push(record.into_entry(setting.key.clone(), version));
                after = Some(setting.key);
            }
            if is_last {
                return Ok((page, false));
            }
        }
    }

    async fn load(&self, topic: &str) -> Result<Option<(Record, Version)>, StoreError> {
        let found = self.settings.get(CATEGORY, topic).await?;
        found.map(|setting| Record::read(&setting)).transpose()
    }

    async fn store(&self, topic: &TopicName, record: Record, expected: Option<Version>) -> Result<(), TopicError> {
        let record = Record { updated_at_us: self.now(), ..record };
        // `expect`: writing to memory does not fail, and all keys are texts.
        let bytes = serde_json::to_vec(&record).expect("a topic can be written as JSON");
        if bytes.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLarge);
        }
        let put = self.settings.put(CATEGORY, topic.as_str(), Bytes::from(bytes), expected).await;
        put.map(drop).map_err(|error| not_written(error, expected))
    }

    fn now(&self) -> u64 {
        self.clock.now().as_micros()
    }
}

/// `expected` is what the write was based on.
fn not_written(error: SettingsError, expected: Option<Version>) -> TopicError {
    match error {
        SettingsError::Store(error) => TopicError::Store(error),
        _ => TopicError::Changed { made_meanwhile: expected.is_none() },
    }
}

impl Record {
    fn read(setting: &Setting) -> Result<(Self, Version), StoreError> {
        let record = serde_json::from_slice(&setting.value).map_err(|source| StoreError::CorruptSetting {
            category: CATEGORY,
            key: setting.key.clone(),
            source: Box::new(source),
        })?;
        Ok((record, setting.version))
    }

    fn into_entry(self, topic: String, version: Version) -> TopicEntry {
        TopicEntry {
            topic,
            subscribers: self.subscribers.into_iter().map(|subscriber| (subscriber.url, subscriber.remark)).collect(),
            version: version.0,
            created_at: Timestamp::from_micros(self.created_at_us),
            updated_at: Timestamp::from_micros(self.updated_at_us),
        }
    }
}

#[async_trait]
impl escrow_engine::Topics for Topics {
    async fn subscribers(&self, topic: &str) -> Result<Vec<String>, StoreError> {
        let found = self.load(topic).await?;
        let subscribers = found.map(|(record, _)| record.subscribers).unwrap_or_default();
        Ok(subscribers.into_iter().map(|subscriber| subscriber.url).collect())
    }
}

#[cfg(test)]
mod tests {
    use escrow_engine::Topics as _;
    use escrow_store::SystemClock;
    use escrow_store::memory::MemoryStore;

    use super::*;

    fn topics() -> (Topics, Arc<MemoryStore>) {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        (Topics::new(Arc::clone(&store) as Arc<dyn Settings>, Arc::new(SystemClock)), store)
    }

    fn subscription(topic: &str, url: &str) -> Subscription {
        Subscription { topic: TopicName::parse(topic).unwrap(), url: url.to_owned(), remark: String::new() }
    }

    #[tokio::test]
    async fn whoever_subscribes_at_the_same_time_as_another_is_told_so_and_nothing_is_lost() {
        let (topics, store) = topics();
        topics.subscribe(subscription("t", "http://a/")).await.unwrap();
        store.hold_sync();
        let racers = ["http://b/", "http://c/"].map(|url| {
            let topics = topics.clone();
            tokio::spawn(async move { topics.subscribe(subscription("t", url)).await })
        });
        let new = ["http://d/", "http://e/"].map(|url| {
            let topics = topics.clone();
            tokio::spawn(async move { topics.subscribe(subscription("new", url)).await })
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        store.release_sync();
        let [first, second] = racers;
        let errors = [first.await.unwrap(), second.await.unwrap()].map(|outcome| outcome.err().map(|e| e.to_string()));
        assert_eq!(errors.iter().flatten().collect::<Vec<_>>(), ["storage: NotFound"]);
        assert_eq!(topics.subscribers("t").await.unwrap().len(), 2);
        let [first, second] = new;
        let errors = [first.await.unwrap(), second.await.unwrap()].map(|outcome| outcome.err().map(|e| e.to_string()));
        assert_eq!(errors.iter().flatten().collect::<Vec<_>>(), ["storage: UniqueKeyConflict"]);
    }

    #[tokio::test]
    async fn a_topic_has_a_limit_in_subscribers_and_in_bytes() {
        let (topics, _) = topics();
        for number in 0..limits::BRANCHES_MAX {
            topics.subscribe(subscription("many", &format!("http://a/{number}"))).await.unwrap();
        }
        let refused = topics.subscribe(subscription("many", "http://a/last")).await;
        assert!(matches!(refused, Err(TopicError::TooManySubscribers)), "{refused:?}");
        let long = |number: usize| format!("http://a/{number}/{}", "x".repeat(2_000));
        let fit = TOPIC_BYTES_MAX / 2_100;
        for number in 0..fit {
            topics.subscribe(subscription("long", &long(number))).await.unwrap();
        }
        let mut refused = Ok(());
        for number in fit..fit + 10 {
            refused = topics.subscribe(subscription("long", &long(number))).await;
        }
        assert!(matches!(refused, Err(TopicError::TooLarge)), "{refused:?}");
    }

    #[tokio::test]
    async fn a_page_ends_at_its_limit_in_entries_and_in_bytes_and_the_next_one_goes_on_there() {
        let (topics, store) = topics();
        let value = |bytes: usize| {
            let subscribers = vec![Subscriber { url: "x".repeat(bytes), remark: String::new() }];
            Bytes::from(serde_json::to_vec(&Record { created_at_us: 1, updated_at_us: 1, subscribers }).unwrap())
        };
        for number in 0..40 {
            store.put(CATEGORY, &format!("t{number:02}"), value(250_000), None).await.unwrap();
        }
        let walk = async |limit| {
            let (mut names, mut pages, mut after) = (Vec::new(), Vec::new(), None);
            loop {
                let (page, more) = topics.page(after, limit).await.unwrap();
                pages.push(page.len());
                names.extend(page.into_iter().map(|entry| entry.topic));
                if !more {
                    return (names, pages);
                }
                after = names.last().cloned();
            }
        };
        let all: Vec<_> = (0..40).map(|number| format!("t{number:02}")).collect();
        assert_eq!(walk(15).await, (all.clone(), vec![15, 15, 10]));
        assert_eq!(walk(20).await, (all.clone(), vec![16, 16, 8]), "four MiB are a page");
        assert_eq!(walk(1).await.0, all);
    }

    #[tokio::test]
    async fn a_topic_that_cannot_be_read_is_an_error_and_not_an_empty_one() {
        let (topics, store) = topics();
        store.put(CATEGORY, "t", Bytes::from_static(b"[]"), None).await.unwrap();
        assert!(matches!(topics.subscribers("t").await, Err(StoreError::CorruptSetting { .. })));
        let refused = topics.subscribe(subscription("t", "http://a/")).await;
        assert!(matches!(refused, Err(TopicError::Store(StoreError::CorruptSetting { .. }))), "{refused:?}");
        // It can be removed, and made anew.
        topics.delete(&TopicName::parse("t").unwrap()).await.unwrap();
        topics.subscribe(subscription("t", "http://a/")).await.unwrap();
    }
}
