use async_trait::async_trait;
use escrow_store::StoreError;

/// Knows who has subscribed to which topic.
#[async_trait]
pub trait Topics: Send + Sync {
    /// The addresses of a topic's subscribers, in the order of their subscription; empty if there is no such topic. Asked
    /// only when the steps of a message are about to be stored.
    ///
    /// # Errors
    /// [`StoreError`]; the message is not accepted then.
    async fn subscribers(&self, topic: &str) -> Result<Vec<String>, StoreError>;
}

/// Nobody has subscribed to anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTopics;

#[async_trait]
impl Topics for NoTopics {
    async fn subscribers(&self, _topic: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
