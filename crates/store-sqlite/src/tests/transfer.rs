//! What only this store can show of a transfer.

use escrow_store::conformance::sample::limit;

use super::*;

#[tokio::test]
async fn what_is_damaged_is_carried_over_as_it_is() {
    let (from, to) = (Sqlite::tuned(Tuning::default()), Sqlite::tuned(Tuning::default()));
    for text in ["a", "b", "c"] {
        sample(text).create(&*from.store()).await;
    }
    from.damage(&gid("b")).await;
    let exported = from.store().export(None, limit(9)).await.unwrap();
    to.store().import(exported.clone()).await.unwrap();
    assert_eq!(to.store().export(None, limit(9)).await.unwrap(), exported);
    assert!(matches!(to.store().load(&gid("b")).await, Err(StoreError::Corrupt { .. })));
    assert!(to.store().load(&gid("c")).await.unwrap().is_some());
}
