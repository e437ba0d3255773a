use std::sync::Arc;

use escrow_txn::{Attention, BranchOp, BusinessKey, CallId, Pattern, Status, Timestamp};

use super::Subject;
use super::sample::{self, Sample, gid, limit, seconds, start};
use crate::{Cursor, ListQuery, PAGE_MAX, Store, TxnSummary, Version};

fn newest(number: u32) -> ListQuery {
    ListQuery::newest(limit(number))
}

async fn gids(store: &impl Store, query: &ListQuery) -> Vec<String> {
    store.list(query).await.unwrap().items.into_iter().map(|item| item.gid.to_string()).collect()
}

/// Walks all pages of `query`, its limit each; calls `between` after each page.
async fn walk(store: &impl Store, mut query: ListQuery, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        assert!(page.items.len() <= query.limit.get() as usize);
        all.extend(page.items.into_iter().map(|item| item.gid.to_string()));
        let Some(next) = page.next else { return all };
        // As it is given out and comes back.
        query.after = Some(Cursor::parse(&next.to_text()).unwrap());
        between().await;
    }
}

pub async fn the_newest_come_first<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    assert_eq!(gids(&*store, &newest(9)).await, [""; 0]);
    for (text, after) in [("b", 2), ("d", 1), ("a", 2), ("c", 3), ("B", 2)] {
        Sample::new(&gid(text)).created_at(start().plus(seconds(after))).create(&*store).await;
    }
    assert_eq!(gids(&*store, &newest(9)).await, ["c", "b", "a", "B", "d"], "and of one time the greatest gid");
    let page = store.list(&newest(5)).await.unwrap();
    assert_eq!(page.next, None, "a full page can be the last one");
}

pub async fn pages_join_without_gap_or_repetition<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    // Three of each time, so that pages begin and end in the middle of one.
    for number in 0..20 {
        let created_at = start().plus(seconds(number / 3));
        Sample::new(&gid(&format!("{number:02}"))).created_at(created_at).create(&*store).await;
    }
    let all: Vec<_> = (0..20).rev().map(|number| format!("{number:02}")).collect();
    for size in [1, 2, 3, 7, 20, 21] {
        assert_eq!(walk(&*store, newest(size), async || ()).await, all, "in pages of {size}");
    }
    let filtered = ListQuery { created_before: Some(start().plus(seconds(2))), ..newest(4) };
    assert_eq!(walk(&*store, filtered, async || ()).await, ["05", "04", "03", "02", "01", "00"]);
}

pub async fn a_page_is_never_longer_than_the_limit<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let creates = (0..=PAGE_MAX).map(|number| {
        let store = Arc::clone(&store);
        async move { Sample::new(&gid(&number.to_string())).create(&*store).await }
    });
    sample::together(creates).await;
    let page = store.list(&newest(u32::MAX)).await.unwrap();
    assert_eq!(page.items.len(), PAGE_MAX as usize);
    assert!(page.next.is_some());
}

pub async fn every_filter_narrows_the_list<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let at = |number| start().plus(seconds(number));
    let sample = |text, number| Sample::new(&gid(text)).created_at(at(number));
    let mut keyed = sample("keyed", 1);
    keyed.def.business_key = Some(BusinessKey::parse("order 7").unwrap());
    let mut tcc = sample("tcc", 2);
    tcc.def.pattern = Pattern::Tcc;
    let tcc = tcc.waiting(at(10));
    let mut troubled = sample("troubled", 3);
    troubled.progress.attention = Some(Attention {
        call: CallId::of(0, BranchOp::Action),
        reason: "refused".to_owned(),
        last_answer: String::new(),
        since: start(),
    });
    let done = sample("done", 4).committed(at(9));
    let prepared = sample("prepared", 5).status(Status::Prepared).waiting(at(20));
    for sample in [&keyed, &tcc, &troubled, &done, &prepared] {
        sample.create(&*store).await;
    }

    let query = newest(9);
    let statuses = |statuses: &[Status]| ListQuery { statuses: statuses.to_vec(), ..query.clone() };
    let created =
        |from: Option<Timestamp>, before| ListQuery { created_from: from, created_before: before, ..query.clone() };
    let attention = |wanted| ListQuery { attention: Some(wanted), ..query.clone() };
    let key = |text| ListQuery { business_key: Some(BusinessKey::parse(text).unwrap()), ..query.clone() };
    let waiting = |past| ListQuery { waiting_past: Some(at(past)), ..query.clone() };
    let cases: [(ListQuery, &[&str]); 15] = [
        (query.clone(), &["prepared", "done", "troubled", "tcc", "keyed"]),
        (statuses(&[Status::Committed]), &["done"]),
        (statuses(&[Status::Prepared, Status::Committed]), &["prepared", "done"]),
        (statuses(&[Status::Aborted]), &[]),
        (ListQuery { pattern: Some(Pattern::Tcc), ..query.clone() }, &["tcc"]),
        (key("order 7"), &["keyed"]),
        (key("order 8"), &[]),
        (attention(true), &["troubled"]),
        (attention(false), &["prepared", "done", "tcc", "keyed"]),
        (waiting(9), &["prepared", "tcc"]),
        (waiting(10), &["prepared"]),
        (waiting(20), &[]),
        (created(Some(at(4)), None), &["prepared", "done"]),
        (created(Some(at(2)), Some(at(4))), &["troubled", "tcc"]),
        (ListQuery { pattern: Some(Pattern::Saga), ..statuses(&[Status::Submitted]) }, &["troubled", "keyed"]),
    ];
    for (query, expected) in cases {
        assert_eq!(gids(&*store, &query).await, expected, "{query:?}");
    }
}

pub async fn what_is_created_during_a_walk_is_not_shown_and_none_comes_twice<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    for number in 10..30 {
        let created_at = start().plus(seconds(number));
        Sample::new(&gid(&format!("{number}"))).created_at(created_at).create(&*store).await;
    }
    let mut later = 100;
    let shown = walk(&*store, newest(3), async || {
        let samples = (later..later + 5).map(|number| {
            let store = Arc::clone(&store);
            let sample = Sample::new(&gid(&number.to_string())).created_at(start().plus(seconds(number)));
            async move { sample.create(&*store).await }
        });
        sample::together(samples).await;
        later += 5;
    })
    .await;
    assert_eq!(shown, (10..30).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(later > 120, "rows were created meanwhile");
}

pub async fn a_summary_tells_what_was_stored_last<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let mut sample = Sample::new(&gid("a"));
    sample.def.business_key = Some(BusinessKey::parse("order 7").unwrap());
    sample.create(&*store).await;
    let waiting = sample.clone().waiting(start().plus(seconds(4)));
    let version = store.commit(waiting.change(Version::FIRST)).await.unwrap();
    let summary = TxnSummary {
        gid: gid("a"),
        pattern: Pattern::Saga,
        status: Status::Submitted,
        created_at: start(),
        updated_at: start(),
        finished_at: None,
        next_run_at: Some(start().plus(seconds(4))),
        business_key: sample.def.business_key.clone(),
        attention: false,
    };
    assert_eq!(store.list(&newest(9)).await.unwrap().items, std::slice::from_ref(&summary));

    let end = start().plus(seconds(5));
    store.commit(sample.committed(end).change(version)).await.unwrap();
    let summary =
        TxnSummary { status: Status::Committed, updated_at: end, finished_at: Some(end), next_run_at: None, ..summary };
    assert_eq!(store.list(&newest(9)).await.unwrap().items, [summary]);
}
