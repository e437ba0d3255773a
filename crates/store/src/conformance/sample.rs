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

/// Who claims in tests.
pub const OWNER: OwnerEpoch = OwnerEpoch(7);
/// The write id of all writes in tests.
pub const WRITE: WriteId = WriteId(11);

/// A gid.
pub fn gid(text: &str) -> Gid {
    Gid::parse(text).unwrap()
}

/// A moment at which a test begins; what it is does not matter.
pub fn start() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000)
}

/// A span of time.
pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// A limit.
pub fn limit(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// An empty store, and its clock.
pub async fn opened<S: Subject>() -> (S, Arc<ManualClock>) {
    let clock = ManualClock::at(start());
    (S::open(clock.clone()).await, clock)
}

/// A branch with both URLs.
pub fn branch(id: &str, payload: impl Into<Bytes>) -> Branch {
    Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url: format!("http://stock.test/{id}"),
        backward_url: format!("http://stock.test/{id}/back"),
        payload: payload.into(),
    }
}

/// A transaction to store: a saga of two steps, submitted at [`start`] and in flight, until told otherwise.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is.
    pub def: Definition,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it is in flight.
    pub driving: bool,
}

impl Sample {
    /// The sample under a gid.
    pub fn new(gid: &Gid) -> Self {
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

    /// Created at another time than [`start`].
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.def.created_at = at;
        self
    }

    /// Waits until `at`; `None`: until its initiator comes back.
    pub fn waiting(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.driving = false;
        self.progress.next_run_at = at.into();
        self
    }

    /// In another status than submitted.
    pub fn status(mut self, status: Status) -> Self {
        self.progress.status = status;
        self
    }

    /// Final since `at`.
    pub fn committed(mut self, at: Timestamp) -> Self {
        self.progress.finished_at = Some(at);
        self.progress.updated_at = at;
        self.waiting(None).status(Status::Committed)
    }

    fn head(&self) -> Head {
        Head::of(&self.progress, OWNER, self.driving)
    }

    /// What creates it.
    pub fn new_txn(&self) -> NewTxn {
        NewTxn::encode(&self.def, &self.progress, self.head(), WRITE)
    }

    /// A change that stores this sample's progress.
    pub fn change(&self, expected: Version) -> Change {
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
    pub fn txn(&self) -> Txn {
        Txn { def: Arc::new(self.def.clone()), progress: self.progress.clone(), history: Vec::new() }
    }

    /// Stores it under a gid that has to be free.
    pub async fn create(&self, store: &impl Store) {
        let created = store.create(self.new_txn()).await.unwrap();
        assert!(matches!(created, Created::New(Version::FIRST)), "{created:?}");
    }
}

/// The transaction under a gid that has to be there.
pub async fn loaded(store: &impl Store, gid: &Gid) -> Versioned<Txn> {
    store.load(gid).await.unwrap().unwrap()
}

/// Claims what is due, and returns the gids and when the next one is due.
pub async fn claim(store: &impl Store, at_most: u32) -> (Vec<String>, Option<Timestamp>) {
    let claimed = store.claim_due(OWNER, limit(at_most)).await.unwrap();
    (claimed.gids.iter().map(ToString::to_string).collect(), claimed.next_due_at)
}

/// Runs `tasks` at the same time and returns what they return.
pub async fn together<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut running = tokio::task::JoinSet::new();
    for task in tasks {
        running.spawn(task);
    }
    running.join_all().await
}
