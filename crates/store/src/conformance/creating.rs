use std::sync::Arc;

use super::Subject;
use super::sample::{self, Sample, gid, loaded};
use crate::{Created, Store, Version, Versioned};

pub async fn a_new_transaction_is_found_as_it_was_created<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a"));
    sample.create(&*store).await;
    assert_eq!(loaded(&*store, &gid("a")).await, Versioned { version: Version::FIRST, value: sample.txn() });
}

pub async fn an_absent_gid_is_not_found<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    assert_eq!(subject.store().load(&gid("a")).await.unwrap(), None);
}

pub async fn a_taken_gid_answers_what_stands<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let first = Sample::new(&gid("a"));
    first.create(&*store).await;
    store.commit(first.clone().committed(sample::start()).change(Version::FIRST)).await.unwrap();

    let mut second = Sample::new(&gid("a"));
    second.def.custom_data = "another".to_owned();
    let Created::Exists(stands) = store.create(second.new_txn()).await.unwrap() else {
        panic!("the gid was taken");
    };
    assert_eq!(stands.version, Version::FIRST.next());
    assert_eq!(stands.value, first.committed(sample::start()).txn());
    assert_eq!(loaded(&*store, &gid("a")).await, *stands, "the second one changed nothing");
}

pub async fn of_concurrent_creates_of_one_gid_exactly_one_wins<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let rivals = (0..20).map(|number| {
        let store = Arc::clone(&store);
        let mut sample = Sample::new(&gid("a"));
        sample.def.custom_data = format!("rival {number}");
        async move { (sample.txn(), store.create(sample.new_txn()).await.unwrap()) }
    });
    let mut winners = Vec::new();
    let mut told = Vec::new();
    for (txn, created) in sample::together(rivals).await {
        match created {
            Created::New(version) => winners.push(Versioned { version, value: txn }),
            Created::Exists(stands) => told.push(*stands),
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(told.iter().all(|stands| *stands == winners[0]), "all others are told of the winner");
}

pub async fn any_legal_gid_can_be_stored<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let long = "𝄞".repeat(128);
    let texts = [
        "a",
        "A",
        " a",
        "a ",
        "é",
        "e\u{301}",
        "a%",
        "a_",
        "'; DROP TABLE txn; --",
        "\"",
        "`",
        "\\",
        "/../x",
        "a?b#c",
        "0x00",
        "NULL",
        "1e3",
        "订单-1",
        "\u{202e}rtl",
        &long,
    ];
    for text in texts {
        Sample::new(&gid(text)).create(&*store).await;
    }
    for text in texts {
        let sample = Sample::new(&gid(text));
        assert_eq!(loaded(&*store, &gid(text)).await.value, sample.txn());
        let version = store.commit(sample.change(Version::FIRST)).await.unwrap();
        assert_eq!(version, Version::FIRST.next(), "{text:?}");
    }
}

pub async fn big_payloads_come_back_as_they_were<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let big = |salt: u8| (0..2 * 1024 * 1024_u32).map(|i| (i % 251) as u8 ^ salt).collect::<Vec<u8>>();
    let mut sample = Sample::new(&gid("a"));
    sample.def.branches = vec![sample::branch("01", big(0))];
    sample.progress.branches.truncate(1);
    sample.create(&*store).await;

    let registered = sample::branch("02", big(1));
    sample.progress.branches.push(sample.progress.branches[0].clone());
    let mut change = sample.change(Version::FIRST);
    change.add.push(registered.clone());
    store.commit(change).await.unwrap();

    sample.def.branches.push(registered);
    assert!(loaded(&*store, &gid("a")).await.value == sample.txn());
}
