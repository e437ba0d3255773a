//! What is on hold since a restore, and how it is released.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use escrow_store::conformance::ManualClock;
use escrow_store::conformance::sample::{OWNER, Sample, claim, gid, limit, loaded, seconds, start, together};
use escrow_store::{Backend, Clock, Store, StoredTxn, Version};

use super::bare::{Bare, dir, tuning};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::{LocalStore, backup, restore};

fn in_flight(name: &str) -> Sample {
    Sample::new(&gid(name))
}

fn waiting(name: &str, after: u64) -> Sample {
    Sample::new(&gid(name)).waiting(start().plus(seconds(after)))
}

fn opened(dir: &Path, clock: &Arc<ManualClock>) -> LocalStore {
    LocalStore::open_with(dir, Arc::clone(clock) as Arc<dyn Clock>, tuning()).unwrap()
}

/// A store that was restored from the backup of one with these.
async fn restored(home: &Path, clock: &Arc<ManualClock>, samples: &[Sample]) -> LocalStore {
    let [dir, to, restored] = ["store", "backup", "restored"].map(|name| home.join(name));
    let store = opened(&dir, clock);
    for sample in samples {
        sample.create(&store).await;
    }
    backup(&dir, &to).unwrap();
    restore(&to, &restored, &**clock).unwrap();
    opened(&restored, clock)
}

#[tokio::test]
async fn what_is_on_hold_is_read_and_never_due_whatever_is_restarted() {
    let (home, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let samples = [in_flight("a"), waiting("b", 5), in_flight("done").committed(start())];
    let store = restored(home.path(), &clock, &samples).await;
    clock.advance(seconds(9));
    assert_eq!(claim(&store, 9).await, (vec![], None));
    drop(store);
    let store = opened(&home.path().join("restored"), &clock);
    assert_eq!(claim(&store, 9).await, (vec![], None));
    for (name, is_held) in [("a", true), ("b", true), ("done", false), ("nobody", false)] {
        assert_eq!(store.is_held(&gid(name)).await.unwrap(), is_held, "{name}");
    }
    assert_eq!(loaded(&store, &gid("a")).await.version, Version::FIRST);
    assert_eq!(store.stats().embedded.unwrap().held, 2);
}

#[tokio::test]
async fn what_is_released_is_due_when_it_was_and_the_others_stay() {
    let (home, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let samples = [in_flight("a"), waiting("b", 5), waiting("c", 90_000), in_flight("d")];
    let store = restored(home.path(), &clock, &samples).await;
    for (name, count) in [("nobody", 0), ("a", 1), ("a", 0), ("b", 1), ("c", 1)] {
        assert_eq!(store.release_held(Some(&gid(name))).await.unwrap(), count, "{name}");
    }
    let at = |after| Some(start().plus(seconds(after)));
    assert_eq!(claim(&store, 9).await, (vec!["a".to_owned()], at(5)));
    clock.advance(seconds(5));
    assert_eq!(claim(&store, 9).await, (vec!["b".to_owned()], at(90_000)));
    drop(store);

    let store = opened(&home.path().join("restored"), &clock);
    assert_eq!(claim(&store, 9).await, (vec!["a".to_owned(), "b".to_owned()], at(90_000)), "as nobody has moved them");
    clock.advance(seconds(90_000));
    assert_eq!(claim(&store, 9).await, (vec!["c".to_owned()], None));
    assert!(store.is_held(&gid("d")).await.unwrap());
    assert_eq!(store.release_held(None).await.unwrap(), 1);
    assert_eq!(claim(&store, 9).await.0, ["d"]);
}

#[tokio::test]
async fn what_was_released_goes_on_to_its_end() {
    let (home, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let store = restored(home.path(), &clock, &[in_flight("a")]).await;
    store.release_held(None).await.unwrap();
    assert_eq!(claim(&store, 9).await.0, ["a"]);
    let version = store.commit(waiting("a", 5).change(Version::FIRST)).await.unwrap();
    store.commit(in_flight("a").committed(start()).change(version)).await.unwrap();
    drop(store);
    let store = opened(&home.path().join("restored"), &clock);
    assert_eq!(loaded(&store, &gid("a")).await.version, Version(3));
    clock.advance(seconds(9));
    assert_eq!(claim(&store, 9).await, (vec![], None));
    assert_eq!(store.stats().embedded.unwrap().spilled, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_are_released_each_is_claimed_once() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(start()));
    let store = Arc::new(opened(dir.path(), &clock));
    let held: Vec<StoredTxn> = (0..2_500).map(|number| in_flight(&number.to_string()).new_txn().into()).collect();
    store.core.spill.save_held(&held).unwrap();
    let claims = |store: Arc<LocalStore>| async move {
        let mut claimed = Vec::new();
        // Until nothing is on hold, and then until nothing is due.
        loop {
            let is_last = store.stats().embedded.unwrap().held == 0;
            let more = store.claim_due(OWNER, limit(40)).await.unwrap().gids;
            if is_last && more.is_empty() {
                return claimed;
            }
            claimed.extend(more);
            tokio::task::yield_now().await;
        }
    };
    let releasing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.release_held(None).await.unwrap() }
    });
    let claimed = together((0..3).map(|_| claims(Arc::clone(&store)))).await.concat();
    assert_eq!(releasing.await.unwrap(), 2_500);
    // What was released last may have been claimed by nobody yet.
    let rest = store.claim_due(OWNER, limit(2_500)).await.unwrap().gids;
    let all: Vec<_> = claimed.into_iter().chain(rest).collect();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (2_500, 2_500));
}

#[test]
fn a_release_that_is_cut_off_has_released_some_and_the_others_are_still_on_hold() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let bare = Bare::open(&disk, &dir());
    let held: Vec<StoredTxn> = (0..2_300).map(|number| waiting(&number.to_string(), 5).new_txn().into()).collect();
    bare.core.spill.save_held(&held).unwrap();
    bare.stop();
    let mut seen = BTreeSet::new();
    for operation in 1.. {
        let cut = sim.snapshot();
        let disk: Arc<dyn Disk> = Arc::new(cut.clone());
        let bare = Bare::open(&disk, &dir());
        cut.power_off_at(operation);
        let released = bare.keeper().release(None);
        let is_off = cut.is_off();
        drop(bare);
        let next: Arc<dyn Disk> = Arc::new(cut.after_power_cut(operation));
        let bare = Bare::open(&next, &dir());
        let still = bare.core.spill.info().held;
        bare.clock.advance(seconds(9));
        assert_eq!(bare.claim().len() as u64, 2_300 - still, "cut at {operation}");
        assert_eq!(bare.keeper().release(None).unwrap(), still, "cut at {operation}");
        assert_eq!(bare.claim().len() as u64, still, "cut at {operation}");
        seen.insert(still);
        if !is_off {
            assert_eq!(released.unwrap(), 2_300);
            break;
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 300, 1_300, 2_300]);
}
