//! Lists, look-ups, exports and purges against a map in memory.

use escrow_txn::{BusinessKey, Status};

use super::*;
use crate::samples::{PATTERNS, random_finished};

/// Transactions by gid, as the last insert left them.
type Model = BTreeMap<Gid, StoredTxn>;

/// Fills an archive of several partitions in which some gids are repeated and some are used again.
fn fill(rng: &mut ChaCha8Rng, archive: &Archive) -> Model {
    let mut model = Model::new();
    let mut clock = 20;
    for _ in 0..rng.random_range(5..25) {
        let mut batch: Vec<Arc<StoredTxn>> = Vec::new();
        for _ in 0..rng.random_range(1..9) {
            clock += rng.random_range(0..4);
            let name = format!("g{}", rng.random_range(0..90));
            let txn = match model.get(&gid(&name)) {
                Some(there) if rng.random_ratio(2, 3) => there.clone(),
                Some(there) if there.head.finished_at >= Some(at(clock)) => continue,
                _ => random_finished(rng, &name, clock),
            };
            // In one batch each gid comes once.
            if batch.iter().all(|other| other.gid != txn.gid) {
                model.insert(txn.gid.clone(), txn.clone());
                batch.push(Arc::new(txn));
            }
        }
        archive.insert(&batch, at(clock * (DAY / 50))).unwrap();
    }
    model
}

fn random_query(rng: &mut ChaCha8Rng, model: &Model) -> ListQuery {
    let mut moment = |share| rng.random_ratio(1, share).then(|| at(rng.random_range(1..110)));
    let (created_from, created_before, cursor_at) = (moment(4), moment(4), moment(3));
    let cursor_gid = model.keys().nth(rng.random_range(0..model.len())).unwrap().clone();
    let mut statuses = vec![Status::Committed, Status::Aborted, Status::Stopped, Status::Prepared];
    statuses.retain(|_| rng.random_ratio(1, 3));
    ListQuery {
        limit: NonZeroU32::MIN,
        after: cursor_at.map(|created_at| Cursor { created_at, gid: cursor_gid }),
        statuses,
        pattern: rng.random_ratio(1, 3).then(|| PATTERNS[rng.random_range(0..4)]),
        business_key: rng.random_ratio(1, 4).then(|| BusinessKey::parse("k1").unwrap()),
        created_from,
        created_before,
        attention: [None, None, Some(true), Some(false)][rng.random_range(0..4)],
        waiting_past: None,
    }
}

fn shown(model: &Model, purged_before: Option<Timestamp>) -> impl Iterator<Item = &StoredTxn> {
    model.values().filter(move |txn| txn.head.finished_at >= purged_before)
}

fn expected(model: &Model, query: &ListQuery, limit: usize, purged_before: Option<Timestamp>) -> Vec<TxnSummary> {
    let matching = shown(model, purged_before).filter(|txn| txn.matches(query));
    let mut items: Vec<_> = matching.map(StoredTxn::summary).collect();
    items.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
    items.truncate(limit);
    items
}

#[test]
fn lists_look_ups_and_exports_are_those_of_a_map() {
    for seed in 0..15 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (dir, mut archive) = opened(rng.random_range(5..30));
        let model = fill(&mut rng, &archive);
        if seed % 2 == 0 {
            drop(archive);
            archive = open_at(dir.path(), 10);
        }
        for _ in 0..60 {
            let purged_before = rng.random_ratio(1, 3).then(|| at(rng.random_range(1..110)));
            let (query, limit) = (random_query(&mut rng, &model), rng.random_range(1..25));
            let found = archive.list(&query, limit, purged_before).unwrap();
            assert_eq!(found, expected(&model, &query, limit, purged_before), "seed {seed}: {query:?}");
        }
        let purged_before = Some(at(rng.random_range(1..60)));
        for number in 0..100 {
            let gid = gid(&format!("g{number}"));
            let there = model.get(&gid).filter(|txn| txn.head.finished_at >= purged_before);
            assert_eq!(archive.find(&gid, purged_before).unwrap().as_ref(), there, "seed {seed}");
            assert!(archive.may_hold(&gid) || !model.contains_key(&gid), "seed {seed}");
        }
        let all: Vec<_> = shown(&model, purged_before).cloned().collect();
        for chunk in [1, 7, 1_000] {
            assert_eq!(export_all(&archive, chunk, purged_before), all, "seed {seed}");
        }
    }
}

fn export_all(archive: &Archive, chunk: usize, purged_before: Option<Timestamp>) -> Vec<StoredTxn> {
    let mut all: Vec<StoredTxn> = Vec::new();
    loop {
        let after = all.last().map(|txn| txn.gid.clone());
        let more = archive.export(after.as_ref(), chunk, purged_before).unwrap();
        assert!(more.len() <= chunk);
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[test]
fn pages_join_without_gap_or_repetition() {
    for seed in 100..110 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (_dir, archive) = opened(12);
        let model = fill(&mut rng, &archive);
        let mut query = random_query(&mut rng, &model);
        query.after = None;
        let expected = expected(&model, &query, usize::MAX, None);
        let mut all: Vec<TxnSummary> = Vec::new();
        loop {
            let page = archive.list(&query, 3, None).unwrap();
            let Some(last) = page.last() else { break };
            query.after = Some(Cursor { created_at: last.created_at, gid: last.gid.clone() });
            all.extend(page);
        }
        assert_eq!(all, expected, "seed {seed}");
    }
}

#[test]
fn nothing_that_is_over_waits() {
    let (_dir, archive) = opened(10);
    insert(&archive, &["a"], 1, DAY);
    let query = ListQuery { waiting_past: Some(at(0)), ..ListQuery::newest(limit(5)) };
    assert!(archive.list(&query, 5, None).unwrap().is_empty());
}

#[test]
fn what_is_purgeable_is_counted_in_steps_as_a_map_would() {
    for seed in 200..230 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (_dir, archive) = opened(rng.random_range(5..30));
        let mut over: Vec<u64> = Vec::new();
        let mut clock = 20;
        for number in 0..60 {
            clock += rng.random_range(0..3);
            // Not all are archived in the order in which they became final.
            let finished_at = clock - rng.random_range(0..15);
            insert(&archive, &[&format!("g{number}")], finished_at, clock * (DAY / 50));
            over.push(finished_at);
        }
        let (until, limit) = (rng.random_range(1..110), rng.random_range(1..40));
        let (mut counted, mut from) = (0, None);
        loop {
            let step = archive.purgeable(from, at(until), limit).unwrap();
            let in_step = |over: &&u64| from.is_none_or(|from| at(**over) >= from) && at(**over) < step.cut;
            assert_eq!(step.rows, over.iter().filter(in_step).count() as u64, "seed {seed}");
            counted += step.rows;
            from = Some(step.cut);
            if step.cut == at(until) {
                break;
            }
            assert!(step.rows >= limit as u64, "seed {seed}");
        }
        assert_eq!(counted, over.iter().filter(|&&over| over < until).count() as u64, "seed {seed}");
    }
}
