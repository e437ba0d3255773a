//! Topics: subscriptions, and messages to whoever has subscribed.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Coordinator, Participant, Reply, Shown, msg, with};

async fn subscribe(escrow: &Coordinator, topic: &str, url: &str) -> Reply {
    change(escrow, "subscribe", topic, url).await
}

async fn unsubscribe(escrow: &Coordinator, topic: &str, url: &str) -> Reply {
    change(escrow, "unsubscribe", topic, url).await
}

async fn change(escrow: &Coordinator, route: &str, topic: &str, url: &str) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("topic", topic).append_pair("url", url).append_pair("remark", "for a test");
    escrow.get(&format!("/api/dtmsvr/{route}?{}", query.finish())).await
}

async fn delete(escrow: &Coordinator, topic: &str) -> Reply {
    escrow.send(Method::DELETE, &format!("/api/dtmsvr/topic/{topic}"), "").await
}

fn assert_done(reply: &Reply) {
    assert_eq!((reply.status, reply.json()), (200, json!({ "dtm_result": "SUCCESS" })), "{reply:?}");
}

/// The entry of a topic, as `queryKV` shows it.
async fn entry(escrow: &Coordinator, topic: &str) -> Value {
    let reply = escrow.get(&format!("/api/dtmsvr/queryKV?cat=topics&key={topic}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let entries = reply.json();
    assert_eq!(entries["kv"].as_array().unwrap().len(), 1, "{entries}");
    entries["kv"][0].clone()
}

/// A message whose only step is this topic.
fn to_topic(participant: &Participant, gid: &str, topic: &str) -> Value {
    let steps = json!([{ "action": format!("topic://{topic}") }]);
    with(with(msg(participant, gid), "steps", steps), "payloads", json!([r#"{"amount":30}"#]))
}

/// Branch id and path of every row.
fn deliveries(shown: &Shown) -> Vec<(&str, &str)> {
    let row = |row| -> (&str, &str) { (text(row, "branch_id"), text(row, "url").rsplit('/').next().unwrap()) };
    fn text<'a>(row: &'a Value, key: &str) -> &'a str {
        row[key].as_str().unwrap()
    }
    shown.branches().iter().map(row).collect()
}

#[tokio::test]
async fn a_message_to_a_topic_is_delivered_to_each_subscriber_as_a_branch_of_its_own() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    assert_done(&subscribe(&escrow, "t", &participant.url("a")).await);
    escrow.accepts("submit", to_topic(&participant, "one", "t")).await;
    assert_eq!(deliveries(&escrow.until_status("one", "succeed").await), [("01", "a")]);

    assert_done(&subscribe(&escrow, "t", &participant.url("b")).await);
    let steps = json!([{ "action": participant.url("first") }, { "action": "topic://t" }]);
    let body = with(with(msg(&participant, "two"), "steps", steps), "payloads", json!(["1", "2"]));
    escrow.accepts("submit", body).await;
    let shown = escrow.until_status("two", "succeed").await;
    assert_eq!(deliveries(&shown), [("01", "first"), ("02-01", "a"), ("02-02", "b")]);
    assert_eq!(participant.paths(), ["a", "first", "a", "b"]);
    let bodies: Vec<_> = participant.calls().into_iter().map(|call| call.body).collect();
    assert_eq!(bodies, [r#"{"amount":30}"#, "1", "2", "2"]);
}

#[tokio::test]
async fn a_subscriber_in_trouble_holds_up_no_other_where_a_message_to_a_topic_is_concurrent() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for path in ["a", "b", "c"] {
        assert_done(&subscribe(&escrow, "t", &participant.url(path)).await);
    }
    participant.always("a", Answer::Error);
    escrow.accepts("submit", with(to_topic(&participant, "g", "t"), "concurrent", true)).await;
    assert_eq!(escrow.until_waiting("g").await.ops(), ["prepared", "succeed", "succeed"]);
}

#[tokio::test]
async fn who_has_subscribed_when_a_message_is_saved_gets_it_whatever_happens_later() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for path in ["a", "b"] {
        assert_done(&subscribe(&escrow, "t", &participant.url(path)).await);
    }
    escrow.accepts("prepare", to_topic(&participant, "g", "t")).await;
    assert_done(&unsubscribe(&escrow, "t", &participant.url("a")).await);
    assert_done(&subscribe(&escrow, "t", &participant.url("c")).await);
    escrow.accepts("submit", to_topic(&participant, "g", "t")).await;
    assert_eq!(deliveries(&escrow.until_status("g", "succeed").await), [("01-01", "a"), ("01-02", "b")]);

    escrow.accepts("prepare", to_topic(&participant, "deleted", "t")).await;
    assert_done(&delete(&escrow, "t").await);
    escrow.accepts("submit", to_topic(&participant, "deleted", "t")).await;
    assert_eq!(deliveries(&escrow.until_status("deleted", "succeed").await), [("01-01", "b"), ("01-02", "c")]);
}

#[tokio::test]
async fn a_topic_without_subscribers_is_not_found() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    assert_done(&subscribe(&escrow, "emptied", &participant.url("a")).await);
    assert_done(&unsubscribe(&escrow, "emptied", &participant.url("a")).await);
    assert_done(&subscribe(&escrow, "deleted", &participant.url("a")).await);
    assert_done(&delete(&escrow, "deleted").await);
    for topic in ["never", "emptied", "deleted"] {
        for route in ["prepare", "submit"] {
            let reply = escrow.post(route, &to_topic(&participant, topic, topic)).await;
            assert_eq!((reply.status, reply.message().contains("topic not found")), (500, true), "{topic}: {reply:?}");
        }
        assert!(escrow.query(topic).await.transaction().is_null());
    }
    // A topic that is made anew is found at once.
    assert_done(&subscribe(&escrow, "deleted", &participant.url("b")).await);
    escrow.accepts("submit", to_topic(&participant, "g", "deleted")).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["b"]);
}

#[tokio::test]
async fn what_cannot_be_subscribed_or_unsubscribed_is_an_error_in_dtms_words() {
    let escrow = Coordinator::start().await;
    let url = "http://rm/a";
    assert_done(&subscribe(&escrow, "t", url).await);
    let is_error = |reply: Reply, message: &str| {
        assert_eq!((reply.status, reply.message().trim_end()), (500, message), "{reply:?}");
    };
    is_error(subscribe(&escrow, "", url).await, "empty topic");
    is_error(subscribe(&escrow, "t", "").await, "empty url");
    is_error(subscribe(&escrow, "t", url).await, "this url exists");
    is_error(unsubscribe(&escrow, "nobody", url).await, "no such a topic");
    is_error(unsubscribe(&escrow, "t", "http://rm/b").await, "no such an url");
    assert_done(&unsubscribe(&escrow, "t", url).await);
    is_error(unsubscribe(&escrow, "t", url).await, "this topic is empty");
    let unknown = delete(&escrow, "nobody").await;
    assert_eq!((unknown.status, unknown.message().is_empty()), (500, false), "{unknown:?}");
    assert_done(&delete(&escrow, "t").await);
}

#[tokio::test]
async fn every_change_of_a_topic_raises_its_version_by_one() {
    let escrow = Coordinator::start().await;
    for (version, path) in [(1, "a"), (2, "b")] {
        assert_done(&subscribe(&escrow, "t", &format!("http://rm/{path}")).await);
        assert_eq!(entry(&escrow, "t").await["version"], version);
    }
    let subscribers: Value = serde_json::from_str(entry(&escrow, "t").await["v"].as_str().unwrap()).unwrap();
    let expected = json!([
        { "url": "http://rm/a", "remark": "for a test" }, { "url": "http://rm/b", "remark": "for a test" }]);
    assert_eq!(subscribers, expected);
    assert_done(&unsubscribe(&escrow, "t", "http://rm/a").await);
    assert_eq!(entry(&escrow, "t").await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_at_once_none_that_was_accepted_is_lost() {
    let escrow = Coordinator::start().await;
    let urls: Vec<_> = (0..10).map(|number| format!("http://rm/{number}")).collect();
    let replies = join_all(urls.iter().map(|url| subscribe(&escrow, "t", url))).await;
    let accepted: Vec<_> =
        urls.iter().zip(&replies).filter(|(_, reply)| reply.status == 200).map(|(url, _)| url).collect();
    assert!(!accepted.is_empty() && replies.iter().all(|reply| [200, 409, 500, 503].contains(&reply.status)));
    let subscribers: Vec<Value> = serde_json::from_str(entry(&escrow, "t").await["v"].as_str().unwrap()).unwrap();
    let mut found: Vec<_> = subscribers.iter().map(|subscriber| subscriber["url"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, accepted);
    for url in &accepted {
        assert_done(&unsubscribe(&escrow, "t", url).await);
    }
    assert_eq!(entry(&escrow, "t").await["version"], 2 * accepted.len());
}

#[tokio::test]
async fn entries_are_walked_once_each_and_a_missing_one_is_an_empty_list() {
    let escrow = Coordinator::start().await;
    let topics: Vec<_> = (0..7).map(|number| format!("t{number}")).collect();
    for topic in &topics {
        assert_done(&subscribe(&escrow, topic, "http://rm/a").await);
    }
    for limit in [1, 3, 7, 100] {
        let (mut position, mut found) = (String::new(), Vec::new());
        loop {
            let at: String = form_urlencoded::byte_serialize(position.as_bytes()).collect();
            let reply = escrow.get(&format!("/api/dtmsvr/scanKV?cat=topics&limit={limit}&position={at}")).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let page = reply.json();
            for entry in page["kv"].as_array().unwrap() {
                for key in ["id", "create_time", "update_time", "cat", "k", "v", "version"] {
                    assert!(!entry[key].is_null(), "{key}: {entry}");
                }
                found.push(entry["k"].as_str().unwrap().to_owned());
            }
            position = page["next_position"].as_str().unwrap().to_owned();
            if position.is_empty() {
                break;
            }
        }
        found.sort();
        assert_eq!(found, topics, "{limit}");
    }
    let get = async |query: &str| escrow.get(&format!("/api/dtmsvr/{query}")).await.json();
    assert_eq!(get("queryKV?cat=topics&key=nobody").await, json!({ "kv": [] }));
    assert_eq!(get("queryKV?cat=topics").await["kv"].as_array().unwrap().len(), topics.len());
    assert_eq!(get("scanKV?cat=nothing").await, json!({ "kv": [], "next_position": "" }));
}
