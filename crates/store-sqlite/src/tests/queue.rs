//! The queue is bounded.

use std::pin::pin;

use super::gate::Gate;
use super::*;

#[tokio::test]
async fn a_full_queue_turns_new_work_away_and_lets_work_in_progress_wait() {
    let (gate, tuning) = Gate::new();
    let subject = Sqlite::tuned(Tuning { queue_kib: 8, ..tuning });
    let store = subject.store();
    sample("stored").create(&*store).await;
    gate.close();
    // One KiB each at least.
    let mut queued: Vec<_> = (0..8).map(|number| Box::pin(store.create(new_txn(&number.to_string())))).collect();
    for create in &mut queued {
        assert!(waits(&mut create.as_mut()).await);
    }
    gate.await_writer();

    assert!(matches!(store.create(new_txn("one too many")).await, Err(StoreError::Busy)));
    let mut commit = pin!(store.commit(sample("stored").change(Version::FIRST)));
    assert!(waits(&mut commit).await);
    gate.open();
    assert_eq!(commit.await.unwrap(), Version(2));
    for create in queued {
        assert!(matches!(create.await.unwrap(), Created::New(_)));
    }
    sample("one too many").create(&*store).await;
}

#[tokio::test]
async fn a_change_larger_than_the_queue_gets_through() {
    let subject = Sqlite::tuned(Tuning { queue_kib: 8, ..Tuning::default() });
    let mut big = sample("big");
    big.def.custom_data = "x".repeat(100_000);
    big.create(&*subject.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_take_long_leave_room_for_transactions_that_go_on() {
    let subject = Sqlite::tuned(Tuning::default());
    let store = subject.store();
    sample("a").create(&*store).await;
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (gates, lists): (Vec<_>, Vec<_>) = (0..8)
        .map(|_| {
            let (store, begun) = (Arc::clone(&store), begun.clone());
            let (gate, opened) = std::sync::mpsc::channel::<()>();
            let list = move |_: &Connection| -> Result<(), StoreError> {
                begun.send(()).unwrap();
                let _ = opened.recv();
                Ok(())
            };
            (gate, tokio::spawn(async move { store.readers.read_long(list).await }))
        })
        .unzip();
    begins.recv().await.unwrap();
    begins.recv().await.unwrap();
    let stored = gid("a");
    let loaded = tokio::time::timeout(std::time::Duration::from_secs(10), store.load(&stored)).await;
    assert!(loaded.unwrap().unwrap().is_some());
    drop(gates);
    for list in lists {
        list.await.unwrap().unwrap();
    }
}
