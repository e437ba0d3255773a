//! What real clients sent: the golden requests and the recorded conversations.

use std::path::Path;

use serde_json::Value;

/// All bodies, each once.
pub(super) fn bodies() -> Vec<String> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/dtm");
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(golden.join("requests")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (request, _) = text.split_once("----\n").unwrap();
        bodies.push(request.split_once('\n').unwrap().1.to_owned());
    }
    let traces = std::fs::read_to_string(golden.join("dtm-traces.jsonl")).unwrap();
    for trace in traces.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let sent = trace["events"].as_array().unwrap().iter().filter(|event| event["from"] == "client");
        bodies.extend(sent.filter_map(|event| event["body"].as_str()).map(str::to_owned));
    }
    bodies.sort();
    bodies.dedup();
    bodies
}
