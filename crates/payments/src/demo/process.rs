//! The coordinator as the demo sees it: a process that can be killed.

use async_trait::async_trait;

/// The coordinator, a process of its own.
#[async_trait]
pub trait CoordinatorProcess: Send + Sync {
    /// Where it answers (`http://host:port`), the same for the whole run.
    fn url(&self) -> &str;

    /// Kills it without warning and starts it again on the same data and port; returns when it answers again.
    ///
    /// # Errors
    /// [`RestartError`]: it is gone for good.
    async fn kill_and_restart(&self) -> Result<(), RestartError>;
}

/// The coordinator was killed and did not come back.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator did not come back after it was killed")]
pub struct RestartError {
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
