//! Forgets final transactions once their retention is over.

use std::num::NonZeroU32;
use std::sync::Arc;

use escrow_store::error_chain;

use crate::shared::Shared;

/// Transactions removed by one call: bounds how long the store is kept busy.
const PURGE_MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

/// Runs until the coordinator stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Some(retention) = shared.config.retention else { return };
    loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(shared.config.purge_interval) => {}
        }
        let retention = u64::try_from(retention.as_micros()).unwrap_or(u64::MAX);
        let now = shared.clock.now().as_micros();
        let before = escrow_txn::Timestamp::from_micros(now.saturating_sub(retention));
        loop {
            match shared.store.purge(before, PURGE_MAX).await {
                Ok(removed) if removed == PURGE_MAX.get() && !shared.stopping.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "old transactions could not be removed");
                    break;
                }
            }
        }
    }
}
