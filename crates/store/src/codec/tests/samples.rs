//! Transactions with something in every field.

use std::collections::BTreeSet;
use std::time::Duration;

use escrow_txn::{
    Amendment, Attempt, Attention, Branch, BranchId, BranchOp, BranchOutcome, BranchProgress, BusinessKey, CallId,
    Definition, Digest, Gid, OpProgress, OpStatus, OperatorOrder, Options, Pattern, Progress, Reach, Status, Timestamp,
};

pub(super) fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn branch(id: &str, payload: &'static [u8]) -> Branch {
    Branch {
        id: BranchId::parse(id).unwrap(),
        forward_url: format!("http://stock.test/{id}/forward"),
        backward_url: format!("http://stock.test/{id}/backward"),
        payload: payload.into(),
    }
}

pub(super) fn branches() -> Vec<Branch> {
    vec![branch("02", br#"{"amount":7}"#), branch("03", b"\x00\xff"), branch("订单", b"")]
}

fn full_options() -> Options {
    Options {
        request_timeout: Some(Duration::from_secs(3)),
        retry_interval: Some(Duration::from_millis(1_500)),
        timeout_to_fail: Some(Duration::from_secs(35)),
        retry_limit: 4,
        branch_headers: vec![("x-tenant".to_owned(), "eu".to_owned()), ("x-empty".to_owned(), String::new())],
        concurrent: true,
        delay: Some(Duration::from_micros(1)),
        wait_result: true,
    }
}

pub(super) fn full_definition() -> Definition {
    let branches = vec![branch("01", br#"{"amount":30}"#), branch("02", b"")];
    Definition {
        gid: Gid::parse("g-订单 1").unwrap(),
        pattern: Pattern::Saga,
        created_at: at(1_795_000_000_123_456),
        options: full_options(),
        orders: vec![vec![], vec![0]],
        check_back_url: "http://order.test/check".to_owned(),
        custom_data: r#"{"concurrent":true}"#.to_owned(),
        business_key: Some(BusinessKey::parse("order 4711").unwrap()),
        digest: Digest::of(Pattern::Saga, &branches),
        branches,
    }
}

pub(super) fn bare_definition(pattern: Pattern) -> Definition {
    Definition {
        gid: Gid::parse("g").unwrap(),
        pattern,
        created_at: at(0),
        options: Options::default(),
        orders: vec![],
        check_back_url: String::new(),
        custom_data: String::new(),
        business_key: None,
        digest: None,
        branches: vec![],
    }
}

pub(super) fn full_progress() -> Progress {
    let done = OpProgress { status: OpStatus::Done, failures: 0, next_at: None, finished_at: Some(at(20)) };
    let refused = OpProgress { status: OpStatus::Refused, ..done.clone() };
    let retried = OpProgress { status: OpStatus::Open, failures: 3, next_at: Some(at(90)), finished_at: None };
    Progress {
        status: Status::Aborting,
        branches: vec![
            BranchProgress { forward: done, backward: retried.clone() },
            BranchProgress { forward: refused, backward: OpProgress::default() },
        ],
        check_back: retried,
        reach: Reach::Steps(BTreeSet::from([0, 1])),
        retries: 2,
        reason: Some("no stock".to_owned()),
        attention: Some(Attention {
            call: CallId::of(0, BranchOp::Compensate),
            reason: "3 answers in a row were unknown or refused".to_owned(),
            last_answer: "502".to_owned(),
            since: at(70),
        }),
        next_run_at: Some(at(90)),
        amended: Some(Amendment { options: full_options(), custom_data: "later".to_owned(), digest: None }),
        order: Some(OperatorOrder { by: "ann".to_owned(), reason: "asked for".to_owned(), at: at(60) }),
        updated_at: at(80),
        finished_at: Some(at(81)),
    }
}

pub(super) fn bare_progress(status: Status) -> Progress {
    Progress {
        status,
        branches: vec![],
        check_back: OpProgress::default(),
        reach: Reach::All,
        retries: 0,
        reason: None,
        attention: None,
        next_run_at: None,
        amended: None,
        order: None,
        updated_at: at(0),
        finished_at: None,
    }
}

/// One attempt of every operation, and every outcome.
pub(super) fn attempts() -> Vec<Attempt> {
    use BranchOp::{Action, Cancel, CheckBack, Commit, Compensate, Confirm, Deliver, Prepare, Rollback, Try};
    use BranchOutcome::{Done, InProgress, Refused, Unknown};

    let ops = [Action, Compensate, Try, Confirm, Cancel, Prepare, Commit, Rollback, Deliver, CheckBack];
    let outcomes = [Done, Refused, InProgress, Unknown].into_iter().cycle();
    let attempt = |(number, (op, outcome)): (u64, (BranchOp, BranchOutcome))| Attempt {
        at: at(1_000 + number),
        branch: (op != CheckBack).then(|| BranchId::of_step(0)),
        op,
        outcome,
        code: (outcome != Unknown).then_some(200),
        latency: Duration::from_micros(2_500),
        answer: "ok".to_owned(),
    };
    (0..).zip(ops.into_iter().zip(outcomes)).map(attempt).collect()
}
