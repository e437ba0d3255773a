use std::sync::Arc;
use std::time::Duration;

use escrow_txn::{Attempt, BranchId, BranchOp, BranchOutcome, BranchProgress, Status, limits};

use super::Subject;
use super::sample::{self, Sample, gid, loaded};
use crate::{CommitError, Store, Version, Versioned};

pub async fn a_commit_moves_the_version_and_what_is_loaded<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a"));
    sample.create(&*store).await;

    let aborting = sample.status(Status::Aborting);
    let version = store.commit(aborting.change(Version::FIRST)).await.unwrap();
    assert_eq!(version, Version(2));
    assert_eq!(loaded(&*store, &gid("a")).await, Versioned { version, value: aborting.txn() });

    let waiting = aborting.waiting(sample::start().plus(sample::seconds(3)));
    let version = store.commit(waiting.change(version)).await.unwrap();
    assert_eq!(version, Version(3));
    assert_eq!(loaded(&*store, &gid("a")).await, Versioned { version, value: waiting.txn() });
}

pub async fn a_stale_version_is_a_conflict_and_writes_nothing<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a"));
    sample.create(&*store).await;
    store.commit(sample.change(Version::FIRST)).await.unwrap();
    let stands = loaded(&*store, &gid("a")).await;

    for expected in [Version(0), Version::FIRST, Version(3)] {
        let mut stale = sample.clone().status(Status::Aborting).waiting(sample::start()).change(expected);
        stale.add.push(sample::branch("03", "{}"));
        stale.history.push(attempt(0));
        let error = store.commit(stale).await.unwrap_err();
        assert!(matches!(error, CommitError::Conflict { current: Some(Version(2)) }), "{error:?}");
    }
    assert_eq!(loaded(&*store, &gid("a")).await, stands);
    assert_eq!(sample::claim(&*store, 9).await, (vec![], None), "nor is it due");
}

pub async fn a_commit_on_an_absent_gid_is_a_conflict<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let error = store.commit(Sample::new(&gid("a")).change(Version::FIRST)).await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict { current: None }), "{error:?}");
    assert_eq!(store.load(&gid("a")).await.unwrap(), None);
}

pub async fn of_concurrent_commits_from_one_version_exactly_one_wins<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("a")).create(&*store).await;
    let rivals = (0..20).map(|number| {
        let store = Arc::clone(&store);
        let mut sample = Sample::new(&gid("a"));
        sample.progress.retries = number;
        async move { (number, store.commit(sample.change(Version::FIRST)).await) }
    });
    let mut winners = Vec::new();
    for (number, committed) in sample::together(rivals).await {
        match committed {
            Ok(version) => {
                assert_eq!(version, Version(2));
                winners.push(number);
            }
            Err(CommitError::Conflict { current }) => assert_eq!(current, Some(Version(2))),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(loaded(&*store, &gid("a")).await.value.progress.retries, winners[0]);
}

pub async fn registered_branches_are_appended<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let mut sample = Sample::new(&gid("a")).status(Status::Prepared);
    sample.create(&*store).await;

    let mut version = Version::FIRST;
    for registered in [vec!["03"], vec!["04", "05"], vec![]] {
        let registered: Vec<_> = registered.into_iter().map(|id| sample::branch(id, id.to_owned())).collect();
        sample.def.branches.extend(registered.iter().cloned());
        sample.progress.branches.resize(sample.def.branches.len(), BranchProgress::default());
        let mut change = sample.change(version);
        change.add = registered;
        version = store.commit(change).await.unwrap();
        assert_eq!(loaded(&*store, &gid("a")).await.value, sample.txn());
    }
    assert_eq!(sample.def.branches.len(), 5);
}

fn attempt(number: u64) -> Attempt {
    Attempt {
        at: sample::start().plus(sample::seconds(number)),
        branch: Some(BranchId::of_step(0)),
        op: BranchOp::Action,
        outcome: BranchOutcome::Unknown,
        code: Some(502),
        latency: Duration::from_millis(3),
        answer: format!("{number:0>width$}", width = limits::ATTEMPT_ANSWER_BYTES_MAX),
    }
}

pub async fn the_last_attempts_are_kept<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let sample = Sample::new(&gid("a"));
    sample.create(&*store).await;

    let mut version = Version::FIRST;
    let mut made: Vec<Attempt> = Vec::new();
    for number in (0..160).step_by(4) {
        let mut change = sample.change(version);
        change.history = (number..number + 4).map(attempt).collect();
        made.extend(change.history.iter().cloned());
        version = store.commit(change).await.unwrap();
        let history = loaded(&*store, &gid("a")).await.value.history;
        assert_eq!(history, made[made.len().saturating_sub(limits::ATTEMPTS_MAX)..]);
    }
}
