//! No reply is derived from what is not durable, and nothing is made of a commit that failed.

use std::pin::pin;

use escrow_store::conformance::sample::{OWNER, claim, limit, loaded, seconds};
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC};

use super::gate::Gate;
use super::*;

#[tokio::test]
async fn while_the_commit_is_held_back_nobody_is_told_of_it_and_nothing_of_it_is_seen() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    let stored = sample("stored").waiting(start().plus(seconds(9)));
    stored.create(&*store).await;
    gate.close();

    let mut create = pin!(store.create(new_txn("new")));
    let mut duplicate = pin!(store.create(new_txn("new")));
    let mut commit = pin!(store.commit(stored.clone().waiting(start()).change(Version::FIRST)));
    let mut conflict = pin!(store.commit(stored.change(Version::FIRST)));
    let mut put = pin!(store.put("topic", "paid", Bytes::new(), None));
    assert!(waits(&mut create).await && waits(&mut duplicate).await);
    assert!(waits(&mut commit).await && waits(&mut conflict).await && waits(&mut put).await);
    gate.await_writer();

    assert_eq!(store.load(&gid("new")).await.unwrap(), None);
    assert_eq!(loaded(&*store, &gid("stored")).await.value, stored.txn());
    assert_eq!(store.get("topic", "paid").await.unwrap(), None);
    let page = store.list(&ListQuery::newest(limit(9))).await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.gid.as_str()).collect::<Vec<_>>(), ["stored"]);
    assert!(waits(&mut create).await && waits(&mut duplicate).await, "still");
    assert!(waits(&mut commit).await && waits(&mut conflict).await && waits(&mut put).await, "still");

    gate.open();
    assert!(matches!(create.await.unwrap(), Created::New(Version::FIRST)));
    assert!(matches!(duplicate.await.unwrap(), Created::Exists(stands) if stands.version == Version::FIRST));
    assert_eq!(commit.await.unwrap(), Version(2));
    assert!(matches!(conflict.await, Err(CommitError::Conflict { current: Some(Version(2)) })));
    put.await.unwrap();
    assert_eq!(claim(&*store, 9).await.0, ["stored"], "timers follow what is durable");
}

#[tokio::test]
async fn after_a_commit_that_failed_its_batch_is_unknown_and_the_store_takes_no_more_writes() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    sample("stored").create(&*store).await;
    {
        let mut failed = pin!(store.failed());
        assert!(waits(&mut failed).await);

        gate.close();
        let mut create = pin!(store.create(new_txn("new")));
        assert!(waits(&mut create).await);
        gate.await_writer();
        let mut queued = pin!(store.create(new_txn("queued")));
        assert!(waits(&mut queued).await);
        gate.fail(Some(SQLITE_IOERR_FSYNC));
        gate.open();
        assert!(matches!(create.await, Err(StoreError::Unknown { .. })));
        assert!(matches!(queued.await, Err(StoreError::Down { .. })), "it was never tried");
        tokio::time::timeout(seconds(10), failed).await.expect("whoever waits for it is told");
    }
    gate.fail(None);
    let later = store.commit(sample("stored").change(Version::FIRST)).await;
    assert!(matches!(later, Err(CommitError::Store(StoreError::Down { .. }))), "{later:?}");
    assert_eq!(loaded(&*store, &gid("stored")).await.version, Version::FIRST, "reads go on");

    drop(store);
    let subject = subject.reopen().await;
    sample("later").create(&*subject.store()).await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_the_store_resumes_by_itself() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    sample("stored").create(&*store).await;
    let is_down = |result: Result<Created, StoreError>| matches!(result, Err(StoreError::Down { .. }));

    // While a change is made: the database may not grow.
    let pages = |pages: i64| {
        store.write(0, move |connection, _| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |row| row.get::<_, i64>(0))
        })
    };
    pages(1).await.unwrap();
    let mut big = sample("big");
    big.def.custom_data = "x".repeat(1_000_000);
    assert!(is_down(store.create(big.new_txn()).await));
    assert!(is_down(store.create(big.new_txn()).await), "still full");
    assert!(store.stats().full);
    assert_eq!(loaded(&*store, &gid("stored")).await.version, Version::FIRST, "reads go on");
    pages(1_000_000).await.unwrap();
    big.create(&*store).await;
    assert!(!store.stats().full);

    // While the log is written, at the COMMIT.
    gate.fail(Some(SQLITE_FULL));
    assert!(is_down(store.create(new_txn("a")).await));
    assert_eq!(store.load(&gid("a")).await.unwrap(), None);
    gate.fail(None);
    sample("a").create(&*store).await;
}

#[tokio::test]
async fn a_change_that_cannot_be_made_fails_alone() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    gate.close();
    let mut first = pin!(store.create(new_txn("first")));
    assert!(waits(&mut first).await);
    gate.await_writer();

    // These make one batch.
    let mut good = pin!(store.create(new_txn("good")));
    let mut bad = pin!(store.write(0, |connection, _| connection.execute("INSERT INTO txn (gid) VALUES ('bad')", ())));
    let mut also_good = pin!(store.create(new_txn("also good")));
    assert!(waits(&mut good).await && waits(&mut bad).await && waits(&mut also_good).await);
    gate.open();
    first.await.unwrap();
    assert!(matches!(bad.await, Err(StoreError::Down { .. })));
    assert!(matches!(good.await.unwrap(), Created::New(_)));
    assert!(matches!(also_good.await.unwrap(), Created::New(_)));
    let batches = store.stats().batch_sizes;
    assert_eq!((batches[0], batches[1]), (3, 0), "each was tried alone");
}

#[tokio::test]
async fn changes_that_wait_together_share_one_commit() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    gate.close();
    let mut first = pin!(store.create(new_txn("first")));
    assert!(waits(&mut first).await);
    gate.await_writer();

    let creates = (0..20).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.create(new_txn(&number.to_string())).await })
    });
    let creates: Vec<_> = creates.collect();
    // On this runtime all of them are in the queue when this task runs again.
    tokio::task::yield_now().await;
    gate.open();
    first.await.unwrap();
    for create in creates {
        assert!(matches!(create.await.unwrap().unwrap(), Created::New(_)));
    }
    let stats = store.stats();
    assert_eq!((stats.changes, stats.batches), (21, 2));
    assert_eq!((stats.batch_sizes[0], stats.batch_sizes[5]), (1, 1), "{stats:?}");
    assert_eq!(stats.sync_times.iter().sum::<u64>(), 2, "{stats:?}");
    assert!(stats.sync_time > seconds(0) && stats.batch_bytes > 20 * 300, "{stats:?}");
    assert_eq!(stats.live, 21);
}

#[tokio::test]
async fn a_claim_that_is_broken_off_gives_back_what_it_took() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning);
    let store = subject.store();
    sample("a").waiting(start()).create(&*store).await;
    assert_eq!(claim(&*store, 9).await.0, ["a"]);
    store.release(&gid("a"), start()).await;
    // For this one the table has to be asked, on the writer, after the other one was taken from memory.
    let far = start().plus(seconds(86_400));
    sample("far").waiting(far).create(&*store).await;
    gate.close();
    {
        let mut broken_off = pin!(store.claim_due(OWNER, limit(9)));
        assert!(waits(&mut broken_off).await);
        assert_ne!(store.timers().schedule.next_due_at(), Some(start()), "it is taken");
    }
    assert_eq!(store.timers().schedule.next_due_at(), Some(start()));
    gate.open();
    assert_eq!(claim(&*store, 9).await, (vec!["a".to_owned()], Some(far)));
}

#[tokio::test]
async fn timers_read_beside_a_change_that_came_to_nothing_are_read_again() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(tuning.clone());
    let near = sample("near").waiting(start().plus(seconds(1)));
    let in_flight = sample("in flight");
    near.create(&*subject.store()).await;
    in_flight.create(&*subject.store()).await;
    let clock = ManualClock::at(start());
    let subject = Sqlite::at(subject.close(), clock.clone(), tuning);
    let store = subject.store();

    // One batch: both are stored with far times, and the table is asked for timers. None of it becomes durable.
    gate.close();
    let mut first = pin!(store.put("topic", "first", Bytes::new(), None));
    assert!(waits(&mut first).await);
    gate.await_writer();
    let far = start().plus(seconds(86_400));
    let mut one = pin!(store.commit(near.clone().waiting(far).change(Version::FIRST)));
    let mut two = pin!(store.commit(in_flight.clone().waiting(far).change(Version::FIRST)));
    let mut due = pin!(store.claim_due(OWNER, limit(9)));
    assert!(waits(&mut one).await && waits(&mut two).await && waits(&mut due).await);
    gate.fail(Some(SQLITE_FULL));
    gate.open();
    assert!(first.await.is_err() && one.await.is_err() && two.await.is_err() && due.await.is_err());

    gate.fail(None);
    clock.advance(seconds(1));
    let (mut due, _) = claim(&*store, 9).await;
    due.sort();
    assert_eq!(due, ["in flight", "near"]);
}
