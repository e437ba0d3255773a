//! One mailbox per active gid: whoever wants something of a transaction puts it there, and one driver at a time takes it
//! out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
pub(crate) type Reply = Option<oneshot::Sender<Result<Answer, RequestError>>>;

/// Where the result goes that somebody waits for.
pub(crate) type ResultSender = oneshot::Sender<Result<Receipt, RequestError>>;

/// The request is carried out, durably.
#[derive(Debug)]
pub(crate) enum Answer {
    /// That is all.
    Accepted,
    /// The result comes later.
    ResultFollows(oneshot::Receiver<Result<Receipt, RequestError>>),
}

#[derive(Debug)]
pub(crate) enum Ask {
    Prepare(Box<Begin>),
    Submit(Box<Begin>),
    Abort(Abort),
    Register(Box<Registration>),
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
    shards: Vec<Mutex<BTreeMap<Gid, mpsc::Sender<Mail>>>>,
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
        mut mail: Mail,
        max: usize,
        start: impl FnOnce(mpsc::Receiver<Mail>),
    ) -> Result<(), Undelivered> {
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
    pub(crate) fn close_if_empty(&self, gid: &Gid, mailbox: &mut mpsc::Receiver<Mail>) -> Result<(), Mail> {
        let mut shard = self.shard(gid);
        if let Ok(mail) = mailbox.try_recv() {
            return Err(mail);
        }
        mailbox.close();
        self.forget(&mut shard, gid);
        Ok(())
    }

    /// Closes the mailbox whatever is in it; what was in it comes back.
    pub(crate) fn close(&self, gid: &Gid, mailbox: &mut mpsc::Receiver<Mail>) -> Vec<Mail> {
        let mut shard = self.shard(gid);
        mailbox.close();
        self.forget(&mut shard, gid);
        std::iter::from_fn(|| mailbox.try_recv().ok()).collect()
    }

    fn forget(&self, shard: &mut BTreeMap<Gid, mpsc::Sender<Mail>>, gid: &Gid) {
        if shard.remove(gid).is_some() {
            self.active.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, gid: &Gid) -> MutexGuard<'_, BTreeMap<Gid, mpsc::Sender<Mail>>> {
        let mut hasher = DefaultHasher::new();
        gid.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
