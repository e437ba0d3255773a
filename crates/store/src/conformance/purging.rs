use super::Subject;
use super::sample::{self, Sample, gid, limit, seconds, start};
use crate::{ListQuery, Store};

pub async fn only_final_and_old_transactions_are_purged<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let at = |number| start().plus(seconds(number));
    for number in 1..=5 {
        Sample::new(&gid(&format!("final {number}"))).committed(at(number)).create(&*store).await;
    }
    Sample::new(&gid("in flight")).create(&*store).await;
    Sample::new(&gid("waiting")).waiting(at(0)).create(&*store).await;

    assert_eq!(store.purge(at(4), limit(2)).await.unwrap(), 2, "the limit holds");
    assert_eq!(store.purge(at(4), limit(2)).await.unwrap(), 1, "those that became final at 4 or later stay");
    assert_eq!(store.purge(at(4), limit(2)).await.unwrap(), 0);
    let page = store.list(&ListQuery::newest(limit(9))).await.unwrap();
    let left: Vec<_> = page.items.iter().map(|item| item.gid.as_str()).collect();
    assert_eq!(left, ["waiting", "in flight", "final 5", "final 4"]);
    assert_eq!(store.load(&gid("final 1")).await.unwrap(), None);
}

pub async fn a_purged_gid_is_free<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    Sample::new(&gid("a")).committed(start()).create(&*store).await;
    assert_eq!(store.purge(start().plus(seconds(1)), limit(9)).await.unwrap(), 1);
    Sample::new(&gid("a")).create(&*store).await;
}
