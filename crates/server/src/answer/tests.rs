use std::sync::Arc;

use escrow_store::codec::CodecError;
use escrow_txn::{BranchId, Gid, Pattern};

use super::*;

fn gid() -> Gid {
    Gid::parse("g").unwrap()
}

fn store(source: StoreError) -> RequestError {
    RequestError::Store { gid: gid(), source: Arc::new(source) }
}

/// Status, code, message without the ending of a refusal, and the seconds of Retry-After.
fn told(asked: Asked, error: &RequestError) -> (u16, &'static str, String, Option<u64>) {
    let error = ApiError::of_request(asked, error);
    let (code, retry_after) = (error.code.as_str(), error.retry_after.map(|after| after.as_secs()));
    let body: serde_json::Value = serde_json::from_slice(&error.reply.body).unwrap();
    let message = body["message"].as_str().unwrap();
    let message = match error.reply.status {
        409 => {
            assert_eq!(body["dtm_result"], "FAILURE");
            message.strip_suffix(" FAILURE").unwrap()
        }
        _ => {
            assert_eq!(body.get("dtm_result"), None);
            message
        }
    };
    (error.reply.status, code, message.to_owned(), retry_after)
}

#[test]
fn a_conflict_is_told_in_the_words_of_what_was_asked() {
    let illegal = |status| RequestError::Illegal {
        gid: gid(),
        source: IllegalEvent::Status { event: "x", pattern: Pattern::Tcc, status },
    };
    let repeat = |status| RequestError::Repeat { gid: gid(), source: RepeatRefused::Status { status } };
    let table = [
        (Asked::Prepare, repeat(Status::Committed), "current status 'succeed', cannot prepare."),
        (Asked::Submit, repeat(Status::Aborted), "current status 'failed', cannot sumbmit."),
        (Asked::Prepare, illegal(Status::Submitted), "current status 'submitted', cannot prepare."),
        (Asked::Submit, illegal(Status::Aborting), "current status 'aborting', cannot sumbmit."),
        (Asked::Abort, illegal(Status::Submitted), "trans type: 'tcc' current status 'submitted', cannot abort."),
        (Asked::Register, illegal(Status::Aborting), "no trans with gid: g status: prepared found"),
        (Asked::ForceStop, illegal(Status::Stopped), "global transaction force stop error. status: failed. error:"),
    ];
    for (asked, error, message) in table {
        assert_eq!(told(asked, &error), (409, "wrong_status", message.to_owned(), None));
    }
}

#[test]
fn every_other_error_has_its_status_code_and_words() {
    let cause = || Box::new(std::io::Error::other("secret cause"));
    let branch = BranchId::parse("01").unwrap();
    let table = [
        (Asked::Abort, RequestError::NotFound { gid: gid() }, 500, "not_found", "no TransGlobal with gid: g found"),
        (Asked::ForceStop, RequestError::NotFound { gid: gid() }, 500, "not_found", "no TransGlobal with gid: g found"),
        (
            Asked::Register,
            RequestError::NotFound { gid: gid() },
            409,
            "not_found",
            "no trans with gid: g status: prepared found",
        ),
        (
            Asked::Submit,
            RequestError::NotPrepared { gid: gid(), pattern: Pattern::Xa },
            409,
            "not_prepared",
            "no prepared xa with gid: g found, cannot submit.",
        ),
        (
            Asked::Submit,
            RequestError::Repeat {
                gid: gid(),
                source: RepeatRefused::Pattern { stored: Pattern::Saga, sent: Pattern::Message },
            },
            409,
            "type_mismatch",
            "gid: g is a transaction of type 'saga', not 'msg'.",
        ),
        (
            Asked::Submit,
            RequestError::Repeat { gid: gid(), source: RepeatRefused::Definition },
            409,
            "definition_mismatch",
            "gid: g is a transaction with different steps or payloads.",
        ),
        (
            Asked::Register,
            RequestError::Illegal { gid: gid(), source: IllegalEvent::BranchDiffers { branch: branch.clone() } },
            409,
            "branch_mismatch",
            "branch 01 is already registered with a different URL or payload",
        ),
        (
            Asked::Register,
            RequestError::Illegal {
                gid: gid(),
                source: IllegalEvent::Limit(InvalidDefinition::TooManyBranches { count: 1001 }),
            },
            413,
            "too_large",
            "1001 branches are more than the 1000 allowed",
        ),
        (
            Asked::Prepare,
            RequestError::Invalid { gid: gid(), source: InvalidDefinition::DuplicateBranch { branch } },
            500,
            "invalid_definition",
            "branch 01 is declared twice",
        ),
        (
            Asked::Prepare,
            RequestError::Invalid { gid: gid(), source: InvalidDefinition::NoCheckBack },
            409,
            "no_check_back",
            "a prepared message needs query_prepared: without it nobody could say whether its local transaction committed",
        ),
        (
            Asked::Submit,
            store(StoreError::Corrupt {
                gid: gid(),
                source: CodecError::NotARecord { kind: escrow_store::codec::Kind::Progress, offset: 0 },
            }),
            500,
            "corrupt_record",
            "the record of transaction g cannot be read",
        ),
    ];
    for (asked, error, status, code, message) in table {
        assert_eq!(told(asked, &error), (status, code, message.to_owned(), None), "{error:?}");
    }
    let passing = [
        (RequestError::Overloaded { retry_after: Duration::from_secs(7) }, "overloaded", 7),
        (RequestError::ShuttingDown, "shutting_down", 1),
        (RequestError::Held { gid: gid() }, "on_hold", 60),
        (RequestError::Interrupted { gid: gid() }, "interrupted", 1),
        (store(StoreError::Down { source: cause() }), "store_down", 1),
        (store(StoreError::Unknown { source: cause() }), "store_unknown", 1),
        (store(StoreError::Busy), "store_busy", 1),
    ];
    for (error, code, seconds) in passing {
        let (status, found, message, retry_after) = told(Asked::Submit, &error);
        assert_eq!((status, found, retry_after), (503, code, Some(seconds)), "{error:?}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_waiting_caller_is_told_the_end_or_that_there_is_none_yet() {
    use Receipt::{Accepted, Ended, Waiting};
    let ended = |status| Ended { status, reason: Some("no funds".to_owned()) };
    let waiting = |status| Waiting { status, reason: Some("no funds".to_owned()) };
    let table = [
        (Accepted, 200, 200),
        (ended(Status::Committed), 200, 409),
        (ended(Status::Aborted), 409, 200),
        (ended(Status::Stopped), 409, 409),
        (waiting(Status::Submitted), 425, 425),
        (waiting(Status::Prepared), 425, 425),
        (waiting(Status::Aborting), 409, 425),
    ];
    for (receipt, of_submit, of_abort) in table {
        for (reply, expected) in [(submitted(&receipt), of_submit), (aborted(&receipt), of_abort)] {
            assert_eq!(reply.status, expected, "{receipt:?}");
            let body = String::from_utf8(reply.body.to_vec()).unwrap();
            match expected {
                200 => assert_eq!(body, r#"{"dtm_result":"SUCCESS"}"#),
                409 => assert_eq!(body, r#"{"dtm_result":"FAILURE","message":"no funds FAILURE"}"#),
                _ => {
                    assert!(body.starts_with(r#"{"dtm_result":"ONGOING","message":"the transaction is not "#), "{body}")
                }
            }
        }
    }
}

#[test]
fn an_error_carries_its_code_and_a_time_to_come_back_that_is_not_too_early() {
    let overloaded = RequestError::Overloaded { retry_after: Duration::from_millis(1200) };
    let response = of_error(ApiError::of_request(Asked::Submit, &overloaded));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-escrow-error"], "overloaded");
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
}
