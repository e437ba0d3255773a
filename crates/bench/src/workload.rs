//! What one transaction of each kind sends to its coordinator.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A kind of transaction that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// A saga of two steps, submitted with `wait_result`.
    Saga,
    /// A message of one step, submitted at once.
    Message,
    /// A TCC: prepare, two registrations, submit.
    Tcc,
    /// A TCC whose two branches come with the prepare.
    TccDeclared,
    /// An XA with two branches, without databases: prepare, two registrations, submit.
    Xa,
}

/// How a coordinator wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// DTM's REST API: DTM, Escrow and the null coordinator.
    Dtm,
    /// That of dtmrs.
    Dtmrs,
}

/// What a branch is sent: JSON with 100 bytes of padding, written as the JSON text that stands in the bodies.
const PAYLOAD: &str = concat!(
    r#""{\"amount\":30,\"pad\":\""#,
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    r#"\"}""#
);

const PREPARE: &str = "/api/dtmsvr/prepare";
const REGISTER: &str = "/api/dtmsvr/registerBranch";
const SUBMIT: &str = "/api/dtmsvr/submit";

/// One request of a transaction: a POST with a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: &'static str,
    pub(crate) body: String,
}

impl Workload {
    /// All of them, in the order of the reports.
    pub(crate) const ALL: [Self; 5] = [Self::Saga, Self::Message, Self::Tcc, Self::TccDeclared, Self::Xa];

    /// The requests of one transaction, in order; all are to be answered 200. Its branches are at `participant`, paths
    /// `/a1` and `/a2` (undone at `/c1` and `/c2`). The gid stands in JSON and in URLs as it is: letters, digits and hyphens.
    ///
    /// None if a peer of this dialect does not know the workload.
    pub(crate) fn requests(self, dialect: Dialect, gid: &str, participant: SocketAddr) -> Vec<Request> {
        match (self, dialect) {
            (Self::Saga, Dialect::Dtm) => vec![submit_saga(gid, participant)],
            (Self::Saga, Dialect::Dtmrs) => vec![submit_saga_to_dtmrs(gid, participant)],
            (Self::Message, Dialect::Dtm) => vec![submit_message(gid, participant)],
            (Self::Message, Dialect::Dtmrs) => message_to_dtmrs(gid, participant),
            (Self::Tcc, _) => two_phases(gid, "tcc", dialect, |branch| register_tcc(gid, branch, participant)),
            (Self::Xa, Dialect::Dtm) => two_phases(gid, "xa", dialect, |branch| register_xa(gid, branch, participant)),
            (Self::TccDeclared, Dialect::Dtm) => declared_tcc(gid, participant),
            (Self::Xa | Self::TccDeclared, Dialect::Dtmrs) => Vec::new(),
        }
    }

    /// How often a transaction calls its participants: the last of these calls ends it.
    pub(crate) fn calls(self) -> usize {
        match self {
            Self::Message => 1,
            Self::Saga | Self::Tcc | Self::TccDeclared | Self::Xa => 2,
        }
    }

    /// How often a coordinator has to make it durable.
    pub(crate) fn commits(self) -> u32 {
        match self {
            Self::Saga | Self::Message => 2,
            Self::TccDeclared => 3,
            Self::Tcc | Self::Xa => 5,
        }
    }

    /// Whether a peer of this dialect knows it.
    pub(crate) fn is_known_in(self, dialect: Dialect) -> bool {
        dialect == Dialect::Dtm || matches!(self, Self::Saga | Self::Message | Self::Tcc)
    }
}

fn submit_saga(gid: &str, participant: SocketAddr) -> Request {
    let steps = format!("[{{{}}},{{{}}}]", step_members(1, participant), step_members(2, participant));
    let payloads = format!("[{PAYLOAD},{PAYLOAD}]");
    let body =
        format!(r#"{{"gid":"{gid}","trans_type":"saga","wait_result":true,"steps":{steps},"payloads":{payloads}}}"#);
    Request { path: SUBMIT, body }
}

/// Its steps carry their payloads, and nobody can wait for the result.
fn submit_saga_to_dtmrs(gid: &str, participant: SocketAddr) -> Request {
    let step = |n| format!(r#"{{{},"payload":{PAYLOAD}}}"#, step_members(n, participant));
    let steps = format!("[{},{}]", step(1), step(2));
    Request { path: SUBMIT, body: format!(r#"{{"gid":"{gid}","trans_type":"saga","steps":{steps}}}"#) }
}

/// Without braces: a step may have other members beside these.
fn step_members(n: u32, participant: SocketAddr) -> String {
    format!(r#""action":"http://{participant}/a{n}","compensate":"http://{participant}/c{n}""#)
}

fn submit_message(gid: &str, participant: SocketAddr) -> Request {
    let common = message_members(gid, participant);
    let steps = format!(r#"[{{"action":"http://{participant}/a1"}}]"#);
    Request { path: SUBMIT, body: format!(r#"{{{common},"wait_result":true,"steps":{steps}}}"#) }
}

/// It takes messages in two requests only.
fn message_to_dtmrs(gid: &str, participant: SocketAddr) -> Vec<Request> {
    let common = message_members(gid, participant);
    let prepare = format!(r#"{{{common},"actions":["http://{participant}/a1"]}}"#);
    let submit = format!(r#"{{"gid":"{gid}","trans_type":"msg"}}"#);
    vec![Request { path: PREPARE, body: prepare }, Request { path: SUBMIT, body: submit }]
}

/// What a message of one step says in either dialect, without braces.
fn message_members(gid: &str, participant: SocketAddr) -> String {
    let check_back = format!("http://{participant}/q");
    format!(r#""gid":"{gid}","trans_type":"msg","query_prepared":"{check_back}","payloads":[{PAYLOAD}]"#)
}

/// Prepare, registration of two branches as `register` writes them, submit.
fn two_phases(gid: &str, trans_type: &str, dialect: Dialect, register: impl Fn(u32) -> String) -> Vec<Request> {
    let begin = begin(gid, trans_type, dialect);
    let registration = |branch| Request { path: REGISTER, body: register(branch) };
    vec![
        Request { path: PREPARE, body: begin.clone() },
        registration(1),
        registration(2),
        Request { path: SUBMIT, body: begin },
    ]
}

/// What prepare and submit say alike.
fn begin(gid: &str, trans_type: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Dtm => format!(r#"{{"gid":"{gid}","trans_type":"{trans_type}","wait_result":true}}"#),
        Dialect::Dtmrs => format!(r#"{{"gid":"{gid}","trans_type":"{trans_type}"}}"#),
    }
}

fn register_tcc(gid: &str, branch: u32, participant: SocketAddr) -> String {
    format!(r#"{{"gid":"{gid}","trans_type":"tcc",{}}}"#, tcc_branch(branch, participant))
}

fn register_xa(gid: &str, branch: u32, participant: SocketAddr) -> String {
    let url = format!("http://{participant}/a{branch}");
    format!(r#"{{"gid":"{gid}","trans_type":"xa","branch_id":"{branch:02}","url":"{url}"}}"#)
}

fn declared_tcc(gid: &str, participant: SocketAddr) -> Vec<Request> {
    let prepare = format!(
        r#"{{"gid":"{gid}","trans_type":"tcc","wait_result":true,"branches":[{{{}}},{{{}}}]}}"#,
        tcc_branch(1, participant),
        tcc_branch(2, participant)
    );
    vec![Request { path: PREPARE, body: prepare }, Request { path: SUBMIT, body: begin(gid, "tcc", Dialect::Dtm) }]
}

/// The members of a branch, without their braces: a registration has others beside them.
fn tcc_branch(branch: u32, participant: SocketAddr) -> String {
    let confirm = format!("http://{participant}/a{branch}");
    let cancel = format!("http://{participant}/c{branch}");
    format!(r#""branch_id":"{branch:02}","confirm":"{confirm}","cancel":"{cancel}","data":{PAYLOAD}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Paths without their common prefix, and bodies.
    fn requests(workload: Workload, dialect: Dialect) -> Vec<(&'static str, Value)> {
        let requests = workload.requests(dialect, "g-1", "127.0.0.1:80".parse().unwrap());
        let path = |path: &'static str| path.strip_prefix("/api/dtmsvr/").unwrap();
        requests.iter().map(|r| (path(r.path), serde_json::from_str(&r.body).unwrap())).collect()
    }

    fn payload() -> String {
        format!(r#"{{"amount":30,"pad":"{}"}}"#, "x".repeat(100))
    }

    fn url(path: &str) -> String {
        format!("http://127.0.0.1:80/{path}")
    }

    #[test]
    fn a_saga_is_one_submit_that_waits_for_two_steps() {
        let steps = json!([
            {"action": url("a1"), "compensate": url("c1")},
            {"action": url("a2"), "compensate": url("c2")},
        ]);
        let body = json!({"gid": "g-1", "trans_type": "saga", "wait_result": true, "steps": steps,
            "payloads": [payload(), payload()]});
        assert_eq!(requests(Workload::Saga, Dialect::Dtm), [("submit", body)]);
    }

    #[test]
    fn a_message_is_one_submit_with_a_check_back() {
        let body = json!({"gid": "g-1", "trans_type": "msg", "wait_result": true, "query_prepared": url("q"),
            "steps": [{"action": url("a1")}], "payloads": [payload()]});
        assert_eq!(requests(Workload::Message, Dialect::Dtm), [("submit", body)]);
    }

    #[test]
    fn a_tcc_registers_its_branches_or_declares_the_same() {
        let begin = json!({"gid": "g-1", "trans_type": "tcc", "wait_result": true});
        let branch = |n: u32| {
            json!({"branch_id": format!("0{n}"), "confirm": url(&format!("a{n}")), "cancel": url(&format!("c{n}")),
                "data": payload()})
        };
        let registration = |n: u32| {
            let mut body = branch(n);
            body["gid"] = json!("g-1");
            body["trans_type"] = json!("tcc");
            ("registerBranch", body)
        };
        let expected = [("prepare", begin.clone()), registration(1), registration(2), ("submit", begin.clone())];
        assert_eq!(requests(Workload::Tcc, Dialect::Dtm), expected);

        let mut prepare = begin.clone();
        prepare["branches"] = json!([branch(1), branch(2)]);
        assert_eq!(requests(Workload::TccDeclared, Dialect::Dtm), [("prepare", prepare), ("submit", begin)]);
    }

    #[test]
    fn an_xa_registers_one_url_for_each_branch() {
        let begin = json!({"gid": "g-1", "trans_type": "xa", "wait_result": true});
        let registration = |n: u32| {
            let body = json!({"gid": "g-1", "trans_type": "xa", "branch_id": format!("0{n}"),
                "url": url(&format!("a{n}"))});
            ("registerBranch", body)
        };
        let expected = [("prepare", begin.clone()), registration(1), registration(2), ("submit", begin)];
        assert_eq!(requests(Workload::Xa, Dialect::Dtm), expected);
    }

    #[test]
    fn dtmrs_gets_payloads_in_its_steps_messages_in_two_requests_and_never_waits() {
        let saga = requests(Workload::Saga, Dialect::Dtmrs);
        assert_eq!(saga[0].1["steps"][1]["payload"], payload());
        let message = requests(Workload::Message, Dialect::Dtmrs);
        let prepare = json!({"gid": "g-1", "trans_type": "msg", "query_prepared": url("q"), "actions": [url("a1")],
            "payloads": [payload()]});
        let submit = json!({"gid": "g-1", "trans_type": "msg"});
        assert_eq!(message, [("prepare", prepare), ("submit", submit)]);
        let tcc = requests(Workload::Tcc, Dialect::Dtmrs);
        assert_eq!(tcc.len(), 4);
        assert!([saga, message, tcc].concat().iter().all(|(_, body)| body.get("wait_result").is_none()));
    }

    #[test]
    fn who_does_not_know_a_workload_is_sent_nothing_of_it() {
        for workload in Workload::ALL {
            for dialect in [Dialect::Dtm, Dialect::Dtmrs] {
                let sent = !requests(workload, dialect).is_empty();
                assert_eq!(sent, workload.is_known_in(dialect), "{workload:?} {dialect:?}");
            }
        }
    }
}
