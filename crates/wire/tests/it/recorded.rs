//! The conversations recorded from DTM: what its clients sent there has to be read here.

use std::path::Path;

use escrow_wire::dtm;
use serde_json::Value;

/// Conversations whose requests are refused: on purpose malformed, or about parts that are not supported yet.
const REFUSED: [&str; 5] = ["errors", "json-rpc", "json-rpc-branch", "workflow-resume", "msg-topic"];

#[test]
fn every_recorded_request_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/dtm/dtm-traces.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let traces = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut read = 0;
    for trace in traces.filter(|trace| !REFUSED.contains(&trace["name"].as_str().unwrap())) {
        for event in trace["events"].as_array().unwrap().iter().filter(|event| event["from"] == "client") {
            let (_, target) = event["request"].as_str().unwrap().split_once(' ').unwrap();
            if decode(target, event["body"].as_str().unwrap_or_default().as_bytes()) {
                read += 1;
            }
        }
    }
    assert_eq!(read, 66);
}

/// Reads one request; whether there is anything to read.
fn decode(target: &str, body: &[u8]) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let error = match path.rsplit('/').next().unwrap() {
        "prepare" | "submit" => dtm::decode_begin(body).err(),
        "abort" => dtm::decode_abort(body).err(),
        "registerBranch" => dtm::decode_registration(body).err(),
        "forceStop" => dtm::decode_gid_body(body).err(),
        "query" => dtm::decode_query(query).err(),
        "all" => dtm::decode_all(query).err(),
        "newGid" | "ping" => return false,
        other => panic!("no route {other}"),
    };
    assert!(error.is_none(), "{target} {}: {error:?}", String::from_utf8_lossy(body));
    true
}
