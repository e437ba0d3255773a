//! What keeps the database small and its answers quick.

use escrow_store::conformance::sample::{claim, limit, loaded, seconds};
use escrow_txn::{BusinessKey, Pattern, Status, limits};

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::*;

#[tokio::test]
async fn the_log_is_carried_over_when_it_has_grown() {
    let subject = Sqlite::tuned(Tuning { checkpoint_pages: 16, ..Tuning::default() });
    let store = subject.store();
    for number in 0..50 {
        sample(&number.to_string()).create(&*store).await;
    }
    assert!(store.stats().other_syncs >= 4, "{:?}", store.stats());
    let log = subject.dir.path().join("escrow.db-wal");
    let pages = std::fs::metadata(log).unwrap().len() / 4_096;
    assert!(pages < 64, "the log starts over: {pages} pages");
    assert_eq!(store.list(&ListQuery::newest(limit(99))).await.unwrap().items.len(), 50);
}

#[tokio::test]
async fn a_history_does_not_grow_without_end() {
    let subject = Sqlite::tuned(Tuning::default());
    let store = subject.store();
    let retried = sample("a");
    retried.create(&*store).await;
    let mut version = Version::FIRST;
    for number in 0..200 {
        let mut change = retried.change(version);
        change.history.push(escrow_txn::Attempt {
            at: start().plus(seconds(number)),
            branch: None,
            op: escrow_txn::BranchOp::CheckBack,
            outcome: escrow_txn::BranchOutcome::Unknown,
            code: None,
            latency: seconds(1),
            answer: "x".repeat(limits::ATTEMPT_ANSWER_BYTES_MAX),
        });
        version = store.commit(change).await.unwrap();
    }
    let history = loaded(&*store, &gid("a")).await.value.history;
    assert_eq!(history.len(), limits::ATTEMPTS_MAX);
    assert_eq!(history.last().unwrap().at, start().plus(seconds(199)));
    let bytes: i64 = subject.database().query_row("SELECT length(history) FROM txn", (), |row| row.get(0)).unwrap();
    assert!(bytes < 17_000, "{bytes}");
}

#[tokio::test]
async fn far_timers_and_what_was_in_flight_come_into_memory_in_chunks() {
    let tuning = || Tuning { timers_chunk: 3, ..Tuning::default() };
    let subject = Sqlite::tuned(tuning());
    let store = subject.store();
    for number in 0..10 {
        sample(&format!("in flight {number}")).create(&*store).await;
        // Four of each time: chunks end in the middle of one.
        let at = start().plus(seconds(1_000 + number / 4));
        sample(&format!("waiting {number}")).waiting(at).create(&*store).await;
    }
    drop(store);

    let clock = ManualClock::at(start());
    let subject = Sqlite::at(subject.close(), clock.clone(), tuning());
    let store = subject.store();
    let in_memory = || store.timers().schedule.len();
    assert_eq!(in_memory(), 0, "opening reads none");
    let first_wait = Some(start().plus(seconds(1_000)));

    let (mut due, next) = claim(&*store, 2).await;
    assert_eq!((due.len(), next), (2, Some(start())), "there are more");
    assert!(in_memory() <= 6, "{}", in_memory());
    // One of those that are still in the table is stored meanwhile, and another one that memory does not know is claimed
    // by nobody but driven.
    store.commit(sample("in flight 8").waiting(start().plus(seconds(5))).change(Version::FIRST)).await.unwrap();
    store.commit(sample("in flight 9").change(Version::FIRST)).await.unwrap();
    let (rest, next) = claim(&*store, 99).await;
    due.extend(rest);
    due.sort();
    assert_eq!(due, (0..8).map(|number| format!("in flight {number}")).collect::<Vec<_>>());
    assert_eq!(next, Some(start().plus(seconds(5))));
    clock.advance(seconds(5));
    assert_eq!(claim(&*store, 99).await, (vec!["in flight 8".to_owned()], first_wait));

    clock.advance(seconds(995));
    let (due, next) = claim(&*store, 99).await;
    assert_eq!((due.len(), next), (4, Some(start().plus(seconds(1_001)))));
    clock.advance(seconds(1));
    assert_eq!(claim(&*store, 3).await.0.len(), 3);
    clock.advance(seconds(1));
    assert_eq!(claim(&*store, 99).await.0.len(), 3);
    assert_eq!(claim(&*store, 99).await, (vec![], None));
}

#[tokio::test]
async fn a_far_timer_waits_in_the_table_alone() {
    let subject = Sqlite::tuned(Tuning::default());
    let store = subject.store();
    let far = sample("far").waiting(start().plus(seconds(86_400)));
    far.create(&*store).await;
    assert_eq!(claim(&*store, 9).await.1, Some(start().plus(seconds(86_400))), "the next one is always known");
    sample("near").waiting(start().plus(seconds(1))).create(&*store).await;
    for number in 0..10 {
        let at = start().plus(seconds(100_000 + number));
        sample(&number.to_string()).waiting(at).create(&*store).await;
    }
    assert_eq!(claim(&*store, 9).await.1, Some(start().plus(seconds(1))));
    assert_eq!(store.timers().schedule.len(), 2, "the near one and the next one");
}

#[tokio::test]
async fn lists_and_timers_are_read_through_indexes() {
    let subject = Sqlite::tuned(Tuning::default());
    let database = subject.database();
    let plan = |query: &ListQuery| {
        let sql = format!("EXPLAIN QUERY PLAN {}", list::sql(query));
        let mut statement = database.prepare(&sql).unwrap();
        let values = vec![Value::Null; statement.parameter_count()];
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let newest = ListQuery::newest(limit(9));
    let key = BusinessKey::parse("order 7").unwrap();
    let cases = [
        (newest.clone(), "txn_created"),
        (ListQuery { statuses: vec![Status::Prepared], pattern: Some(Pattern::Tcc), ..newest.clone() }, "txn_created"),
        (ListQuery { created_from: Some(start()), ..newest.clone() }, "txn_created"),
        (ListQuery { business_key: Some(key), ..newest.clone() }, "txn_business_key"),
        (ListQuery { attention: Some(true), ..newest.clone() }, "txn_attention"),
    ];
    for (query, index) in cases {
        let after = Some(escrow_store::Cursor { created_at: start(), gid: gid("a") });
        for query in [query.clone(), ListQuery { after, ..query }] {
            let steps = plan(&query);
            assert!(steps.contains(index) && !steps.contains("TEMP B-TREE"), "{query:?}: {steps}");
        }
    }
    let waiting = ListQuery { statuses: vec![Status::Submitted], waiting_past: Some(start()), ..newest };
    for after in [None, Some(escrow_store::Cursor { created_at: start(), gid: gid("a") })] {
        let steps = plan(&ListQuery { after, ..waiting.clone() });
        assert!(steps.contains("SEARCH txn USING INDEX txn_due"), "{steps}");
    }
}
