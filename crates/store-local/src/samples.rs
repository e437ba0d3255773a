//! Transactions for tests of the databases.

use escrow_store::conformance::sample::{Sample, gid};
use escrow_store::{OwnerEpoch, StoredTxn, Version};
use escrow_txn::{BusinessKey, Pattern, Status, Timestamp};
use rand::{Rng, RngExt};

pub(crate) fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A transaction that is over.
pub(crate) fn finished(name: &str, created: u64, over: u64) -> StoredTxn {
    Sample::new(&gid(name)).created_at(at(created)).committed(at(over)).new_txn().into()
}

/// A transaction that waits until `due`.
pub(crate) fn waiting(name: &str, created: u64, due: u64) -> StoredTxn {
    Sample::new(&gid(name)).created_at(at(created)).waiting(at(due)).new_txn().into()
}

/// A transaction that is over, with random properties of few values; it became final in `over`.
pub(crate) fn random_finished(rng: &mut impl Rng, name: &str, over: u64) -> StoredTxn {
    let created = over - rng.random_range(0..over.min(40));
    let mut txn = vary(rng, finished(name, created, over));
    txn.head.status = [Status::Committed, Status::Aborted, Status::Stopped][rng.random_range(0..3)];
    txn
}

/// A transaction that is not over, with random properties of few values.
pub(crate) fn random_unfinished(rng: &mut impl Rng, name: &str) -> StoredTxn {
    let (created, due) = (rng.random_range(1..60), rng.random_range(1..60));
    let mut txn = vary(rng, waiting(name, created, due));
    txn.head.status = [Status::Prepared, Status::Submitted, Status::Aborting][rng.random_range(0..3)];
    match rng.random_range(0..4) {
        0 => (txn.head.next_run_at, txn.head.owner) = (None, Some(OwnerEpoch(rng.random()))),
        1 => txn.head.next_run_at = None,
        _ => {}
    }
    txn
}

fn vary(rng: &mut impl Rng, mut txn: StoredTxn) -> StoredTxn {
    txn.version = Version(rng.random_range(1..9));
    txn.pattern = PATTERNS[rng.random_range(0..4)];
    txn.head.attention = rng.random_ratio(1, 5);
    txn.business_key =
        [None, Some("k1"), Some("k2")][rng.random_range(0..3)].map(|key| BusinessKey::parse(key).unwrap());
    txn
}

pub(crate) const PATTERNS: [Pattern; 4] = [Pattern::Saga, Pattern::Tcc, Pattern::Xa, Pattern::Message];
