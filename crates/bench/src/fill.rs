//! Fills a store with transactions, through the store itself: as they would be after a coordinator has driven them that far.
//!
//! They go the way of a transfer from another store: what is finished is archived at once, and what waits is out of memory at
//! once. So a coordinator that opens the store has nothing left to do for them.

use std::time::Duration;

use escrow_store::{Backend, Clock, Head, NewTxn, OwnerEpoch, StoreError, StoredTxn, SystemClock, WriteId, codec};
use escrow_txn::{
    Answer, Branch, BranchId, BranchOutcome, Defaults, Definition, Digest, Drive, Event, Gid, Moment, Options, Pattern,
    Timestamp, apply, next,
};

/// Transactions that are given to a store at once.
const AT_ONCE: u64 = 8_000;

/// They are older than everything that is measured, and not old enough to be forgotten.
const AGE: Duration = Duration::from_secs(60 * 60);

/// The earliest of them goes on after a day, the last one within this.
const DELAY_DAYS: std::ops::RangeInclusive<u64> = 1..=7;

/// What a store is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Messages of two steps whose delay ends in days.
    Waiting,
    /// Sagas of two steps, committed.
    Finished,
}

/// Puts so many new transactions into the store: random gids, and random bodies of some 150 bytes for each of two branches.
///
/// # Errors
/// [`StoreError`]; some may be in the store then.
pub(crate) async fn fill(store: &dyn Backend, filling: Filling, count: u64) -> Result<(), StoreError> {
    let created_at = Timestamp::from_micros(SystemClock.now().as_micros() - AGE.as_micros() as u64);
    let mut made = 0;
    while made < count {
        let piece = AT_ONCE.min(count - made);
        let txns = (made..made + piece).map(|index| filling.make(created_at.plus(Duration::from_micros(index))));
        store.import(txns.collect()).await?;
        made += piece;
    }
    Ok(())
}

impl Filling {
    fn make(self, created_at: Timestamp) -> StoredTxn {
        let drive = match self {
            Self::Waiting => waiting(created_at),
            Self::Finished => finished(created_at),
        };
        let (txn, is_driven) = (drive.txn(), false);
        // Whoever had it is gone: no owner is stored with what is not driven.
        let head = Head::of(&txn.progress, OwnerEpoch(0), is_driven);
        let new = NewTxn::encode(&txn.def, &txn.progress, head, WriteId(rand::random()));
        StoredTxn { history: codec::encode_attempts(&txn.history), ..new.into() }
    }
}

/// A submitted message whose first step is stored.
fn waiting(created_at: Timestamp) -> Drive {
    let days = rand::random_range(DELAY_DAYS.start() * 86_400..=DELAY_DAYS.end() * 86_400);
    let options = Options { delay: Some(Duration::from_secs(days)), ..Options::default() };
    let mut drive = Drive::begin(definition(Pattern::Message, options, created_at), true, Defaults::default());
    obey(&mut drive, created_at);
    drive
}

/// A saga whose participants all answered *done*.
fn finished(created_at: Timestamp) -> Drive {
    let mut drive = Drive::begin(definition(Pattern::Saga, Options::default(), created_at), true, Defaults::default());
    while !obey(&mut drive, created_at) {}
    drive
}

/// Does what the rules say next, once; whether it is final now.
fn obey(drive: &mut Drive, now: Timestamp) -> bool {
    let step = next(drive, now);
    if let Some(progress) = step.commit_first {
        drive.stored(progress);
    }
    for call in step.calls {
        drive.calling(call);
        let latency = Duration::from_micros(500);
        let answer = Answer { call, outcome: BranchOutcome::Done, code: Some(200), latency, text: String::new() };
        // An answer to a call in flight is always allowed.
        let _ = apply(drive, Event::Answer(answer), Moment::at(now));
    }
    step.settled
}

fn definition(pattern: Pattern, options: Options, created_at: Timestamp) -> Definition {
    let gid = format!("{:032x}", rand::random::<u128>());
    let branches = vec![branch("01", "debit"), branch("02", "credit")];
    Definition {
        gid: Gid::parse(&gid).expect("32 hexadecimal digits are a gid"),
        pattern,
        created_at,
        options,
        orders: Vec::new(),
        check_back_url: String::new(),
        custom_data: String::new(),
        business_key: None,
        digest: Digest::of(pattern, &branches),
        branches,
    }
}

/// Nobody listens there: nothing of a filling is ever called.
fn branch(id: &str, path: &str) -> Branch {
    Branch {
        id: BranchId::parse(id).expect("digits are a branch id"),
        forward_url: format!("http://127.0.0.1:9/{path}"),
        backward_url: format!("http://127.0.0.1:9/{path}/undo"),
        payload: body().into(),
    }
}

/// Random, so that no disk and no database can make it smaller than it is.
fn body() -> String {
    let [a, b, c, d] = rand::random::<[u128; 4]>();
    format!(r#"{{"amount":30,"note":"{a:032x}{b:032x}{c:032x}{d:032x}"}}"#)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::sync::Arc;

    use escrow_store_local::LocalStore;
    use escrow_store_sqlite::SqliteStore;
    use escrow_txn::Status;

    use super::*;

    fn local(dir: &Path) -> Arc<dyn Backend> {
        Arc::new(LocalStore::open(&dir.join("data"), Arc::new(SystemClock)).unwrap())
    }

    fn sqlite(dir: &Path) -> Arc<dyn Backend> {
        Arc::new(SqliteStore::open(&dir.join("escrow.db"), Arc::new(SystemClock)).unwrap())
    }

    async fn contents(store: &dyn Backend) -> Vec<StoredTxn> {
        store.export(None, NonZeroU32::new(1000).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_filled_store_opens_with_what_was_put_in() {
        for open in [local, sqlite] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            fill(&*store, Filling::Waiting, 7).await.unwrap();
            fill(&*store, Filling::Finished, 5).await.unwrap();
            drop(store);
            let store = open(dir.path());
            let txns = contents(&*store).await;
            let with = |status| txns.iter().filter(|txn| txn.head.status == status).count();
            assert_eq!((with(Status::Submitted), with(Status::Committed), txns.len()), (7, 5, 12));
        }
    }

    #[tokio::test]
    async fn the_embedded_store_has_none_of_it_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let store = local(dir.path());
        fill(&*store, Filling::Waiting, 7).await.unwrap();
        fill(&*store, Filling::Finished, 5).await.unwrap();
        let stats = store.stats();
        let embedded = stats.embedded.unwrap();
        assert_eq!((stats.live, embedded.archive_backlog), (0, 0));
        assert_eq!((embedded.spilled, embedded.archived), (7, 5));
    }

    #[tokio::test]
    async fn nothing_of_it_is_due_for_hours_and_nobody_has_it() {
        for open in [local, sqlite] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            fill(&*store, Filling::Waiting, 7).await.unwrap();
            let now = SystemClock.now();
            let claimed = store.claim_due(OwnerEpoch(1), NonZeroU32::new(10).unwrap()).await.unwrap();
            assert!(claimed.gids.is_empty());
            assert!(claimed.next_due_at.unwrap().since(now) > Duration::from_secs(22 * 3600));
            assert!(contents(&*store).await.iter().all(|txn| txn.head.owner.is_none()));
        }
    }

    #[test]
    fn what_is_finished_has_called_both_branches() {
        let drive = finished(Timestamp::from_micros(1));
        assert_eq!(drive.txn().progress.status, Status::Committed);
        assert_eq!(drive.txn().history.len(), 2);
    }

    #[test]
    fn no_two_are_alike() {
        let [one, other] = [(); 2].map(|()| Filling::Waiting.make(Timestamp::from_micros(1)));
        assert_ne!(one.gid, other.gid);
        assert_ne!(one.definition, other.definition);
    }
}
