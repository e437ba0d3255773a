//! The routes of topics.

use escrow_wire::dtm::{self, Reply, TopicEntry};

use crate::answer::ApiError;
use crate::large::Large;
use crate::topics::{PAGE_MAX, Topics};

pub(crate) async fn subscribe(topics: &Topics, query: &str) -> Result<Reply, ApiError> {
    topics.subscribe(dtm::decode_subscribe(query)?).await.map_err(|error| ApiError::of_topic(&error))?;
    Ok(Reply::success())
}

pub(crate) async fn unsubscribe(topics: &Topics, query: &str) -> Result<Reply, ApiError> {
    topics.unsubscribe(dtm::decode_unsubscribe(query)?).await.map_err(|error| ApiError::of_topic(&error))?;
    Ok(Reply::success())
}

/// `name` is what stands in the path.
pub(crate) async fn delete(topics: &Topics, name: &str) -> Result<Reply, ApiError> {
    topics.delete(&dtm::decode_topic(name)?).await.map_err(|error| ApiError::of_topic(&error))?;
    Ok(Reply::success())
}

pub(crate) async fn scan(topics: &Topics, large: &Large, query: &str) -> Result<Reply, ApiError> {
    let scan = dtm::decode_scan(query)?;
    if !scan.of_topics {
        return Ok(dtm::encode_scan(&[], None));
    }
    let limit = usize::try_from(scan.limit.get()).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let turn = large.turn().await?;
    let (page, more) = topics.page(scan.after, limit).await.map_err(|error| ApiError::of_store(&error))?;
    let next = page.last().filter(|_| more).map(|last| last.topic.clone());
    Ok(turn.work(bytes(&page), move || dtm::encode_scan(&page, next.as_deref())).await)
}

pub(crate) async fn query(topics: &Topics, large: &Large, query: &str) -> Result<Reply, ApiError> {
    let asked = dtm::decode_key(query);
    if !asked.of_topics {
        return Ok(dtm::encode_kv(&[]));
    }
    let turn = large.turn().await?;
    let found = match asked.key {
        Some(key) => topics.get(&key).await.map(|found| (found.into_iter().collect(), false)),
        None => topics.page(None, PAGE_MAX).await,
    };
    let (found, more) = found.map_err(|error| ApiError::of_store(&error))?;
    if more {
        return Err(ApiError::too_many_topics());
    }
    Ok(turn.work(bytes(&found), move || dtm::encode_kv(&found)).await)
}

/// About how much memory they take.
fn bytes(topics: &[TopicEntry]) -> usize {
    let subscribers = topics.iter().flat_map(|topic| &topic.subscribers);
    topics.len() * 256 + subscribers.map(|(url, remark)| url.len() + remark.len()).sum::<usize>()
}
