//! Orders to many: what waits for long, or is on hold, goes on at once.

use std::num::NonZeroU32;
use std::time::Duration;

use escrow_store::{ListQuery, PAGE_MAX, StoreError, error_chain};
use escrow_txn::{Drive, Event, Gid, Status, apply, next};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::coordinator::overloaded;
use crate::{Coordinator, RequestError};

/// Entries that are listed at once: the list is sorted anew for each page.
const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_MAX).expect("not zero");
/// Transactions looked at for one order.
const EXAMINED_MAX: usize = 10_000;
/// Transactions that are asked at the same time, so that they share the store's writes.
const ASKED_AT_ONCE: usize = 64;

/// What [`Coordinator::retry_waiting`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retried {
    /// Transactions that go on now.
    pub count: usize,
    /// There are more, or too many to look at all of them.
    pub more: bool,
}

/// Why an order to many was not carried out, or not on all. What it was carried out on goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// They could not be found.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of them could not be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl Coordinator {
    /// An operator asks up to `limit` transactions to go on at once that would wait for longer than `longer_than`, the newest
    /// first. Those are left alone that wait for their initiator, or because they were asked to.
    ///
    /// # Errors
    /// [`RetryError`]; [`RequestError::Overloaded`] while another such order is carried out.
    pub async fn retry_waiting(&self, longer_than: Duration, limit: usize) -> Result<Retried, RetryError> {
        // Each reads many transactions whole.
        let _only_one = self.shared.retrying.try_lock().map_err(|_| overloaded())?;
        // One more than asked for: whether there are more.
        let (mut gids, unseen) = self.stalled(longer_than, limit + 1).await?;
        let more = gids.len() > limit || unseen;
        gids.truncate(limit);
        let count = gids.len();
        let asked = stream::iter(gids).map(|gid| self.retry_now(gid)).buffer_unordered(ASKED_AT_ONCE);
        asked.try_for_each(|()| async { Ok(()) }).await?;
        Ok(Retried { count, more })
    }

    /// An operator takes one transaction off hold, or all of them; they go on at once. Returns how many were on hold.
    ///
    /// # Errors
    /// [`RetryError`].
    pub async fn release_held(&self, gid: Option<&Gid>) -> Result<u64, RetryError> {
        if self.is_stopping() {
            return Err(RequestError::ShuttingDown.into());
        }
        let released = self.shared.store.release_held(gid).await?;
        if released > 0 {
            tracing::info!(released, "an operator released transactions");
            self.shared.due.at(self.shared.clock.now());
        }
        Ok(released)
    }

    /// Up to `limit` transactions that would go on if they were asked to, and whether there are some nobody has looked at.
    async fn stalled(&self, longer_than: Duration, limit: usize) -> Result<(Vec<Gid>, bool), StoreError> {
        let mut query = ListQuery {
            statuses: vec![Status::Submitted, Status::Aborting],
            waiting_past: Some(self.shared.clock.now().plus(longer_than)),
            ..ListQuery::newest(PAGE)
        };
        let (mut found, mut examined) = (Vec::new(), 0);
        loop {
            let page = self.list(&query).await?;
            for item in page.items {
                examined += 1;
                if self.would_go_on(&item.gid).await? {
                    found.push(item.gid);
                }
                if found.len() == limit {
                    return Ok((found, false));
                }
            }
            match page.next {
                None => return Ok((found, false)),
                Some(_) if examined >= EXAMINED_MAX => return Ok((found, true)),
                next => query.after = next,
            }
        }
    }

    /// Asks the rules: a delay, for one, is not to be cut short. What is on hold does not go on.
    async fn would_go_on(&self, gid: &Gid) -> Result<bool, StoreError> {
        if self.shared.store.is_held(gid).await? {
            return Ok(false);
        }
        let txn = match self.query(gid).await {
            Ok(Some(txn)) => txn.value,
            Ok(None) => return Ok(false),
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%gid, error = error_chain(&error), "a transaction cannot be read and is left alone");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mut drive = Drive::load(txn, self.shared.config.defaults);
        let allowed = apply(&mut drive, Event::RetryNow, self.shared.moment()).is_ok();
        Ok(allowed && !next(&drive, self.shared.clock.now()).calls.is_empty())
    }
}
