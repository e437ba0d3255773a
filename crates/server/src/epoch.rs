use bytes::Bytes;
use escrow_store::{OwnerEpoch, Settings, SettingsError};

const CATEGORY: &str = "coordinator";
const KEY: &str = "epoch";

/// Why this start has no number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// See [`SettingsError`].
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What is stored is no number.
    #[error("the stored number of the last start cannot be read")]
    Unreadable,
}

/// Numbers this start: one more than the last one on the same store. Durable when this returns, so that nothing which this
/// life of the coordinator stores can be taken for another's.
pub(crate) async fn next(settings: &dyn Settings) -> Result<OwnerEpoch, EpochError> {
    let last = settings.get(CATEGORY, KEY).await.map_err(SettingsError::from)?;
    let number = match &last {
        Some(last) => parse(&last.value).ok_or(EpochError::Unreadable)?,
        None => 0,
    };
    let next = number + 1;
    settings.put(CATEGORY, KEY, Bytes::from(next.to_string()), last.map(|last| last.version)).await?;
    Ok(OwnerEpoch(next))
}

fn parse(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use escrow_store::SystemClock;
    use escrow_store::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn each_start_has_the_next_number() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        for number in 1..4 {
            assert_eq!(next(&store).await.unwrap(), OwnerEpoch(number));
        }
    }

    #[tokio::test]
    async fn a_number_that_cannot_be_read_stops_the_start() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        store.put(CATEGORY, KEY, Bytes::from_static(b"many"), None).await.unwrap();
        assert!(matches!(next(&store).await, Err(EpochError::Unreadable)));
    }
}
