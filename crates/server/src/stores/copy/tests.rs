use bytes::Bytes;
use escrow_store::ListQuery;
use escrow_store::conformance::sample::{Sample, gid, limit, seconds, start};
use tempfile::TempDir;

use super::*;

fn sqlite(dir: &TempDir, name: &str) -> StoreChoice {
    StoreChoice::Sqlite(dir.path().join(name))
}

/// More than two chunks of transactions, every third of them finished, and a topic.
async fn filled(store: &StoreChoice) -> u64 {
    let store = opened(store).await.unwrap();
    let count = CHUNK.get() * 2 + 7;
    let all = (0..count).map(|number| {
        let sample = Sample::new(&gid(&format!("{number:05}")));
        let sample = if number % 3 == 0 { sample.committed(start()) } else { sample.waiting(start().plus(seconds(9))) };
        StoredTxn::from(sample.new_txn())
    });
    store.import(all.collect()).await.unwrap();
    store.put("topic", "paid", Bytes::from_static(b"x"), None).await.unwrap();
    count.into()
}

#[tokio::test]
async fn a_copy_holds_what_the_store_holds_and_is_counted_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&dir, "from.db"), sqlite(&dir, "new/to.db"));
    let count = filled(&from).await;
    let mut heard = Vec::new();
    let copied = copy(&from, &to, |step, tally| heard.push((step, tally.transactions))).await.unwrap();
    assert_eq!((copied.transactions, copied.unfinished, copied.settings), (count, count * 2 / 3, 1));
    let chunk = u64::from(CHUNK.get());
    let steps = [chunk, 2 * chunk, count];
    let copying = steps.iter().chain([&count]).map(|&at| (CopyStep::Copying, at));
    assert_eq!(heard, copying.chain(steps.map(|at| (CopyStep::Checking, at))).collect::<Vec<_>>());

    let (one, other) = (opened(&from).await.unwrap(), opened(&to).await.unwrap());
    let newest = ListQuery::newest(limit(1_000));
    assert_eq!(other.list(&newest).await.unwrap().items, one.list(&newest).await.unwrap().items);
    assert_eq!(other.load(&gid("00500")).await.unwrap(), one.load(&gid("00500")).await.unwrap());
    assert_eq!(other.get("topic", "paid").await.unwrap(), one.get("topic", "paid").await.unwrap());
}

/// Why this copy is refused.
async fn refusal(from: &StoreChoice, to: &StoreChoice) -> (&'static str, String) {
    let refused = copy(from, to, |_, _| panic!("nothing is copied")).await.unwrap_err();
    (refused.code(), refused.to_string())
}

#[tokio::test]
async fn what_is_not_there_is_not_copied_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&dir, "from.db"), sqlite(&dir, "to.db"));
    assert_eq!(refusal(&from, &to).await, ("copy_refused", format!("there is no store {from}")));
    std::fs::write(from.path(), "").unwrap();
    assert_eq!(refusal(&from, &to).await.0, "copy_refused", "an empty file is no store");
    assert!(!to.path().exists());
}

#[tokio::test]
async fn a_store_that_holds_something_is_not_copied_into() {
    let dir = tempfile::tempdir().unwrap();
    let (from, with_txn, with_setting) = (sqlite(&dir, "a.db"), sqlite(&dir, "b.db"), sqlite(&dir, "c.db"));
    filled(&from).await;
    let sample = Sample::new(&gid("other"));
    opened(&with_txn).await.unwrap().create(sample.new_txn()).await.unwrap();
    opened(&with_setting).await.unwrap().put("topic", "paid", Bytes::new(), None).await.unwrap();
    for to in [with_txn, with_setting] {
        let expected = format!("the store {to} is not empty: a copy goes into a new one");
        assert_eq!(refusal(&from, &to).await, ("copy_refused", expected));
        assert!(opened(&to).await.unwrap().load(&gid("00000")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_store_that_somebody_has_open_is_neither_read_nor_written() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&dir, "from.db"), sqlite(&dir, "to.db"));
    filled(&from).await;
    assert_eq!(refusal(&from, &from).await.0, "store_locked", "not even by itself");
    for open_one in [&from, &to] {
        let running = opened(open_one).await.unwrap();
        assert_eq!(refusal(&from, &to).await, ("store_locked", format!("the store {open_one} cannot be used")));
        drop(running);
    }
    copy(&from, &to, |_, _| {}).await.unwrap();
}

#[tokio::test]
async fn a_store_is_carried_over_into_one_of_another_kind_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, back) =
        (sqlite(&dir, "from.db"), StoreChoice::Local(dir.path().join("to")), sqlite(&dir, "back.db"));
    let count = filled(&from).await;
    let copied = copy(&from, &to, |_, _| {}).await.unwrap();
    assert_eq!(copied.transactions, count);
    assert_eq!(refusal(&from, &to).await.0, "copy_refused", "it is not empty now");
    assert_eq!(copy(&to, &back, |_, _| {}).await.unwrap(), copied);
    let (one, other) = (opened(&from).await.unwrap(), opened(&back).await.unwrap());
    assert_eq!(other.export(None, CHUNK).await.unwrap(), one.export(None, CHUNK).await.unwrap());
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_no_store_until_it_is_made_anew() {
    for kind in ["sqlite", "local"] {
        let dir = tempfile::tempdir().unwrap();
        let from = sqlite(&dir, "escrow.db");
        let to = if kind == "local" { StoreChoice::Local(dir.path().to_owned()) } else { sqlite(&dir, "to.db") };
        filled(&from).await;
        let target = open_target(&to).await.unwrap();
        target.import(opened(&from).await.unwrap().export(None, CHUNK).await.unwrap()).await.unwrap();
        drop(target);
        let refused = open(&to, Arc::new(SystemClock)).await.unwrap_err();
        assert_eq!(refused.code(), "copy_incomplete");
        assert_eq!(refusal(&to, &sqlite(&dir, "other.db")).await.0, "copy_incomplete");
        let copied = copy(&from, &to, |_, _| {}).await.unwrap();
        let (one, other) = (opened(&from).await.unwrap(), opened(&to).await.unwrap());
        assert_eq!(count(&*other, |_| {}).await.unwrap(), copied);
        assert_eq!(other.export(None, CHUNK).await.unwrap(), one.export(None, CHUNK).await.unwrap());
    }
}

#[tokio::test]
async fn a_store_that_was_refused_to_be_copied_into_can_be_opened_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&dir, "from.db"), sqlite(&dir, "to.db"));
    filled(&from).await;
    filled(&to).await;
    assert_eq!(refusal(&from, &to).await.0, "copy_refused");
    opened(&to).await.unwrap();
    std::fs::create_dir(dir.path().join("dir.db")).unwrap();
    let unusable = StoreChoice::Sqlite(dir.path().join("dir.db"));
    assert_eq!(refusal(&from, &unusable).await.0, "store_unusable");
    assert!(!mark::is_on(&unusable));
}
