//! Everything that is read, against a map in memory.

use escrow_store::Cursor;
use escrow_txn::{BusinessKey, Status};

use super::*;
use crate::samples::{PATTERNS, random_unfinished};

type Model = BTreeMap<Gid, Stored>;

/// Saves, deletes, holds and releases at random.
fn fill(rng: &mut ChaCha8Rng, spill: &Spill) -> Model {
    let mut model = Model::new();
    for _ in 0..rng.random_range(10..40) {
        let name = |rng: &mut ChaCha8Rng| format!("g{}", rng.random_range(0..60));
        let random = |rng: &mut ChaCha8Rng| {
            let name = name(rng);
            random_unfinished(rng, &name)
        };
        match rng.random_range(0..6) {
            0 => {
                let gids: Vec<_> = (0..4).map(|_| gid(&name(rng))).collect();
                spill.delete(&gids).unwrap();
                gids.iter().for_each(|gid| drop(model.remove(gid)));
            }
            1 => {
                let txn = random(rng);
                spill.save_held(std::slice::from_ref(&txn)).unwrap();
                model.insert(txn.gid.clone(), Stored { txn, held: true });
            }
            2 => {
                let gid = gid(&name(rng));
                let held = model.get_mut(&gid).filter(|row| row.held);
                assert_eq!(spill.release(Some(&gid)).unwrap().len(), usize::from(held.is_some()));
                held.into_iter().for_each(|row| row.held = false);
            }
            _ => {
                let txns: Vec<_> = (0..5).map(|_| Arc::new(random(rng))).collect();
                spill.save(&txns, &[]).unwrap();
                for txn in txns {
                    let held = model.get(&txn.gid).is_some_and(|row| row.held);
                    if model.get(&txn.gid).is_none_or(|row| row.txn.version < txn.version) {
                        model.insert(txn.gid.clone(), Stored { txn: StoredTxn::clone(&txn), held });
                    }
                }
            }
        }
    }
    model
}

fn random_query(rng: &mut ChaCha8Rng) -> ListQuery {
    let mut moment = |share| rng.random_ratio(1, share).then(|| at(rng.random_range(1..60)));
    let (created_from, created_before, cursor_at, waiting_past) = (moment(4), moment(4), moment(3), moment(4));
    let mut statuses = vec![Status::Prepared, Status::Submitted, Status::Aborting, Status::Committed];
    statuses.retain(|_| rng.random_ratio(1, 3));
    ListQuery {
        limit: NonZeroU32::MIN,
        after: cursor_at.map(|created_at| Cursor { created_at, gid: gid(&format!("g{}", rng.random_range(0..60))) }),
        statuses,
        pattern: rng.random_ratio(1, 3).then(|| PATTERNS[rng.random_range(0..4)]),
        business_key: rng.random_ratio(1, 4).then(|| BusinessKey::parse("k1").unwrap()),
        created_from,
        created_before,
        attention: [None, None, Some(true), Some(false)][rng.random_range(0..4)],
        waiting_past,
    }
}

fn expected(model: &Model, query: &ListQuery, limit: usize, skip: &dyn Fn(&Gid) -> bool) -> Vec<TxnSummary> {
    let matching = model.values().map(|row| &row.txn).filter(|txn| txn.matches(query) && !skip(&txn.gid));
    let mut items: Vec<_> = matching.map(StoredTxn::summary).collect();
    items.sort_by(|a, b| (b.created_at, &b.gid).cmp(&(a.created_at, &a.gid)));
    items.truncate(limit);
    items
}

fn assert_same(spill: &Spill, model: &Model, seed: u64) {
    for number in 0..70 {
        let gid = gid(&format!("g{number}"));
        assert_eq!(spill.find(&gid).unwrap().as_ref(), model.get(&gid), "seed {seed}");
        assert_eq!(spill.may_hold(&gid), model.contains_key(&gid), "seed {seed}");
    }
    let held = model.values().filter(|row| row.held).count() as u64;
    let oldest_created_at = model.values().map(|row| row.txn.created_at).min();
    assert_eq!(spill.info(), SpillInfo { rows: model.len() as u64, held, oldest_created_at }, "seed {seed}");
    let free = || model.values().filter(|row| !row.held);
    let in_flight: Vec<_> = free().filter(|row| row.txn.head.owner.is_some()).map(|row| row.txn.gid.clone()).collect();
    assert_eq!(spill.in_flight().unwrap(), in_flight, "seed {seed}");
    let mut due: Vec<_> = free().filter_map(|row| Some((row.txn.head.next_run_at?, row.txn.gid.clone()))).collect();
    due.sort_unstable();
    assert_eq!(walk_due(spill), due, "seed {seed}");
    let mut exported: Vec<Stored> = Vec::new();
    while let more @ [_, ..] = &*spill.export(exported.last().map(|row| &row.txn.gid).cloned().as_ref(), 7).unwrap() {
        exported.extend_from_slice(more);
    }
    assert_eq!(exported, model.values().cloned().collect::<Vec<_>>(), "seed {seed}");
    assert!(spill.check().is_empty(), "seed {seed}");
}

fn walk_due(spill: &Spill) -> Vec<(Timestamp, Gid)> {
    let mut due: Vec<(Timestamp, Gid)> = Vec::new();
    loop {
        let more = spill.due(due.last(), 3).unwrap();
        if more.is_empty() {
            return due;
        }
        due.extend(more);
    }
}

#[test]
fn everything_that_is_read_is_that_of_a_map() {
    for seed in 0..25 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (dir, mut spill) = opened();
        let model = fill(&mut rng, &spill);
        assert_same(&spill, &model, seed);
        if seed % 2 == 0 {
            drop(spill);
            spill = open_at(dir.path());
            assert_same(&spill, &model, seed);
        }
        for _ in 0..60 {
            let (query, limit) = (random_query(&mut rng), rng.random_range(1..25));
            let skipped = rng.random_range(0..9).to_string();
            let skip = |gid: &Gid| gid.as_str().ends_with(&skipped);
            let found = spill.list(&query, limit, &mut |gid| skip(gid)).unwrap();
            assert_eq!(found, expected(&model, &query, limit, &skip), "seed {seed}: {query:?}");
        }
    }
}
