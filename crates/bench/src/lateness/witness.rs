//! A participant that notes when each call of a transaction has come.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;

use crate::participant::{Participants, Reply};

use super::stored::Moment;

/// Listens; answers *done* unless told otherwise.
pub(super) struct Witness {
    participants: Participants,
    expected: Arc<Expected>,
}

/// The calls of one transaction, from when it is expected until this is dropped.
pub(super) struct Calls {
    gid: String,
    expected: Arc<Expected>,
    moments: mpsc::Receiver<Moment>,
}

#[derive(Default)]
struct Expected(Mutex<HashMap<String, Entry>>);

struct Entry {
    /// The answer to the first call; all later ones are done.
    first: Option<Reply>,
    moments: mpsc::Sender<Moment>,
}

/// A transaction is called once or twice; more calls than this need not be known.
const CALLS_MAX: usize = 4;

/// Longer than any wait, and any lateness that would still have to be told in milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

impl Witness {
    /// # Errors
    /// No port can be had.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let expected = Arc::new(Expected::default());
        let noted = Arc::clone(&expected);
        let participants = Participants::answering(move |call| noted.note(call.gid)).await?;
        Ok(Self { participants, expected })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.participants.address()
    }

    /// Notes the calls of this transaction from now on; the first one is answered with `first`.
    pub(super) fn expect(&self, gid: &str, first: Reply) -> Calls {
        let (sender, moments) = mpsc::channel(CALLS_MAX);
        self.expected.lock().insert(gid.to_owned(), Entry { first: Some(first), moments: sender });
        Calls { gid: gid.to_owned(), expected: Arc::clone(&self.expected), moments }
    }
}

impl Calls {
    /// When the next call was read, which is before it was answered.
    ///
    /// # Errors
    /// None comes.
    pub(super) async fn next(&mut self) -> anyhow::Result<Moment> {
        let next = tokio::time::timeout(PATIENCE, self.moments.recv()).await;
        next.ok().flatten().with_context(|| format!("no call within {PATIENCE:?}"))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.expected.lock().remove(&self.gid);
    }
}

impl Expected {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, gid: &str) -> Reply {
        let now = Moment::now();
        let mut expected = self.lock();
        let Some(entry) = expected.get_mut(gid) else { return Reply::Done };
        // Nobody looks at more calls than there is room for.
        let _ = entry.moments.try_send(now);
        entry.first.take().unwrap_or(Reply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Connection;

    #[tokio::test]
    async fn calls_are_noted_by_transaction_and_only_the_first_is_answered_otherwise() {
        let witness = Witness::start().await.unwrap();
        let mut one = witness.expect("g-1", Reply::InProgress);
        let mut other = witness.expect("g-2", Reply::Broken);
        let mut connection = Connection::open(witness.address()).await.unwrap();
        let begin = Moment::now();
        for (target, status) in [("/?gid=g-1", 425), ("/?gid=g-2", 500), ("/?gid=g-1", 200), ("/?gid=g-3", 200)] {
            assert_eq!(connection.post(target, "{}").await.unwrap().status, status, "{target}");
        }
        let end = Moment::now();
        let moments = [one.next().await.unwrap(), other.next().await.unwrap(), one.next().await.unwrap()];
        assert!(begin <= moments[0] && moments.is_sorted() && moments[2] <= end);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_transaction_that_nobody_looks_at_any_more() {
        let witness = Witness::start().await.unwrap();
        drop(witness.expect("g", Reply::Done));
        assert!(witness.expected.lock().is_empty());
    }
}
