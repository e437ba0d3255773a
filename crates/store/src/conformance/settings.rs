use bytes::Bytes;

use super::Subject;
use super::sample;
use crate::{Setting, Settings, SettingsError, Version};

fn setting(key: &str, value: &'static [u8], version: u64) -> Setting {
    Setting { key: key.to_owned(), value: Bytes::from_static(value), version: Version(version) }
}

async fn put(store: &impl Settings, category: &str, key: &str, value: &'static [u8]) {
    store.put(category, key, Bytes::from_static(value), None).await.unwrap();
}

pub async fn a_setting_is_read_as_it_was_written<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    assert_eq!(store.get("topic", "paid").await.unwrap(), None);
    let put = store.put("topic", "paid", Bytes::from_static(b"\x00\xff"), None).await.unwrap();
    assert_eq!(put.version, Version::FIRST);
    assert_eq!(store.get("topic", "paid").await.unwrap(), Some(setting("paid", b"\x00\xff", 1)));
    let put = store.put("topic", "paid", Bytes::new(), Some(put.version)).await.unwrap();
    assert_eq!(put.version, Version(2));
    assert_eq!(store.get("topic", "paid").await.unwrap(), Some(setting("paid", b"", 2)));
    assert_eq!(store.get("token", "paid").await.unwrap(), None, "categories are apart");
}

pub async fn a_setting_at_another_version_is_a_conflict<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    let conflict = |error: SettingsError| match error {
        SettingsError::Conflict { current } => current,
        SettingsError::Store(error) => panic!("{error:?}"),
    };
    let absent = store.put("topic", "paid", Bytes::new(), Some(Version::FIRST)).await.unwrap_err();
    assert_eq!(conflict(absent), None);
    let absent = store.delete("topic", "paid", Version::FIRST).await.unwrap_err();
    assert_eq!(conflict(absent), None);

    put(&*store, "topic", "paid", b"one").await;
    for expected in [None, Some(Version(2))] {
        let error = store.put("topic", "paid", Bytes::from_static(b"two"), expected).await.unwrap_err();
        assert_eq!(conflict(error), Some(Version::FIRST));
    }
    let error = store.delete("topic", "paid", Version(2)).await.unwrap_err();
    assert_eq!(conflict(error), Some(Version::FIRST));
    assert_eq!(store.get("topic", "paid").await.unwrap(), Some(setting("paid", b"one", 1)));
}

pub async fn a_deleted_setting_is_gone<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    put(&*store, "topic", "paid", b"one").await;
    store.delete("topic", "paid", Version::FIRST).await.unwrap();
    assert_eq!(store.get("topic", "paid").await.unwrap(), None);
    put(&*store, "topic", "paid", b"two").await;
}

pub async fn a_scan_lists_one_category_in_key_order<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    let store = subject.store();
    for (category, key) in [("b", "2"), ("b", ""), ("a", "9"), ("b", "10"), ("b2", "0"), ("b", "é")] {
        put(&*store, category, key, b"x").await;
    }
    let expected = ["", "10", "2", "é"].map(|key| setting(key, b"x", 1));
    let scan = async |category, after, most| store.scan(category, after, sample::limit(most)).await.unwrap();
    assert_eq!(scan("b", None, 9).await, expected);
    assert_eq!(scan("b", None, 3).await, expected[..3]);
    assert_eq!(scan("b", Some(""), 2).await, expected[1..3]);
    assert_eq!(scan("b", Some("11"), 9).await, expected[2..], "a key that is not there is a place all the same");
    assert_eq!(scan("b", Some("é"), 9).await, []);
    assert_eq!(scan("c", None, 9).await, []);
}

pub async fn settings_survive_opening<S: Subject>() {
    let (subject, _clock) = sample::opened::<S>().await;
    put(&*subject.store(), "topic", "paid", b"one").await;
    let subject = subject.reopen().await;
    assert_eq!(subject.store().get("topic", "paid").await.unwrap(), Some(setting("paid", b"one", 1)));
}
