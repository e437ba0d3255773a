//! Every request against every state.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Coordinator, Participant, global, msg, saga, tcc_branch, with, xa_branch};

const TYPES: [&str; 4] = ["saga", "msg", "tcc", "xa"];

/// What a reply should be, and where it should leave the transaction. Where it goes on at once, any later status is fine.
struct Expected {
    code: u16,
    then: &'static [&'static str],
}

fn begun(participant: &Participant, trans_type: &str, gid: &str) -> Value {
    let body = match trans_type {
        "saga" => saga(participant, gid),
        "msg" => msg(participant, gid),
        other => global(gid, other),
    };
    with(body, "retry_interval", 1000)
}

/// Brings a transaction into a state; whether there is such a thing for its type.
async fn bring(escrow: &Coordinator, participant: &Participant, trans_type: &str, state: &str, gid: &str) -> bool {
    let body = begun(participant, trans_type, gid);
    let (forward, backward) = match (trans_type, state) {
        ("msg", "aborting") => return false,
        ("saga", "aborting" | "failed") => {
            (Answer::Failure, if state == "failed" { Answer::Success } else { Answer::Error })
        }
        (_, "submitted") => (Answer::Ongoing, Answer::Success),
        (_, "aborting") => (Answer::Success, Answer::Error),
        _ => (Answer::Success, Answer::Success),
    };
    for path in ["out", "confirm-01"] {
        participant.always(path, forward);
    }
    for path in ["out-revert", "cancel-01"] {
        participant.always(path, backward);
    }
    participant.always("xa-01", if state == "submitted" { forward } else { backward });
    escrow.accepts("prepare", body.clone()).await;
    match trans_type {
        "tcc" => escrow.accepts("registerBranch", tcc_branch(participant, gid, "01")).await,
        "xa" => escrow.accepts("registerBranch", xa_branch(participant, gid, "01")).await,
        _ => {}
    }
    match (trans_type, state) {
        (_, "prepared") => {}
        ("tcc" | "xa" | "msg", "aborting" | "failed") => escrow.accepts("abort", body).await,
        _ => escrow.accepts("submit", body).await,
    }
    let ended = ["prepared", "succeed", "failed"].contains(&state);
    escrow
        .until(gid, |shown| shown.status() == state && (ended || shown.transaction()["next_cron_time"].is_string()))
        .await;
    true
}

fn expected(request: &str, trans_type: &str, state: &str) -> Expected {
    let same = |code| Expected {
        code,
        then: match state {
            "prepared" => &["prepared"],
            "submitted" => &["submitted"],
            "aborting" => &["aborting"],
            "succeed" => &["succeed"],
            _ => &["failed"],
        },
    };
    let registers = matches!(trans_type, "tcc" | "xa");
    match (request, state) {
        ("prepare", "prepared") | ("submit", "submitted") => same(200),
        ("submit", "prepared") => Expected { code: 200, then: &["submitted", "succeed"] },
        ("abort", "prepared") if registers => Expected { code: 200, then: &["aborting", "failed"] },
        ("abort", "prepared") if trans_type == "msg" => Expected { code: 200, then: &["failed"] },
        ("abort", "aborting") if registers => same(200),
        ("forceStop", "prepared" | "submitted" | "aborting") => Expected { code: 200, then: &["failed"] },
        _ => same(409),
    }
}

#[tokio::test]
async fn every_request_does_in_every_state_what_it_may_and_no_more() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let mut number = 0;
    for trans_type in TYPES {
        for state in ["prepared", "submitted", "aborting", "succeed", "failed"] {
            for request in ["prepare", "submit", "abort", "forceStop"] {
                number += 1;
                let gid = format!("g{number}");
                if !bring(&escrow, &participant, trans_type, state, &gid).await {
                    continue;
                }
                let reply = escrow.post(request, &begun(&participant, trans_type, &gid)).await;
                let Expected { code, then } = expected(request, trans_type, state);
                assert_eq!(reply.status, code, "{request} of a {trans_type} that is {state}: {reply:?}");
                let status = escrow.query(&gid).await.status().to_owned();
                assert!(then.contains(&status.as_str()), "{request} of a {trans_type} that is {state}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_names_another_type_is_a_conflict() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for stored in TYPES {
        escrow.accepts("prepare", begun(&participant, stored, stored)).await;
        for sent in TYPES.into_iter().filter(|sent| *sent != stored) {
            for request in ["prepare", "submit", "abort"] {
                escrow.refuses(request, begun(&participant, sent, stored)).await;
            }
        }
        assert_eq!(escrow.query(stored).await.status(), "prepared");
    }
    assert!(participant.calls().is_empty());
}

#[tokio::test]
async fn a_submit_or_abort_of_an_unknown_gid_is_refused_where_only_a_prepare_can_begin() {
    let escrow = Coordinator::start().await;
    for trans_type in ["tcc", "xa"] {
        escrow.refuses("submit", global("nobody", trans_type)).await;
    }
    for trans_type in TYPES {
        let reply = escrow.post("abort", &global("nobody", trans_type)).await;
        assert_eq!((reply.status, reply.message().as_str()), (500, "no TransGlobal with gid: nobody found"));
    }
    assert!(escrow.query("nobody").await.transaction().is_null());
}

#[tokio::test]
async fn a_gid_used_for_other_steps_is_a_conflict() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for trans_type in ["saga", "msg"] {
        escrow.accepts("prepare", begun(&participant, trans_type, trans_type)).await;
        let other = with(begun(&participant, trans_type, trans_type), "payloads", json!(["{}", "other"]));
        for request in ["prepare", "submit"] {
            escrow.refuses(request, other.clone()).await;
        }
    }
    assert!(participant.calls().is_empty());
}

#[tokio::test]
async fn what_prepare_said_stays_and_what_the_submit_sets_is_added() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("out", Answer::Ongoing);
    let prepared = with(msg(&participant, "g"), "branch_headers", json!({ "x-from": "prepare" }));
    escrow.accepts("prepare", with(prepared, "retry_interval", 300)).await;
    escrow.accepts("submit", with(msg(&participant, "g"), "request_timeout", 8)).await;
    let shown = escrow.until_waiting("g").await;
    let options: Value = serde_json::from_str(shown.transaction()["options"].as_str().unwrap()).unwrap();
    assert_eq!((&options["retry_interval"], &options["request_timeout"]), (&json!(300), &json!(8)));
    assert_eq!(participant.calls()[0].header("x-from"), "prepare");
    assert!(shown.between("update_time", "next_cron_time").as_secs() >= 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_from_many_at_once_is_one_transaction() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.always("in", Answer::Held);
    for trans_type in ["saga", "msg"] {
        let body = with(begun(&participant, trans_type, trans_type), "request_timeout", 60);
        let replies = join_all((0..20).map(|_| escrow.post("submit", &body))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    }
    participant.release("in");
    for trans_type in ["saga", "msg"] {
        escrow.until_status(trans_type, "succeed").await;
    }
    let mut paths = participant.paths();
    paths.sort();
    assert_eq!(paths, ["in", "in", "out", "out"]);
}

#[tokio::test]
async fn a_reason_may_be_of_any_length_and_is_cut_between_characters() {
    let escrow = Coordinator::start().await;
    for (gid, reason) in [("short", "no funds".to_owned()), ("long", "é订🦀".repeat(20_000))] {
        escrow.accepts("prepare", global(gid, "tcc")).await;
        escrow.accepts("abort", with(global(gid, "tcc"), "rollback_reason", reason.clone())).await;
        let shown = escrow.until_status(gid, "failed").await;
        assert!(!shown.reason().is_empty() && reason.starts_with(shown.reason()), "{}", shown.reason().len());
    }
    assert_eq!(escrow.query("short").await.reason(), "no funds");
}
