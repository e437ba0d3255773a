//! The recorded conversations as they stand in the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// One conversation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Trace {
    pub(super) name: String,
    /// In time order, but that the calls a request waits for stand behind it.
    pub(super) events: Vec<Event>,
    /// The reply to a query at the end, if there was a transaction.
    pub(super) final_query: Option<String>,
    /// Whether the recording shows what a new coordinator should do better.
    #[serde(default, rename = "new_coordinator_should_differ")]
    pub(super) should_differ: bool,
}

/// One request and its reply.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    pub(super) from: From,
    /// Method and target.
    pub(super) request: String,
    pub(super) body: Option<String>,
    /// The headers that matter.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) status: u16,
    pub(super) reply: String,
    /// Whole seconds since the first event.
    pub(super) at_s: u64,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// A client, to the coordinator.
    Client,
    /// The coordinator, to a participant.
    Coordinator,
}

impl Trace {
    /// The calls that the coordinator makes, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.from == From::Coordinator)
    }
}

/// All conversations. In their texts stand `<gid>`, `<newid>`, `<time>`, and `http://rm/` for the participant.
pub(super) fn all() -> Vec<Trace> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/golden/dtm/dtm-traces.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
