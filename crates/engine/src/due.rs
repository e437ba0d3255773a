//! Wakes transactions in time: sleeps until the earliest one known, claims what is due, and gives it to a driver.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use escrow_txn::{Gid, Timestamp};
use tokio::sync::Notify;

use escrow_store::error_chain;

use crate::coordinator::start_driver;
use crate::registry::{Ask, Mail};
use crate::shared::Shared;

/// Transactions claimed at once.
const CLAIM_MAX: NonZeroU32 = NonZeroU32::new(256).expect("not zero");
/// How soon a store that could not be asked is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest sleep: the operating system may have moved the clock meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// The earliest time at which something is known to become due.
#[derive(Debug, Default)]
pub(crate) struct DueHint {
    earliest: Mutex<Option<Timestamp>>,
    changed: Notify,
}

impl DueHint {
    /// Something becomes due then.
    pub(crate) fn at(&self, when: Timestamp) {
        let mut earliest = self.earliest.lock().unwrap_or_else(PoisonError::into_inner);
        if earliest.is_none_or(|known| when < known) {
            *earliest = Some(when);
            self.changed.notify_one();
        }
    }

    fn take(&self) -> Option<Timestamp> {
        self.earliest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn get(&self) -> Option<Timestamp> {
        *self.earliest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the coordinator stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    shared.due.at(shared.clock.now());
    loop {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = due(&shared) => {}
        }
        let room = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            room = Arc::clone(&shared.claims).acquire_owned() => room,
        };
        drop(room);
        claim(&shared).await;
        if shared.store_takes_no_writes() {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

/// Returns when something is due.
async fn due(shared: &Shared) {
    loop {
        let now = shared.clock.now();
        let wait = match shared.due.get() {
            Some(at) if at <= now => return,
            Some(at) => at.since(now).min(SLEEP_MAX),
            None => SLEEP_MAX,
        };
        tokio::select! {
            biased;
            () = shared.due.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn claim(shared: &Arc<Shared>) {
    // Taken before the store is asked: what is stored meanwhile sets it again.
    shared.due.take();
    let room = u32::try_from(shared.claims.available_permits()).unwrap_or(u32::MAX);
    // While the store takes no writes, one transaction at a time finds out whether it does again.
    let max = if shared.store_takes_no_writes() { NonZeroU32::MIN } else { CLAIM_MAX };
    let limit = NonZeroU32::new(room).map_or(NonZeroU32::MIN, |room| room.min(max));
    match shared.store.claim_due(shared.config.owner, limit).await {
        Ok(claimed) => {
            if let Some(at) = claimed.next_due_at {
                shared.due.at(at);
            }
            for gid in &claimed.gids {
                hand_over(shared, gid).await;
            }
        }
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "the store could not say what is due");
            shared.due.at(shared.clock.now().plus(RETRY_AFTER));
        }
    }
}

async fn hand_over(shared: &Arc<Shared>, gid: &Gid) {
    // Never closed; only this task takes permits, and it took no more than there were.
    let Ok(permit) = Arc::clone(&shared.claims).acquire_owned().await else { return };
    let mail = Mail { ask: Ask::Due(permit), reply: None };
    if start_driver(shared, gid, mail).is_err() {
        let due_at = shared.clock.now().plus(RETRY_AFTER);
        shared.store.release(gid, due_at).await;
        shared.due.at(due_at);
    }
}
