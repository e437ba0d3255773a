//! One mailbox per active gid: whoever wants something of a transaction puts it there, and one driver at a time takes it
//! out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use escrow_txn::{Abort, Begin, Gid, Operator, Registration};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::{Receipt, RequestError};

/// Requests that may wait for one transaction.
const MAILBOX_MAX: usize = 256;
const SHARDS: usize = 64;

/// Something asked of a transaction, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) ask: Ask,
    pub(crate) reply: Reply,
}

/// Where an answer goes; `None`: nobody waits for one.
pub(crate) type Reply = Option<ReplyTo>;

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    answer: oneshot::Sender<Result<Receipt, RequestError>>,
    is_durable: Arc<AtomicBool>,
}

/// The answer to come.
#[derive(Debug)]
pub(crate) struct Answer {
    answer: oneshot::Receiver<Result<Receipt, RequestError>>,
    is_durable: Arc<AtomicBool>,
}

impl ReplyTo {
    pub(crate) fn new() -> (Self, Answer) {
        let ((sender, answer), is_durable) = (oneshot::channel(), Arc::<AtomicBool>::default());
        (Self { answer: sender, is_durable: Arc::clone(&is_durable) }, Answer { answer, is_durable })
    }

    /// What was asked is durable; its result follows. Whoever waits is not woken for it.
    pub(crate) fn is_durable(&self) {
        self.is_durable.store(true, Ordering::Relaxed);
    }

    pub(crate) fn send(self, answer: Result<Receipt, RequestError>) {
        // The caller may have gone; what was done stays done.
        let _ = self.answer.send(answer);
    }
}

impl Answer {
    /// The answer; `None`: there will be none.
    pub(crate) async fn received(&mut self) -> Option<Result<Receipt, RequestError>> {
        (&mut self.answer).await.ok()
    }

    /// Whether what was asked is durable, so far.
    pub(crate) fn is_durable(&self) -> bool {
        self.is_durable.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) enum Ask {
    Prepare(Begin),
    Submit(Begin),
    Abort(Abort),
    Register(Registration),
    RetryNow,
    OrderAbort(Operator),
    ForceStop(Operator),
    /// It was claimed because it is due. Counts among the claimed ones until its driver has stored something, or ends.
    Due(OwnedSemaphorePermit),
}

/// Why mail was not delivered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Too many transactions are active, or too much waits for this one.
    Full,
}

#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<Mutex<BTreeMap<Gid, mpsc::Sender<Box<Mail>>>>>,
    active: AtomicUsize,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), active: AtomicUsize::new(0) }
    }

    /// How many drivers there are.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Puts mail into the gid's mailbox; makes one, and calls `start` with it, if there is none and fewer than `max` are
    /// active.
    pub(crate) fn deliver(
        &self,
        gid: &Gid,
        mail: Mail,
        max: usize,
        start: impl FnOnce(mpsc::Receiver<Box<Mail>>),
    ) -> Result<(), Undelivered> {
        let mut mail = Box::new(mail);
        let mut shard = self.shard(gid);
        if let Some(mailbox) = shard.get(gid) {
            mail = match mailbox.try_send(mail) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Undelivered::Full),
                Err(mpsc::error::TrySendError::Closed(mail)) => mail,
            };
            self.forget(&mut shard, gid);
        }
        if self.active() >= max {
            return Err(Undelivered::Full);
        }
        let (mailbox, receiver) = mpsc::channel(MAILBOX_MAX);
        if mailbox.try_send(mail).is_err() {
            return Err(Undelivered::Full);
        }
        shard.insert(gid.clone(), mailbox);
        self.active.fetch_add(1, Ordering::Relaxed);
        drop(shard);
        start(receiver);
        Ok(())
    }

    /// Closes the mailbox if nothing is in it. Otherwise its driver has to go on.
    pub(crate) fn close_if_empty(&self, gid: &Gid, mailbox: &mut mpsc::Receiver<Box<Mail>>) -> Result<(), Box<Mail>> {
        let mut shard = self.shard(gid);
        if let Ok(mail) = mailbox.try_recv() {
            return Err(mail);
        }
        mailbox.close();
        self.forget(&mut shard, gid);
        Ok(())
    }

    /// Closes the mailbox whatever is in it; what was in it comes back.
    pub(crate) fn close(&self, gid: &Gid, mailbox: &mut mpsc::Receiver<Box<Mail>>) -> Vec<Mail> {
        let mut shard = self.shard(gid);
        mailbox.close();
        self.forget(&mut shard, gid);
        std::iter::from_fn(|| mailbox.try_recv().ok()).map(|mail| *mail).collect()
    }

    fn forget(&self, shard: &mut BTreeMap<Gid, mpsc::Sender<Box<Mail>>>, gid: &Gid) {
        if shard.remove(gid).is_some() {
            self.active.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, gid: &Gid) -> MutexGuard<'_, BTreeMap<Gid, mpsc::Sender<Box<Mail>>>> {
        let mut hasher = DefaultHasher::new();
        gid.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
