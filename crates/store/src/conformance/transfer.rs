use bytes::Bytes;
use escrow_txn::{Attempt, Attention, BranchOp, BranchOutcome, BranchProgress, BusinessKey, CallId, Pattern, Status};

use super::Subject;
use super::sample::{self, Sample, claim, gid, limit, loaded, seconds, start};
use crate::{ListQuery, Setting, Settings, SettingsError, Store, StoredTxn, Transfer, Version};

/// Stores transactions of all kinds: finished and not, waiting, in flight, with everything that a change can add.
async fn fill(store: &impl Store) {
    let mut known = Sample::new(&gid("b finished")).created_at(start().plus(seconds(3)));
    known.def.business_key = Some(BusinessKey::parse("order 7").unwrap());
    known.create(store).await;
    known.progress.branches.push(BranchProgress::default());
    let mut change = known.change(Version::FIRST);
    change.add.push(sample::branch("03", "{}"));
    change.history.push(Attempt {
        at: start(),
        branch: Some(known.def.branches[0].id.clone()),
        op: BranchOp::Action,
        outcome: BranchOutcome::Done,
        code: Some(200),
        latency: seconds(1),
        answer: "yes".to_owned(),
    });
    let version = store.commit(change).await.unwrap();
    store.commit(known.committed(start().plus(seconds(9))).change(version)).await.unwrap();

    let mut asking = Sample::new(&gid("a asking")).waiting(start().plus(seconds(5)));
    asking.progress.attention = Some(Attention {
        call: CallId::of(0, BranchOp::Action),
        reason: "asks for a human".to_owned(),
        last_answer: "503".to_owned(),
        since: start(),
    });
    asking.create(store).await;
    let mut prepared = Sample::new(&gid("c prepared")).status(Status::Prepared).waiting(None);
    prepared.def.pattern = Pattern::Tcc;
    prepared.create(store).await;
    Sample::new(&gid("d in flight")).created_at(start().plus(seconds(1))).create(store).await;
    Sample::new(&gid("e far")).waiting(start().plus(seconds(86_400))).create(store).await;
    Sample::new(&gid("f aborted")).committed(start().plus(seconds(4))).status(Status::Aborted).create(store).await;
}

async fn exported(store: &impl Transfer, chunk: u32) -> Vec<StoredTxn> {
    let mut all: Vec<StoredTxn> = Vec::new();
    loop {
        let after = all.last().map(|last| last.gid.clone());
        let more = store.export(after.as_ref(), limit(chunk)).await.unwrap();
        assert!(more.len() <= chunk as usize);
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Carries everything over, in pieces.
async fn carry_over(from: &impl Transfer, to: &impl Transfer) {
    let all = exported(from, 2).await;
    for piece in all.chunks(2) {
        to.import(piece.to_vec()).await.unwrap();
    }
    to.import_settings(from.export_settings().await.unwrap()).await.unwrap();
}

fn queries() -> Vec<ListQuery> {
    let all = ListQuery::newest(limit(99));
    let key = BusinessKey::parse("order 7").unwrap();
    vec![
        all.clone(),
        ListQuery { statuses: vec![Status::Submitted, Status::Aborted], ..all.clone() },
        ListQuery { pattern: Some(Pattern::Tcc), ..all.clone() },
        ListQuery { business_key: Some(key), ..all.clone() },
        ListQuery { attention: Some(true), ..all.clone() },
        ListQuery { waiting_past: Some(start().plus(seconds(60))), ..all.clone() },
        ListQuery { created_from: Some(start().plus(seconds(1))), ..all },
    ]
}

/// Both stores answer every reader alike.
async fn assert_alike<S>(one: &S, other: &S)
where
    S: Store + Settings + Transfer,
{
    let all = exported(one, 99).await;
    assert_eq!(exported(other, 99).await, all);
    for txn in all {
        assert_eq!(loaded(other, &txn.gid).await, loaded(one, &txn.gid).await);
    }
    for query in queries() {
        let (page, expected) = (other.list(&query).await.unwrap(), one.list(&query).await.unwrap());
        assert_eq!((page.items, page.next), (expected.items, expected.next), "{query:?}");
    }
    assert_eq!(other.export_settings().await.unwrap(), one.export_settings().await.unwrap());
}

pub async fn what_is_carried_over_is_loaded_and_listed_the_same<S: Subject>()
where
    S::Store: Transfer,
{
    let ((from, _clock), (to, _other)) = (sample::opened::<S>().await, sample::opened::<S>().await);
    fill(&*from.store()).await;
    carry_over(&*from.store(), &*to.store()).await;
    assert_alike(&*from.store(), &*to.store()).await;
    let finished = loaded(&*to.store(), &gid("b finished")).await;
    assert_eq!(finished.version, Version(3));
    assert_eq!((finished.value.def.branches.len(), finished.value.history.len()), (3, 1));

    let to = to.reopen().await;
    assert_alike(&*from.store(), &*to.store()).await;
}

pub async fn an_export_comes_in_gid_order_and_its_pieces_join<S: Subject>()
where
    S::Store: Transfer,
{
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    assert_eq!(exported(&*store, 3).await, []);
    for text in ["b", "B", "a-1", "a", "10", "9", "a.1"] {
        let sample = Sample::new(&gid(text));
        if text == "9" { sample.committed(start()) } else { sample }.create(&*store).await;
    }
    let gids = async |chunk| {
        let all = exported(&*store, chunk).await;
        all.into_iter().map(|txn| txn.gid.to_string()).collect::<Vec<_>>()
    };
    for chunk in [1, 2, 3, 7, 8] {
        assert_eq!(gids(chunk).await, ["10", "9", "B", "a", "a-1", "a.1", "b"], "in pieces of {chunk}");
    }
    let behind = store.export(Some(&gid("a0")), limit(9)).await.unwrap();
    assert_eq!(behind.len(), 1, "a gid that is not there is a place all the same");
}

pub async fn what_is_carried_over_is_due_when_it_would_have_been<S: Subject>()
where
    S::Store: Transfer,
{
    let ((from, _clock), (to, clock)) = (sample::opened::<S>().await, sample::opened::<S>().await);
    fill(&*from.store()).await;
    carry_over(&*from.store(), &*to.store()).await;
    let (asking, far) = (start().plus(seconds(5)), start().plus(seconds(86_400)));
    assert_eq!(claim(&*to.store(), 9).await.1, Some(asking), "the time of a wait is known at once");

    let to = to.reopen().await;
    let store = to.store();
    assert_eq!(claim(&*store, 9).await, (vec!["d in flight".to_owned()], Some(asking)), "at once");
    clock.advance(seconds(5));
    assert_eq!(claim(&*store, 9).await, (vec!["a asking".to_owned()], Some(far)));
    clock.advance(seconds(86_395));
    assert_eq!(claim(&*store, 9).await, (vec!["e far".to_owned()], None));
}

pub async fn what_is_carried_over_goes_on_from_its_version<S: Subject>()
where
    S::Store: Transfer,
{
    let ((from, _clock), (to, _other)) = (sample::opened::<S>().await, sample::opened::<S>().await);
    fill(&*from.store()).await;
    carry_over(&*from.store(), &*to.store()).await;
    let store = to.store();
    let in_flight = Sample::new(&gid("d in flight"));
    let version = store.commit(in_flight.committed(start().plus(seconds(20))).change(Version::FIRST)).await.unwrap();
    assert_eq!(version, Version(2));
    let taken = store.create(Sample::new(&gid("b finished")).new_txn()).await.unwrap();
    assert!(matches!(taken, crate::Created::Exists(stands) if stands.version == Version(3)));
    assert_eq!(store.purge(start().plus(seconds(10)), limit(9)).await.unwrap(), 2);
    let left: Vec<String> = exported(&*store, 9).await.into_iter().map(|txn| txn.gid.to_string()).collect();
    assert_eq!(left, ["a asking", "c prepared", "d in flight", "e far"]);
}

pub async fn what_is_carried_over_twice_is_there_once_as_it_was_last<S: Subject>()
where
    S::Store: Transfer,
{
    let ((from, _clock), (to, clock)) = (sample::opened::<S>().await, sample::opened::<S>().await);
    fill(&*from.store()).await;
    carry_over(&*from.store(), &*to.store()).await;
    let moved = Sample::new(&gid("a asking")).committed(start().plus(seconds(30)));
    from.store().commit(moved.change(Version::FIRST)).await.unwrap();
    carry_over(&*from.store(), &*to.store()).await;
    assert_alike(&*from.store(), &*to.store()).await;
    let to = to.reopen().await;
    assert_alike(&*from.store(), &*to.store()).await;
    clock.advance(seconds(60));
    assert_eq!(claim(&*to.store(), 9).await.0, ["d in flight"], "what has ended meanwhile is not due any more");
}

pub async fn settings_are_carried_over_with_their_versions<S: Subject>()
where
    S::Store: Transfer,
{
    let ((from, _clock), (to, _other)) = (sample::opened::<S>().await, sample::opened::<S>().await);
    let one = from.store();
    let put = async |category: &str, key: &str, expected| {
        one.put(category, key, Bytes::from_static(b"\x00value"), expected).await.unwrap();
    };
    put("topic", "paid", None).await;
    put("topic", "paid", Some(Version::FIRST)).await;
    put("topic", "", None).await;
    put("epoch", "paid", None).await;
    carry_over(&*one, &*to.store()).await;

    let setting = |key: &str, version| Setting {
        key: key.to_owned(),
        value: Bytes::from_static(b"\x00value"),
        version: Version(version),
    };
    let to = to.reopen().await;
    let mut all = to.store().export_settings().await.unwrap();
    all.sort_by(|(a, left), (b, right)| (a, &left.key).cmp(&(b, &right.key)));
    let expected = [("epoch", setting("paid", 1)), ("topic", setting("", 1)), ("topic", setting("paid", 2))];
    assert_eq!(all, expected.map(|(category, setting)| (category.to_owned(), setting)));
    let store = to.store();
    assert_eq!(store.get("topic", "paid").await.unwrap(), Some(setting("paid", 2)));
    let stale = store.put("topic", "paid", Bytes::new(), Some(Version::FIRST)).await;
    assert!(matches!(stale, Err(SettingsError::Conflict { current: Some(Version(2)) })), "{stale:?}");
}
