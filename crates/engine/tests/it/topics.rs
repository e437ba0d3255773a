//! Messages to topics.

use escrow_engine::RequestError;
use escrow_txn::{Begin, Branch, BranchOutcome, InvalidDefinition, Pattern, RepeatRefused, Status, limits};

use crate::world::{Answer, World, begin, branch, eventually, waiting};

/// A message with these steps.
fn message(gid: &str, urls: &[&str]) -> Begin {
    let steps = urls.iter().enumerate();
    let steps = steps.map(|(index, url)| Branch { forward_url: (*url).to_owned(), ..branch(index) });
    Begin { branches: steps.collect(), ..begin(gid, Pattern::Message, 0) }
}

async fn deliveries(world: &World, gid: &str) -> Vec<String> {
    let def = world.txn(gid).await.def;
    def.branches.iter().map(|branch| format!("{} {}", branch.id, branch.forward_url)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_to_a_topic_goes_to_those_who_were_subscribed_when_it_was_stored() {
    let world = World::new();
    world.topics.set("paid", &["a/1", "b/1"]);
    world.topics.set("sent", &["c/1"]);
    let steps = ["topic://paid", "d/1", "topic://sent"];
    world.coordinator.submit(waiting(message("submitted", &steps))).await.unwrap();
    assert_eq!(world.script.called(), ["a/1", "b/1", "d/1", "c/1"]);
    assert_eq!(deliveries(&world, "submitted").await, ["01-01 a/1", "01-02 b/1", "02 d/1", "03 c/1"]);

    world.coordinator.prepare(message("prepared", &steps)).await.unwrap();
    world.topics.set("paid", &["x/1"]);
    world.coordinator.submit(waiting(message("prepared", &[]))).await.unwrap();
    assert_eq!(deliveries(&world, "prepared").await, ["01-01 a/1", "01-02 b/1", "02 d/1", "03 c/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_the_same_request_whoever_has_subscribed_since() {
    let world = World::new();
    world.topics.set("paid", &["a/1", "b/1"]);
    let message = || message("g", &["topic://paid"]);
    world.coordinator.prepare(message()).await.unwrap();
    for subscribers in [&["a/1"][..], &[]] {
        world.topics.set("paid", subscribers);
        world.coordinator.prepare(message()).await.unwrap();
    }
    let world = world.crash().await;
    world.coordinator.prepare(message()).await.unwrap();
    world.coordinator.submit(waiting(message())).await.unwrap();
    assert_eq!(deliveries(&world, "g").await, ["01-01 a/1", "01-02 b/1"]);
    assert_eq!(world.topics.asked(), ["paid"], "only when the steps were stored");

    let late = world.coordinator.submit(message()).await.unwrap_err();
    assert_eq!(late.status(), Some(Status::Committed));
}

#[tokio::test(start_paused = true)]
async fn steps_that_come_with_the_submit_are_fanned_out_then_and_compared_as_they_were_sent() {
    let world = World::new();
    world.topics.set("paid", &["a/1", "b/1"]);
    world.script.answer("a/1", &[Answer::Outcome(BranchOutcome::Unknown); 2]);
    world.coordinator.prepare(message("g", &[])).await.unwrap();
    assert_eq!(world.topics.asked(), [""; 0]);
    world.coordinator.submit(waiting(message("g", &["topic://paid"]))).await.unwrap();
    assert_eq!(deliveries(&world, "g").await, ["01-01 a/1", "01-02 b/1"]);

    world.topics.set("paid", &[]);
    let world = world.crash().await;
    world.coordinator.submit(message("g", &["topic://paid"])).await.unwrap();
    let other = world.coordinator.submit(message("g", &["topic://sent"])).await.unwrap_err();
    assert!(matches!(other, RequestError::Repeat { source: RepeatRefused::Definition, .. }), "{other}");
    eventually(|| async { world.status("g").await == Status::Committed }).await;
    assert_eq!(world.topics.asked(), ["paid"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_subscribers_is_refused_and_nothing_is_stored() {
    let world = World::new();
    world.topics.set("left", &[]);
    for topic in ["unknown", "left", ""] {
        let message = || message("g", &["d/1", &format!("topic://{topic}")]);
        let refused = [world.coordinator.prepare(message()).await, world.coordinator.submit(message()).await.map(drop)];
        for refused in refused {
            let refused = refused.unwrap_err();
            assert!(
                matches!(&refused, RequestError::NoSubscribers { topic: named, .. } if named == topic),
                "{refused}"
            );
        }
    }
    assert_eq!(world.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_has_no_more_deliveries_than_it_could_have_steps() {
    let world = World::new();
    let urls: Vec<_> = (0..limits::BRANCHES_MAX).map(|number| format!("a{number}/1")).collect();
    world.topics.set("all", &urls.iter().map(String::as_str).collect::<Vec<_>>());
    world.coordinator.submit(waiting(message("most", &["topic://all"]))).await.unwrap();
    assert_eq!(world.status("most").await, Status::Committed);
    for steps in [&["topic://all", "d/1"][..], &["topic://all", "topic://all"]] {
        let refused = world.coordinator.submit(message("more", steps)).await.unwrap_err();
        let source = match refused {
            RequestError::Invalid { source, .. } => source,
            other => panic!("{other}"),
        };
        assert!(matches!(source, InvalidDefinition::TooManyBranches { .. }), "{source}");
    }
}
