//! TCC.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Coordinator, Participant, global, tcc_branch, with};

/// Begins a TCC and registers these branches.
async fn begin(
    escrow: &Coordinator,
    participant: &Participant,
    gid: &str,
    options: serde_json::Value,
    branches: &[&str],
) {
    let mut body = global(gid, "tcc");
    body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    escrow.accepts("prepare", body).await;
    for id in branches {
        escrow.accepts("registerBranch", tcc_branch(participant, gid, id)).await;
    }
}

#[tokio::test]
async fn a_submitted_tcc_is_confirmed_in_reverse() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", json!({}), &["01", "02"]).await;
    let shown = escrow.query("g").await;
    assert_eq!((shown.status(), shown.ops()), ("prepared", vec!["prepared"; 4]));
    assert!(participant.calls().is_empty());
    escrow.accepts("submit", global("g", "tcc")).await;
    let shown = escrow.until_status("g", "succeed").await;
    assert_eq!(shown.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(participant.paths(), ["confirm-02", "confirm-01"]);
    assert!(participant.calls().iter().all(|call| call.body == r#"{"amount":30}"#));
}

#[tokio::test]
async fn an_aborted_tcc_is_cancelled_in_reverse_however_long_it_takes() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("cancel-02", &[Answer::Ongoing, Answer::Held]);
    begin(&escrow, &participant, "g", json!({ "retry_interval": 1 }), &["01", "02"]).await;
    escrow.accepts("abort", with(global("g", "tcc"), "rollback_reason", "Insufficient balance FAILURE")).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("aborting", vec!["prepared"; 4]));
    participant.release("cancel-02");
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "prepared", "succeed", "prepared"]);
    assert_eq!(shown.reason(), "Insufficient balance FAILURE");
    assert_eq!(participant.paths(), ["cancel-02", "cancel-02", "cancel-01"]);
    assert!(participant.calls().iter().all(|call| call.body == r#"{"amount":30}"#));
}

#[tokio::test]
async fn the_branches_of_a_nested_tcc_are_confirmed_like_the_others() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", json!({}), &["01", "02", "0201"]).await;
    escrow.accepts("submit", global("g", "tcc")).await;
    let shown = escrow.until_status("g", "succeed").await;
    let names = ["01 cancel", "01 confirm", "02 cancel", "02 confirm", "0201 cancel", "0201 confirm"];
    assert_eq!(shown.names(), names);
    assert_eq!(participant.paths(), ["confirm-0201", "confirm-02", "confirm-01"]);
}

#[tokio::test]
async fn a_tcc_that_nobody_decides_is_cancelled_and_takes_no_late_branch() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", json!({ "timeout_to_fail": 3 }), &["01"]).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "prepared"]);
    assert_eq!(shown.reason(), "Timeout after 3 seconds");
    assert!(shown.between("create_time", "rollback_time") >= Duration::from_secs(3), "{shown:?}");
    let late = escrow.refuses("registerBranch", tcc_branch(&participant, "g", "02")).await;
    assert_eq!(late, "no trans with gid: g status: prepared found FAILURE");
    escrow.refuses("submit", global("g", "tcc")).await;
    assert_eq!(participant.paths(), ["cancel-01"]);
}

#[tokio::test]
async fn branches_that_answer_in_the_body_alone_are_understood() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // A refused confirm or cancel is repeated: others see the decision already.
    participant.next("confirm-01", &[Answer::OldOngoing, Answer::OldFailure]);
    participant.next("cancel-01", &[Answer::OldOngoing, Answer::OldFailure]);
    for (gid, end) in [("c", "submit"), ("a", "abort")] {
        begin(&escrow, &participant, gid, json!({ "retry_interval": 1 }), &["01"]).await;
        escrow.accepts(end, global(gid, "tcc")).await;
    }
    assert_eq!(escrow.until_status("c", "succeed").await.ops(), ["prepared", "succeed"]);
    assert_eq!(escrow.until_status("a", "failed").await.ops(), ["succeed", "prepared"]);
    assert_eq!(participant.called("confirm-01", 3).await.len(), 3);
    assert_eq!(participant.called("cancel-01", 3).await.len(), 3);
}

#[tokio::test]
async fn empty_confirm_and_cancel_urls_succeed_without_a_call() {
    let escrow = Coordinator::start().await;
    for (gid, end, status) in [("c", "submit", "succeed"), ("a", "abort", "failed")] {
        escrow.accepts("prepare", global(gid, "tcc")).await;
        let branch = json!({ "gid": gid, "trans_type": "tcc", "branch_id": "01", "confirm": "", "cancel": "" });
        escrow.accepts("registerBranch", branch).await;
        escrow.accepts(end, global(gid, "tcc")).await;
        escrow.until_status(gid, status).await;
    }
}

#[tokio::test]
async fn a_callback_that_panics_is_an_abort_without_a_reason() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", json!({}), &["01"]).await;
    escrow.accepts("abort", global("g", "tcc")).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!((shown.ops(), shown.reason()), (vec!["succeed", "prepared"], ""));
}

#[tokio::test]
async fn a_repeated_submit_confirms_what_is_registered() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("confirm-01", &[Answer::Ongoing]);
    begin(&escrow, &participant, "g", json!({ "retry_interval": 1000 }), &["01"]).await;
    escrow.accepts("submit", global("g", "tcc")).await;
    escrow.until_waiting("g").await;
    escrow.accepts("submit", global("g", "tcc")).await;
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["prepared", "succeed"]);
    assert_eq!(participant.paths(), ["confirm-01", "confirm-01"]);
}

#[tokio::test]
async fn a_participant_that_is_down_holds_up_the_others_unless_they_are_confirmed_side_by_side() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // The last one is the first to be confirmed.
    participant.always("confirm-03", Answer::Error);
    for (gid, concurrent, ops) in [
        ("in-order", false, ["prepared"; 6]),
        ("at-once", true, ["prepared", "succeed", "prepared", "succeed", "prepared", "prepared"]),
    ] {
        begin(&escrow, &participant, gid, json!({ "concurrent": concurrent }), &["01", "02", "03"]).await;
        escrow.accepts("submit", global(gid, "tcc")).await;
        let shown = escrow.until_waiting(gid).await;
        assert_eq!((shown.status(), shown.ops()), ("submitted", ops.to_vec()), "{gid}");
    }
}

#[tokio::test]
async fn an_identical_registration_may_be_repeated_and_another_one_under_its_id_is_refused() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", json!({}), &["01", "01"]).await;
    escrow.refuses("registerBranch", with(tcc_branch(&participant, "g", "01"), "data", "other")).await;
    escrow.accepts("submit", global("g", "tcc")).await;
    escrow.until_status("g", "succeed").await;
    assert_eq!(participant.paths(), ["confirm-01"]);
}

#[tokio::test]
async fn a_caller_that_waits_for_a_tcc_gets_its_end_or_425() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // A submit waits if it says so itself, an abort if the prepare said so.
    for (end, path, ended) in [("submit", "confirm-01", "succeed"), ("abort", "cancel-01", "failed")] {
        let (prepare, body) = match end {
            "submit" => (json!({}), json!({ "trans_type": "tcc", "wait_result": true })),
            _ => (json!({ "wait_result": true }), json!({ "trans_type": "tcc" })),
        };
        let gid = format!("{end}-done");
        begin(&escrow, &participant, &gid, prepare.clone(), &["01"]).await;
        escrow.accepts(end, with(body.clone(), "gid", gid.clone())).await;
        assert_eq!(escrow.query(&gid).await.status(), ended);
        for answer in [Answer::Ongoing, Answer::Error, Answer::Failure] {
            let gid = format!("{end}-{answer:?}");
            participant.next(path, &[answer]);
            begin(&escrow, &participant, &gid, prepare.clone(), &["01"]).await;
            let reply = escrow.post(end, &with(body.clone(), "gid", gid.clone())).await;
            assert_eq!((reply.status, &reply.json()["dtm_result"]), (425, &json!("ONGOING")), "{gid}: {reply:?}");
            assert_eq!(escrow.query(&gid).await.status(), if end == "submit" { "submitted" } else { "aborting" });
        }
    }
}

#[tokio::test]
async fn what_the_prepare_says_about_calls_holds_for_all_of_them() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("confirm-01", &[Answer::Ongoing]);
    let options = json!({ "branch_headers": { "test_header": "yes" }, "retry_interval": 1 });
    begin(&escrow, &participant, "g", options, &["01"]).await;
    escrow.accepts("submit", global("g", "tcc")).await;
    escrow.until_status("g", "succeed").await;
    let headers: Vec<_> = participant.calls().iter().map(|call| call.header("test_header").to_owned()).collect();
    assert_eq!(headers, ["yes", "yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_submit_and_an_abort_at_once_one_decides_and_the_other_is_told_so() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for round in 0..20 {
        let gid = format!("g{round}");
        begin(&escrow, &participant, &gid, json!({}), &["01", "02"]).await;
        let body = global(&gid, "tcc");
        let (submit, abort) = tokio::join!(escrow.post("submit", &body), escrow.post("abort", &body));
        let (end, op) = match (submit.status, abort.status) {
            (200, 409) => ("succeed", "confirm"),
            (409, 200) => ("failed", "cancel"),
            other => panic!("{other:?}"),
        };
        escrow.until_status(&gid, end).await;
        let of_gid = |call: &&crate::support::Call| call.query.contains(&format!("gid={gid}&"));
        let calls = participant.calls();
        let paths: Vec<_> = calls.iter().filter(of_gid).map(|call| call.path.as_str()).collect();
        assert_eq!(paths, [format!("{op}-02"), format!("{op}-01")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_whose_registration_was_accepted_is_carried_along_and_no_other_is() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    for round in 0..20 {
        let (gid, end) = (format!("g{round}"), ["submit", "abort"][round % 2]);
        begin(&escrow, &participant, &gid, json!({}), &["00"]).await;
        let ids: Vec<_> = (1..=6).map(|number| format!("0{number}")).collect();
        let branches: Vec<_> = ids.iter().map(|id| tcc_branch(&participant, &gid, id)).collect();
        let registering = branches.iter().map(|branch| escrow.post("registerBranch", branch));
        let (_, replies) =
            tokio::join!(escrow.accepts(end, global(&gid, "tcc")), futures_util::future::join_all(registering));
        let shown = escrow.until_status(&gid, ["succeed", "failed"][round % 2]).await;
        let accepted = ids.iter().zip(&replies).filter(|(_, reply)| reply.status == 200).map(|(id, _)| id.as_str());
        let mut expected: Vec<_> = ["00"].into_iter().chain(accepted).collect();
        let mut known: Vec<_> = shown.branches().iter().map(|row| row["branch_id"].as_str().unwrap()).collect();
        known.dedup();
        known.sort_unstable();
        expected.sort_unstable();
        assert_eq!(known, expected, "{end}");
        assert!(replies.iter().all(|reply| [200, 409].contains(&reply.status)), "{replies:?}");
        let done = shown.ops().iter().filter(|status| **status == "succeed").count();
        assert_eq!(done, known.len(), "{shown:?}");
    }
}
