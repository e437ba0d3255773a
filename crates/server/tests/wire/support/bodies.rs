//! What clients send.

use serde_json::{Value, json};

use super::Participant;

/// A saga of two steps: `out` and `in`, undone by `out-revert` and `in-revert`.
pub(crate) fn saga(participant: &Participant, gid: &str) -> Value {
    json!({
        "gid": gid, "trans_type": "saga", "payloads": [r#"{"amount":30}"#, r#"{"amount":30}"#],
        "steps": [
            { "action": participant.url("out"), "compensate": participant.url("out-revert") },
            { "action": participant.url("in"), "compensate": participant.url("in-revert") },
        ],
    })
}

/// A message to `out` and `in`, checked back at `query`.
pub(crate) fn msg(participant: &Participant, gid: &str) -> Value {
    json!({
        "gid": gid, "trans_type": "msg", "query_prepared": participant.url("query"),
        "steps": [{ "action": participant.url("out") }, { "action": participant.url("in") }],
        "payloads": [r#"{"amount":30}"#, r#"{"amount":30}"#],
    })
}

/// The begin or end of a TCC or XA, as clients send it.
pub(crate) fn global(gid: &str, trans_type: &str) -> Value {
    json!({ "gid": gid, "trans_type": trans_type })
}

/// A TCC branch, confirmed at `confirm-<id>` and cancelled at `cancel-<id>`.
pub(crate) fn tcc_branch(participant: &Participant, gid: &str, id: &str) -> Value {
    json!({
        "gid": gid, "trans_type": "tcc", "branch_id": id, "data": r#"{"amount":30}"#,
        "confirm": participant.url(&format!("confirm-{id}")), "cancel": participant.url(&format!("cancel-{id}")),
    })
}

/// An XA branch at `xa-<id>`.
pub(crate) fn xa_branch(participant: &Participant, gid: &str, id: &str) -> Value {
    json!({ "gid": gid, "trans_type": "xa", "branch_id": id, "url": participant.url(&format!("xa-{id}")) })
}

/// The same body with this key set.
pub(crate) fn with(mut body: Value, key: &str, value: impl Into<Value>) -> Value {
    body[key] = value.into();
    body
}
