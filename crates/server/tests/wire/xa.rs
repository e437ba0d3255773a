//! XA.

use std::time::Duration;

use http::Method;

use crate::support::{Answer, Coordinator, Participant, global, with, xa_branch};

async fn begin(escrow: &Coordinator, participant: &Participant, gid: &str, branches: &[&str]) {
    escrow.accepts("prepare", with(global(gid, "xa"), "retry_interval", 1)).await;
    for id in branches {
        escrow.accepts("registerBranch", xa_branch(participant, gid, id)).await;
    }
}

/// What each call asked for: path, operation.
fn asked(participant: &Participant) -> Vec<(String, String)> {
    let op = |parameters: Vec<(String, String)>| parameters.into_iter().find(|(name, _)| name == "op").unwrap().1;
    participant.calls().iter().map(|call| (call.path.clone(), op(call.parameters()))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, op)| ((*path).to_owned(), (*op).to_owned())).collect()
}

#[tokio::test]
async fn a_submitted_xa_is_committed_in_order_by_posts_without_a_body() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", &["01", "02"]).await;
    escrow.accepts("submit", global("g", "xa")).await;
    let shown = escrow.until_status("g", "succeed").await;
    assert_eq!(shown.names(), ["01 rollback", "01 commit", "02 rollback", "02 commit"]);
    assert_eq!(shown.ops(), ["prepared", "succeed", "prepared", "succeed"]);
    assert_eq!(asked(&participant), pairs(&[("xa-01", "commit"), ("xa-02", "commit")]));
    for call in participant.calls() {
        assert_eq!((&call.method, call.header("content-length"), call.body.len()), (&Method::POST, "0", 0));
    }
}

#[tokio::test]
async fn an_aborted_xa_is_rolled_back_in_order() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", &["01", "02"]).await;
    escrow.accepts("abort", with(global("g", "xa"), "rollback_reason", "no funds")).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!(shown.ops(), ["succeed", "prepared", "succeed", "prepared"]);
    assert_eq!(shown.reason(), "no funds");
    assert_eq!(asked(&participant), pairs(&[("xa-01", "rollback"), ("xa-02", "rollback")]));
}

#[tokio::test]
async fn a_local_part_that_failed_before_it_registered_is_not_called() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    begin(&escrow, &participant, "g", &["01"]).await;
    escrow.accepts("abort", global("g", "xa")).await;
    escrow.until_status("g", "failed").await;
    escrow.refuses("registerXaBranch", xa_branch(&participant, "g", "02")).await;
    assert_eq!(asked(&participant), pairs(&[("xa-01", "rollback")]));
}

#[tokio::test]
async fn an_xa_that_nobody_decides_fails_after_its_time() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    escrow.accepts("prepare", with(global("g", "xa"), "timeout_to_fail", 1)).await;
    let shown = escrow.until_status("g", "failed").await;
    assert_eq!((shown.branches().len(), shown.reason()), (0, "Timeout after 1 seconds"));
    assert!(participant.calls().is_empty());
}

#[tokio::test]
async fn an_undecided_tcc_or_xa_stays_prepared_for_35_seconds() {
    let escrow = Coordinator::start().await;
    for trans_type in ["tcc", "xa"] {
        escrow.accepts("prepare", global(trans_type, trans_type)).await;
        let shown = escrow.query(trans_type).await;
        assert_eq!(shown.status(), "prepared");
        assert_eq!(shown.between("create_time", "next_cron_time"), Duration::from_secs(35), "{trans_type}");
    }
}

#[tokio::test]
async fn a_commit_in_progress_is_asked_again() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("xa-01", &[Answer::Ongoing, Answer::Held]);
    begin(&escrow, &participant, "g", &["01", "02"]).await;
    escrow.accepts("submit", global("g", "xa")).await;
    let shown = escrow.until_waiting("g").await;
    assert_eq!((shown.status(), shown.ops()), ("submitted", vec!["prepared"; 4]));
    participant.release("xa-01");
    escrow.until_status("g", "succeed").await;
    assert_eq!(asked(&participant), pairs(&[("xa-01", "commit"), ("xa-01", "commit"), ("xa-02", "commit")]));
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_made_again() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    // It committed, and nobody heard of it; the second time there is no such xid, which is no error.
    participant.next("xa-01", &[Answer::Raw(502, "")]);
    begin(&escrow, &participant, "g", &["01"]).await;
    escrow.accepts("submit", global("g", "xa")).await;
    assert_eq!(escrow.until_status("g", "succeed").await.ops(), ["prepared", "succeed"]);
    assert_eq!(asked(&participant), pairs(&[("xa-01", "commit"), ("xa-01", "commit")]));
}

#[tokio::test]
async fn a_rollback_goes_on_once_the_participants_database_is_back() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    participant.next("xa-01", &[Answer::Error, Answer::Held]);
    begin(&escrow, &participant, "g", &["01"]).await;
    escrow.accepts("abort", global("g", "xa")).await;
    assert_eq!(escrow.until_waiting("g").await.status(), "aborting");
    participant.release("xa-01");
    assert_eq!(escrow.until_status("g", "failed").await.ops(), ["succeed", "prepared"]);
}

#[tokio::test]
async fn a_gid_with_quotes_is_a_gid() {
    let (escrow, participant) = (Coordinator::start().await, Participant::start().await);
    let gid = "g'  '\" or 1=1 --";
    begin(&escrow, &participant, gid, &["01"]).await;
    escrow.accepts("abort", global(gid, "xa")).await;
    escrow.until_status(gid, "failed").await;
    let parameters = participant.calls()[0].parameters();
    assert!(parameters.contains(&("gid".to_owned(), gid.to_owned())), "{parameters:?}");
}
