//! Transactions to store, and the steps that many claims begin with.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use escrow_txn::{
    Branch, BranchId, BranchProgress, Definition, Gid, OpProgress, Options, Pattern, Progress, Reach, Status,
    Timestamp, Txn,
};

use super::{ManualClock, Subject};
use crate::{Change, Created, Head, NewTxn, OwnerEpoch, Store, Version, Versioned, WriteId, codec};

pub(crate) const OWNER: OwnerEpoch = OwnerEpoch(7);
pub(crate) const WRITE: WriteId = WriteId(11);

pub(crate) fn gid(text: &str) -> Gid {
    Gid::parse(text).unwrap()
}

/// A moment at which a test begins; what it is does not matter.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000)
}

pub(crate) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(crate) fn limit(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// An empty store, and its clock.
pub(crate) async fn opened<S: Subject>() -> (S, Arc<ManualClock>) {
    let clock = ManualClock::at(start());
    (S::open(clock.clone()).await, clock)
}

pub(crate) fn branch(id: &str, payload: impl Into<Bytes>) -> Branch {
    Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url: format!("http://stock.test/{id}"),
        backward_url: format!("http://stock.test/{id}/back"),
        payload: payload.into(),
    }
}

/// A transaction to store: a saga of two steps, submitted at [`start`] and in flight, until told otherwise.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) def: Definition,
    pub(crate) progress: Progress,
    pub(crate) driving: bool,
}

impl Sample {
    pub(crate) fn new(gid: &Gid) -> Self {
        let def = Definition {
            gid: gid.clone(),
            pattern: Pattern::Saga,
            created_at: start(),
            options: Options { concurrent: true, ..Options::default() },
            orders: vec![],
            check_back_url: String::new(),
            custom_data: "free text".to_owned(),
            business_key: None,
            digest: None,
            branches: vec![branch("01", "{}"), branch("02", "[1]")],
        };
        let progress = Progress {
            status: Status::Submitted,
            branches: vec![BranchProgress::default(); 2],
            check_back: OpProgress::default(),
            reach: Reach::All,
            retries: 0,
            reason: None,
            attention: None,
            next_run_at: None,
            amended: None,
            order: None,
            updated_at: start(),
            finished_at: None,
        };
        Self { def, progress, driving: true }
    }

    pub(crate) fn created_at(mut self, at: Timestamp) -> Self {
        self.def.created_at = at;
        self
    }

    /// Waits until `at`; `None`: until its initiator comes back.
    pub(crate) fn waiting(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.driving = false;
        self.progress.next_run_at = at.into();
        self
    }

    pub(crate) fn status(mut self, status: Status) -> Self {
        self.progress.status = status;
        self
    }

    pub(crate) fn committed(mut self, at: Timestamp) -> Self {
        self.progress.finished_at = Some(at);
        self.progress.updated_at = at;
        self.waiting(None).status(Status::Committed)
    }

    fn head(&self) -> Head {
        Head::of(&self.progress, OWNER, self.driving)
    }

    pub(crate) fn new_txn(&self) -> NewTxn {
        NewTxn::encode(&self.def, &self.progress, self.head(), WRITE)
    }

    /// A change that stores this sample's progress.
    pub(crate) fn change(&self, expected: Version) -> Change {
        Change {
            gid: self.def.gid.clone(),
            expected,
            write: WRITE,
            head: self.head(),
            progress: codec::encode_progress(&self.progress),
            add: Vec::new(),
            history: Vec::new(),
        }
    }

    /// What is loaded after it was created.
    pub(crate) fn txn(&self) -> Txn {
        Txn { def: Arc::new(self.def.clone()), progress: self.progress.clone(), history: Vec::new() }
    }

    /// Stores it under a gid that has to be free.
    pub(crate) async fn create(&self, store: &impl Store) {
        let created = store.create(self.new_txn()).await.unwrap();
        assert!(matches!(created, Created::New(Version::FIRST)), "{created:?}");
    }
}

/// The transaction under a gid that has to be there.
pub(crate) async fn loaded(store: &impl Store, gid: &Gid) -> Versioned<Txn> {
    store.load(gid).await.unwrap().unwrap()
}

/// Claims what is due, and returns the gids and when the next one is due. Everything has to be readable.
pub(crate) async fn claim(store: &impl Store, at_most: u32) -> (Vec<String>, Option<Timestamp>) {
    let claimed = store.claim_due(OWNER, limit(at_most)).await.unwrap();
    assert!(claimed.unreadable.is_empty(), "{:?}", claimed.unreadable);
    let gids = claimed.txns.iter().map(|txn| txn.value.def.gid.to_string());
    (gids.collect(), claimed.next_due_at)
}

/// Runs `tasks` at the same time and returns what they return.
pub(crate) async fn together<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut running = tokio::task::JoinSet::new();
    for task in tasks {
        running.spawn(task);
    }
    running.join_all().await
}
