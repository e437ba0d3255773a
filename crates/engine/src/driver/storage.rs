//! What a driver loads and stores.

use std::sync::Arc;
use std::time::Duration;

use escrow_store::{Change, CommitError, Created, Head, NewTxn, StoreError, error_chain};
use escrow_txn::{Definition, Drive, Progress, Step, next};

use super::requests::{Failed, respond};
use super::{Driver, Held, Lost};
use crate::RequestError;

/// How soon a transaction is taken up again that the store failed.
const RETAKE_AFTER: Duration = Duration::from_secs(1);

impl Driver {
    /// Holds the stored transaction, if it is not held yet. Whether there is one.
    pub(super) async fn load(&mut self) -> Result<bool, Failed> {
        // Boxed: it happens once per driver, and would be room in all that a driver ever waits for.
        if self.held.is_some() { Ok(true) } else { Box::pin(self.load_stored()).await }
    }

    async fn load_stored(&mut self) -> Result<bool, Failed> {
        match self.shared.store.load(&self.gid).await {
            Ok(Some(txn)) => self.hold(txn).await.map(|()| true),
            Ok(None) => Ok(false),
            Err(error) => Err(Failed::Lost(self.store_failed(error))),
        }
    }

    /// Creates the transaction, or holds the one that has its gid. Whether it was created.
    pub(super) async fn create(&mut self, def: Arc<Definition>, submitted: bool) -> Result<bool, Failed> {
        self.make_room(def.bytes())?;
        let shared = &self.shared;
        let mut drive = Box::new(Drive::begin(def, submitted, shared.config.defaults));
        let mut step = next(&drive, drive.txn().def.created_at);
        let progress = step.commit_first.take().unwrap_or_else(|| Box::new(drive.txn().progress.clone()));
        let driving = stays_in_flight(&drive, &step, &progress);
        let head = Head::of(&progress, shared.config.owner, driving);
        let new = NewTxn::encode(&drive.txn().def, &progress, head, shared.write_id());
        match shared.store.create(new).await {
            Ok(Created::New(version)) => {
                shared.write_succeeded();
                self.tell_stored(&drive, &progress);
                drive.stored(progress);
                self.held = Some(Held { drive, version });
                Ok(true)
            }
            Ok(Created::Exists(txn)) => {
                Box::pin(self.hold(*txn)).await?;
                Ok(false)
            }
            Err(StoreError::Busy) => Err(Failed::Refused(RequestError::Overloaded { retry_after: RETAKE_AFTER })),
            Err(error) => Err(Failed::Lost(self.write_failed(error))),
        }
    }

    pub(super) async fn commit(&mut self, progress: Box<Progress>, driving: bool) -> Result<(), Lost> {
        let Some(Held { drive, version: expected }) = &self.held else { return Ok(()) };
        let change = Change {
            gid: self.gid.clone(),
            expected: *expected,
            write: self.shared.write_id(),
            head: Head::of(&progress, self.shared.config.owner, driving),
            progress: escrow_store::codec::encode_progress(&progress),
            add: drive.added().to_vec(),
            history: drive.attempts().to_vec(),
        };
        let version = match self.shared.store.commit(change).await {
            Ok(version) => version,
            Err(CommitError::Conflict { current }) => {
                tracing::warn!(gid = %self.gid, ?current, "the transaction is at another version: its claim was lost");
                return Err(Lost(RequestError::Interrupted { gid: self.gid.clone() }));
            }
            Err(CommitError::Store(error)) => return Err(self.write_failed(error)),
            Err(error) => {
                tracing::error!(gid = %self.gid, error = error_chain(&error), "the commit failed");
                return Err(Lost(RequestError::Interrupted { gid: self.gid.clone() }));
            }
        };
        self.shared.write_succeeded();
        self.tell_stored(drive, &progress);
        self.claim = None;
        if let Some(held) = &mut self.held {
            held.drive.stored(progress);
            held.version = version;
        }
        Ok(())
    }

    /// Tells the timers and the counters what has become durable.
    fn tell_stored(&self, drive: &Drive, progress: &Progress) {
        let (def, status) = (&drive.txn().def, progress.status);
        if let Some(at) = progress.next_run_at {
            self.shared.due.at(at);
        }
        if status.is_final() {
            self.shared.observer.finished(def.pattern, status, progress.updated_at.since(def.created_at));
        }
        let asked_before = drive.durable().is_some_and(|before| before.attention.is_some());
        if let Some(attention) = progress.attention.as_ref().filter(|_| !asked_before) {
            tracing::info!(gid = %self.gid, reason = attention.reason, "a transaction asks for attention");
            self.shared.observer.attention(def.pattern);
        }
        tracing::debug!(gid = %self.gid, ?status, "stored");
    }

    /// Stores what would otherwise have ridden along: the coordinator stops.
    pub(super) async fn save(&mut self) -> Result<(), Lost> {
        let Some(held) = &self.held else { return Ok(()) };
        let progress = &held.drive.txn().progress;
        if held.drive.durable() == Some(progress) {
            return Ok(());
        }
        let progress = Progress { next_run_at: None, ..progress.clone() };
        self.commit(Box::new(progress), true).await
    }

    fn write_failed(&self, error: StoreError) -> Lost {
        self.shared.write_failed();
        self.store_failed(error)
    }

    pub(super) fn store_failed(&self, error: StoreError) -> Lost {
        let chain = error_chain(&error);
        if matches!(error, StoreError::Corrupt { .. }) {
            tracing::error!(gid = %self.gid, error = chain, "a transaction cannot be read and is held");
        } else {
            tracing::warn!(gid = %self.gid, error = chain, "the store failed");
        }
        Lost(RequestError::Store { gid: self.gid.clone(), source: Arc::new(error) })
    }

    /// Forgets what it holds and hands the transaction back: what stands is in the store, and will be taken up from there. One
    /// that cannot be read stays claimed, so that nobody takes it up before the next start.
    pub(super) async fn lost(&mut self, error: RequestError) {
        self.held = None;
        self.calls.clear();
        for (reply, _) in std::mem::take(&mut self.replies) {
            respond(reply, Err(error.clone()));
        }
        for waiter in std::mem::take(&mut self.waiters) {
            waiter.send(Err(error.clone()));
        }
        let is_unreadable =
            matches!(&error, RequestError::Store { source, .. } if matches!(**source, StoreError::Corrupt { .. }));
        if is_unreadable {
            return;
        }
        let due_at = self.shared.clock.now().plus(RETAKE_AFTER);
        self.shared.store.release(&self.gid, due_at).await;
        self.shared.due.at(due_at);
    }
}

/// Whether whoever stores this progress goes on with the transaction at once: then a restart has to find it in flight, since
/// no time is stored at which it would be due.
pub(super) fn stays_in_flight(drive: &Drive, step: &Step, progress: &Progress) -> bool {
    let is_late = step.wake_at.is_some() && progress.next_run_at.is_none();
    is_late || !step.calls.is_empty() || !drive.is_idle()
}
