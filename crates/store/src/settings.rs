use std::num::NonZeroU32;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{StoreError, Version};

/// Topics, subscriptions, endpoints, tokens and other small things that are not transactions.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, category: &str, key: &str) -> Result<Option<Setting>, StoreError>;

    /// Writes a value if the key is at `expected` (`None`: absent); durable when this returns.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`] if it is at another version.
    async fn put(
        &self,
        category: &str,
        key: &str,
        value: Bytes,
        expected: Option<Version>,
    ) -> Result<PutOutcome, SettingsError>;

    /// Removes a key if it is at `expected`.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`] if it is at another version or absent.
    async fn delete(&self, category: &str, key: &str, expected: Version) -> Result<(), SettingsError>;

    /// Up to `limit` keys of a category that come after `after` (`None`: from the first), in key order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(&self, category: &str, after: Option<&str>, limit: NonZeroU32) -> Result<Vec<Setting>, StoreError>;
}

/// One value with its key and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// How often it has been written.
    pub version: Version,
}

/// What a write led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    /// The version the value has now.
    pub version: Version,
}

/// Why a setting was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Somebody else wrote it in between.
    #[error("the setting is at another version")]
    Conflict {
        /// Where it is; `None`: absent.
        current: Option<Version>,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
