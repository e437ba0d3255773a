use std::time::Duration;

use escrow_txn::{
    Answer, BranchId, BranchOutcome, CallId, Defaults, Definition, Drive, Event, Moment, Operator, apply, next,
};
use serde_json::Value;

use super::*;
use crate::dtm::decode_begin;

const CREATED: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);
const CREATED_TEXT: &str = "2023-11-14T22:13:20.123456Z";

/// The transaction that begins with this body, with one second between any two events.
struct Story {
    drive: Drive,
    now: Timestamp,
}

impl Story {
    fn begin(body: &str, submitted: bool) -> Self {
        let def: Definition = decode_begin(body.as_bytes()).unwrap().into_definition(CREATED);
        let mut story = Self { drive: Drive::begin(def, submitted, Defaults::default()), now: CREATED };
        story.save();
        story
    }

    fn save(&mut self) {
        if let Some(progress) = next(&self.drive, self.now).commit_first {
            self.drive.stored(progress);
        }
    }

    fn event(mut self, event: Event) -> Self {
        self.now = self.now.plus(Duration::from_secs(1));
        apply(&mut self.drive, event, Moment::at(self.now)).unwrap();
        self.save();
        self
    }

    fn answer(mut self, branch: usize, op: BranchOp, outcome: BranchOutcome) -> Self {
        let call = CallId::of(branch, op);
        self.drive.calling(call);
        let text = "FAILURE of the participant".to_owned();
        self.event(Event::Answer(Answer { call, outcome, code: Some(200), latency: Duration::ZERO, text }))
    }

    fn shown(&self) -> Value {
        parsed(&encode_query(Some(self.drive.txn())))
    }
}

fn parsed(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200);
    serde_json::from_slice(&reply.body).unwrap()
}

const SAGA: &str = r#"{"gid":"g","trans_type":"saga","payloads":["{\"n\":1}"],"steps":[
    {"action":"http://a/1","compensate":"http://b/1"},{"action":"http://a/2","compensate":""}]}"#;
const TCC: &str = r#"{"gid":"g","trans_type":"tcc","branches":[
    {"branch_id":"01","confirm":"http://a/c","cancel":"http://a/u","data":"x"},
    {"branch_id":"02","confirm":"http://b/c","cancel":"http://b/u"}]}"#;

/// (branch id, op, status) of the rows, in order.
fn rows(shown: &Value) -> Vec<(String, String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = shown["branches"].as_array().unwrap();
    rows.iter().map(|row| (text(row, "branch_id"), text(row, "op"), text(row, "status"))).collect()
}

fn row(id: &str, op: &str, status: &str) -> (String, String, String) {
    (id.to_owned(), op.to_owned(), status.to_owned())
}

#[test]
fn a_saga_shows_compensate_before_action_and_leaves_out_what_is_unset() {
    let story = Story::begin(SAGA, true).answer(0, BranchOp::Action, BranchOutcome::Done);
    let shown = story.shown();
    let expected = serde_json::json!([
        {"id": 1, "create_time": CREATED_TEXT, "update_time": CREATED_TEXT, "gid": "g", "url": "http://b/1",
            "bin_data": "eyJuIjoxfQ==", "branch_id": "01", "op": "compensate", "status": "prepared"},
        {"id": 2, "create_time": CREATED_TEXT, "update_time": "2023-11-14T22:13:21.123456Z", "gid": "g", "url": "http://a/1",
            "bin_data": "eyJuIjoxfQ==", "branch_id": "01", "op": "action", "status": "succeed",
            "finish_time": "2023-11-14T22:13:21.123456Z"},
        {"id": 3, "create_time": CREATED_TEXT, "update_time": CREATED_TEXT, "gid": "g",
            "branch_id": "02", "op": "compensate", "status": "prepared"},
        {"id": 4, "create_time": CREATED_TEXT, "update_time": CREATED_TEXT, "gid": "g", "url": "http://a/2",
            "branch_id": "02", "op": "action", "status": "prepared"},
    ]);
    assert_eq!(shown["branches"], expected);
}

#[test]
fn a_finished_saga_has_a_finish_time_and_nothing_that_is_unset() {
    let story = Story::begin(SAGA, true).answer(0, BranchOp::Action, BranchOutcome::Done).answer(
        1,
        BranchOp::Action,
        BranchOutcome::Done,
    );
    let expected = serde_json::json!({
        "id": 0, "create_time": CREATED_TEXT, "update_time": "2023-11-14T22:13:22.123456Z", "gid": "g", "trans_type": "saga",
        "status": "succeed", "protocol": "http", "finish_time": "2023-11-14T22:13:22.123456Z",
        "options": "{\"concurrent\":false}", "concurrent": false,
    });
    assert_eq!(story.shown()["transaction"], expected);
}

#[test]
fn a_refused_step_is_failed_and_the_transaction_has_a_reason_and_a_rollback_time() {
    let story = Story::begin(SAGA, true).answer(0, BranchOp::Action, BranchOutcome::Refused).answer(
        0,
        BranchOp::Compensate,
        BranchOutcome::Done,
    );
    let shown = story.shown();
    assert_eq!(rows(&shown)[..2], [row("01", "compensate", "succeed"), row("01", "action", "failed")]);
    let transaction = &shown["transaction"];
    assert_eq!(transaction["status"], "failed");
    assert_eq!(transaction["rollback_reason"], "url:http://a/1 return failed: FAILURE of the participant");
    assert!(transaction.get("rollback_time").is_some() && transaction.get("finish_time").is_none());
}

#[test]
fn tcc_shows_cancel_before_confirm_and_xa_rollback_before_commit_and_a_message_its_deliveries() {
    let tcc = Story::begin(TCC, false).shown();
    let expected = [("01", "cancel"), ("01", "confirm"), ("02", "cancel"), ("02", "confirm")];
    assert_eq!(rows(&tcc), expected.map(|(id, op)| row(id, op, "prepared")));
    let xa = r#"{"gid":"g","trans_type":"xa","branches":[{"branch_id":"01","url":"http://a/x"}]}"#;
    let xa = Story::begin(xa, false).shown();
    assert_eq!(rows(&xa), ["rollback", "commit"].map(|op| row("01", op, "prepared")));
    assert_eq!(xa["branches"][0]["url"], "http://a/x");
    let message =
        r#"{"gid":"g","trans_type":"msg","query_prepared":"http://a/q","steps":[{"action":"http://a/d"},{}]}"#;
    let message = Story::begin(message, false).shown();
    assert_eq!(rows(&message), ["01", "02"].map(|id| row(id, "action", "prepared")));
    assert_eq!(message["transaction"]["query_prepared"], "http://a/q");
}

#[test]
fn a_branch_that_was_registered_later_has_all_its_times() {
    let branch = Branch {
        id: BranchId::parse("03").unwrap(),
        forward_url: "http://c/c".to_owned(),
        backward_url: String::new(),
        payload: bytes::Bytes::new(),
    };
    let shown = Story::begin(TCC, false).event(Event::Register(branch)).shown();
    assert_eq!(shown["branches"][5]["create_time"], CREATED_TEXT);
    assert_eq!(shown["branches"][5]["update_time"], CREATED_TEXT);
}

#[test]
fn options_are_written_as_dtm_writes_them_and_again_inline() {
    let body = r#"{"gid":"g","trans_type":"saga","steps":[{"action":"http://a/1"}],"wait_result":true,"timeout_to_fail":7,
        "request_timeout":8,"retry_interval":9,"retry_limit":2,"branch_headers":{"X-B":"secret","X-A":""},
        "custom_data":"{\"concurrent\":true}"}"#;
    let shown = Story::begin(body, true).answer(0, BranchOp::Action, BranchOutcome::Unknown).shown();
    let transaction = &shown["transaction"];
    let options = r#"{"wait_result":true,"timeout_to_fail":7,"request_timeout":8,"retry_interval":9,"branch_headers":{"X-B":"***","X-A":"***"},"concurrent":true,"retry_limit":2,"retry_count":1}"#;
    assert_eq!(transaction["options"], options);
    assert_eq!((&transaction["retry_interval"], &transaction["concurrent"]), (&9.into(), &true.into()));
    assert_eq!(transaction["custom_data"], r#"{"concurrent":true}"#);
}

#[test]
fn a_wait_shows_until_when_and_how_long_it_is() {
    let waiting = Story::begin(SAGA, true).answer(0, BranchOp::Action, BranchOutcome::Unknown).shown();
    let transaction = &waiting["transaction"];
    assert_eq!(transaction["next_cron_time"], "2023-11-14T22:13:41.123456Z");
    assert_eq!(transaction["next_cron_interval"], 20);
}

#[test]
fn attention_is_told_in_our_words_only() {
    let mut story = Story::begin(TCC, false).event(Event::Submit { amendment: Default::default(), branches: vec![] });
    for _ in 0..3 {
        story = story.answer(1, BranchOp::Confirm, BranchOutcome::Refused);
    }
    let shown = story.shown();
    let transaction = &shown["transaction"];
    assert_eq!(transaction["attention"], true);
    let reason = "02 confirm: 3 answers in a row were unknown or refused; the last: refused, with status 200";
    assert_eq!(transaction["attention_reason"], reason);
    assert!(transaction["attention_since"].is_string());
    assert!(!shown.to_string().contains("FAILURE"), "{shown}");
}

#[test]
fn a_stopped_transaction_is_failed_with_the_operators_reason() {
    let operator = Operator { by: "ann".to_owned(), reason: "paid by hand".to_owned() };
    let shown = Story::begin(SAGA, true).event(Event::ForceStop(operator)).shown();
    assert_eq!(shown["transaction"]["status"], "failed");
    assert_eq!(shown["transaction"]["rollback_reason"], "stopped by ann: paid by hand");
    assert!(shown["transaction"]["rollback_time"].is_string());
}

#[test]
fn the_reason_of_a_client_is_shown_as_given() {
    let reason = Some("try of 02 failed: no funds FAILURE".to_owned());
    let shown = Story::begin(TCC, false).event(Event::Abort { reason }).shown();
    assert_eq!(shown["transaction"]["rollback_reason"], "try of 02 failed: no funds FAILURE");
    assert_eq!(shown["transaction"]["status"], "aborting");
}

#[test]
fn names_and_passwords_in_urls_are_masked_wherever_they_stand() {
    let masked = |text: &str| Masked(text).to_string();
    assert_eq!(masked("http://ann:pw@host:80/p?a=b@c"), "http://***@host:80/p?a=b@c");
    assert_eq!(masked("url:https://a@b return failed: x"), "url:https://***@b return failed: x");
    assert_eq!(masked("see http://a:p@b/x and http://c/y@z"), "see http://***@b/x and http://c/y@z");
    assert_eq!(masked("http://p@q@host"), "http://***@host");
    for plain in ["", "http://host/path", "no url: a@b", "http://", "://@"] {
        assert_eq!(masked(plain), plain.replace("://@", "://***@"));
    }
    let body = r#"{"gid":"g","trans_type":"msg","query_prepared":"http://u:secret@q/","steps":[{"action":"http://u:secret@a/"}]}"#;
    assert!(!Story::begin(body, false).shown().to_string().contains("secret"));
}

#[test]
fn a_list_shows_its_rows_in_the_order_given_and_where_the_next_page_begins() {
    let listed = |gid: &str, status: Status| ListedTxn {
        gid: Gid::parse(gid).unwrap(),
        pattern: Pattern::Message,
        status,
        created_at: CREATED,
        updated_at: CREATED,
        finished_at: status.is_final().then_some(CREATED),
        next_run_at: (!status.is_final()).then(|| CREATED.plus(Duration::from_millis(2_300))),
        business_key: Some(BusinessKey::parse("order 1").unwrap()),
        attention: status == Status::Submitted,
    };
    let shown = parsed(&encode_all(&[listed("b", Status::Submitted), listed("a", Status::Aborted)], Some("17-a")));
    let expected = serde_json::json!({"next_position": "17-a", "transactions": [
        {"id": 0, "create_time": CREATED_TEXT, "update_time": CREATED_TEXT, "gid": "b", "trans_type": "msg",
            "status": "submitted", "protocol": "http", "next_cron_interval": 2,
            "next_cron_time": "2023-11-14T22:13:22.423456Z", "business_key": "order 1", "attention": true,
            "concurrent": false},
        {"id": 0, "create_time": CREATED_TEXT, "update_time": CREATED_TEXT, "gid": "a", "trans_type": "msg",
            "status": "failed", "protocol": "http", "rollback_time": CREATED_TEXT, "business_key": "order 1",
            "concurrent": false},
    ]});
    assert_eq!(shown, expected);
}

#[test]
fn a_list_of_one_gid_shows_it_whole_and_echoes_the_position() {
    let story = Story::begin(SAGA, true);
    let shown = parsed(&encode_all_of_gid(Some(story.drive.txn()), "17-a"));
    assert_eq!(shown["next_position"], "17-a");
    assert_eq!(shown["transactions"], serde_json::json!([story.shown()["transaction"]]));
}

#[test]
fn times_are_rfc_3339_in_utc_up_to_the_end_of_time() {
    let text = |micros| serde_json::to_string(&Time(Timestamp::from_micros(micros))).unwrap();
    assert_eq!(text(0), r#""1970-01-01T00:00:00Z""#);
    assert_eq!(text(1_700_000_000_000_000), r#""2023-11-14T22:13:20Z""#);
    assert!(text(u64::MAX).starts_with(r#""9999-12-30T"#));
}
