//! Plays one conversation and compares.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::participant::{Call, Participant};
use super::recorded::{Event, From, Trace};
use super::{differences, send};
use crate::support::TestServer;

/// How long anything may take that should happen at once, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a query is repeated while it does not say what it should.
const POLL: Duration = Duration::from_millis(20);
/// What the clocks of coordinator and test may be apart.
const CLOCKS_APART: Duration = Duration::from_millis(20);

/// What a conversation came to.
#[derive(Default)]
pub(super) struct Played {
    /// The places that were compared: conversation and what.
    pub(super) compared: BTreeSet<String>,
    /// What was neither as recorded nor as it should differ.
    pub(super) mismatches: Vec<String>,
}

/// Plays the client's part of one conversation.
pub(super) struct Player {
    trace: Trace,
    server: Arc<TestServer>,
    gid: String,
    played: Played,
}

impl Player {
    pub(super) fn new(mut trace: Trace, server: Arc<TestServer>) -> Self {
        trace.events.extend(differences::more_calls(&trace.name));
        let gid = format!("replayed-{}", trace.name);
        Self { trace, server, gid, played: Played::default() }
    }

    pub(super) async fn play(mut self) -> Played {
        let participant = Participant::start(&self.trace).await;
        let start = Instant::now();
        let mut calls = 0;
        for (index, event) in self.trace.events.clone().iter().enumerate() {
            match event.from {
                From::Coordinator => calls += 1,
                From::Client => {
                    self.wait_for_calls(&participant, calls).await;
                    if index > 0 && self.trace.events[index - 1].from == From::Coordinator {
                        self.wait_for_effect(calls, &participant).await;
                    }
                    // What is asked in between is asked before the next call is answered, however slow this machine is.
                    let until_next_request = calls + self.calls_behind(index);
                    if event.request.starts_with("POST") {
                        participant.may_answer(until_next_request);
                    }
                    self.request(index, event, &participant).await;
                    participant.may_answer(until_next_request);
                }
            }
        }
        self.wait_for_calls(&participant, calls).await;
        self.final_query(&participant).await;
        self.compare_calls(&participant.calls(), start, &participant);
        self.played
    }

    /// How many calls stand between a client's request and its next one.
    fn calls_behind(&self, index: usize) -> usize {
        self.trace.events[index + 1..].iter().take_while(|event| event.from == From::Coordinator).count()
    }

    /// Puts this run's gid, topic and participant into a recorded text.
    fn filled_in(&self, text: &str, participant: &Participant) -> String {
        let url = participant.url();
        let in_a_query: String = form_urlencoded::byte_serialize(url.as_bytes()).collect();
        let text = text.replace("<gid>", &self.gid).replace("<topic>", &self.topic());
        text.replace("http://rm/", &url).replace("http%3A%2F%2Frm%2F", &in_a_query)
    }

    /// Takes this run's gid, topic and participant out of a text.
    fn as_recorded(&self, text: &str, participant: &Participant) -> String {
        let text = text.replace(&participant.url(), "http://rm/").replace(&self.topic(), "<topic>");
        text.replace(&self.gid, "<gid>")
    }

    fn topic(&self) -> String {
        format!("topic-of-{}", self.trace.name)
    }

    /// The request that shows the transaction.
    fn query(&self) -> String {
        format!("GET /api/dtmsvr/query?gid={}", self.gid)
    }

    /// Waits for so many calls; retries take their time.
    async fn wait_for_calls(&mut self, participant: &Participant, count: usize) {
        if tokio::time::timeout(PATIENCE, participant.called(count)).await.is_err() {
            let came = participant.calls().len();
            self.played.mismatches.push(format!("{}: {came} of {count} calls came", self.trace.name));
        }
    }

    /// Waits until the answer to the last of these calls is stored: as the end if there are no more, else as a wait.
    async fn wait_for_effect(&self, calls: usize, participant: &Participant) {
        if calls == self.trace.calls().count() {
            let recorded: Value = serde_json::from_str(self.trace.final_query.as_ref().unwrap()).unwrap();
            let status = &recorded["transaction"]["status"];
            self.query_until(participant, |shown| shown["transaction"]["status"] == *status).await;
        } else {
            self.query_until(participant, |shown| shown["transaction"]["next_cron_time"].is_string()).await;
        }
    }

    async fn request(&mut self, index: usize, event: &Event, participant: &Participant) {
        let request = self.filled_in(&event.request, participant);
        if request == self.query() {
            return self.compare_query(&format!("event {index}"), &event.reply, participant).await;
        }
        let body = self.filled_in(event.body.as_deref().unwrap_or_default(), participant);
        let response = send(&self.server, &request, &body).await;
        self.compare(&format!("event {index} status"), json!(event.status), json!(response.status));
        let reply = value(&self.as_recorded(&response.body, participant));
        let (recorded, reply) = without_free_wording(value(&event.reply), reply);
        self.compare(&format!("event {index} reply"), recorded, reply);
    }

    async fn final_query(&mut self, participant: &Participant) {
        if let Some(recorded) = self.trace.final_query.clone() {
            self.compare_query("final", &recorded, participant).await;
        }
    }

    /// Compares what a query shows with what it showed then, once what is on its way has had its effect.
    async fn compare_query(&mut self, place: &str, recorded: &str, participant: &Participant) {
        let recorded = facts(&serde_json::from_str(recorded).unwrap());
        let paths: Vec<_> = recorded.iter().map(|(name, _)| format!("{place} {name}")).collect();
        let expected: Vec<_> = paths
            .iter()
            .zip(&recorded)
            .map(|(path, (_, recorded))| differences::expected(&self.trace.name, path, recorded))
            .collect();
        let shown = self
            .query_until(participant, |shown| facts(shown).into_iter().map(|(_, value)| value).eq(expected.clone()))
            .await;
        for ((path, (_, recorded)), (_, shown)) in paths.iter().zip(recorded).zip(facts(&shown)) {
            self.compare(path, recorded, shown);
        }
    }

    /// Queries until the reply is as it should be, or patience ends; returns the last reply.
    async fn query_until(&self, participant: &Participant, is_right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = send(&self.server, &self.query(), "").await;
            assert_eq!(response.status, 200, "{response:?}");
            let shown: Value = serde_json::from_str(&self.as_recorded(&response.body, participant)).unwrap();
            if is_right(&shown) || Instant::now() > deadline {
                return shown;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn compare_calls(&mut self, calls: &[Call], start: Instant, participant: &Participant) {
        let recorded: Vec<_> = self.trace.calls().cloned().collect();
        let not_before = differences::not_before(&self.trace.name, recorded.len());
        self.compare("calls", json!(recorded.len()), json!(calls.len()));
        for (index, (recorded, call)) in recorded.iter().zip(calls).enumerate() {
            let path = |what: &str| format!("call {index} {what}");
            let request = recorded.request.replace("http://rm", "");
            self.compare(&path("request"), json!(request), json!(self.as_recorded(&call.request, participant)));
            let body = recorded.body.as_deref().unwrap_or_default();
            self.compare(&path("body"), json!(body), json!(self.as_recorded(&call.body, participant)));
            for (name, text) in &recorded.headers {
                self.compare(&path(name), json!(text), json!(call.headers.get(name)));
            }
            let recorded_before = Duration::from_secs(recorded.at_s + 1);
            assert!(not_before[index] < recorded_before, "{} call {index}: DTM was earlier", self.trace.name);
            let at = call.at.duration_since(start);
            if at + CLOCKS_APART < not_before[index] {
                self.played.mismatches.push(format!(
                    "{} call {index}: came after {at:?}, not before {:?}",
                    self.trace.name, not_before[index]
                ));
            }
        }
    }

    fn compare(&mut self, path: &str, recorded: Value, ours: Value) {
        self.played.compared.insert(format!("{} {path}", self.trace.name));
        let expected = differences::expected(&self.trace.name, path, &recorded);
        if ours != expected {
            self.played
                .mismatches
                .push(format!("{} {path}:\n  expected {expected}\n  got      {ours}", self.trace.name));
        }
    }
}

/// What is compared of a query's reply.
fn facts(shown: &Value) -> Vec<(&'static str, Value)> {
    let branches = shown["branches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["branch_id"], row["op"], text(&row["url"]), text(&row["bin_data"]), row["status"]]));
    let transaction = &shown["transaction"];
    vec![
        ("branches", branches.collect()),
        ("gid", transaction["gid"].clone()),
        ("trans_type", transaction["trans_type"].clone()),
        ("status", transaction["status"].clone()),
        ("rollback_reason", text(&transaction["rollback_reason"])),
    ]
}

/// An empty text is left out of a reply.
fn text(value: &Value) -> Value {
    if value.is_null() { json!("") } else { value.clone() }
}

/// A reply as JSON; the text itself if it is none.
fn value(reply: &str) -> Value {
    serde_json::from_str(reply).unwrap_or_else(|_| json!(reply))
}

/// Generated ids, times and the wording of JSON errors are nobody's business, as long as there are some.
fn without_free_wording(mut recorded: Value, mut ours: Value) -> (Value, Value) {
    let is_json_error =
        |text: &str| text.starts_with("json: cannot unmarshal") || text.starts_with("invalid character");
    for (key, is_free) in
        [("gid", &(|text: &str| text == "<newid>") as &dyn Fn(&str) -> bool), ("message", &is_json_error)]
    {
        if recorded[key].as_str().is_some_and(is_free) && ours[key].as_str().is_some_and(|text| !text.is_empty()) {
            recorded[key] = json!("<any>");
            ours[key] = json!("<any>");
        }
    }
    for entry in ours.get_mut("kv").and_then(Value::as_array_mut).into_iter().flatten() {
        for key in ["create_time", "update_time"] {
            entry[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            entry[key] = json!("<time>");
        }
    }
    (recorded, ours)
}
