//! DTM's Python client as PyPI has it, three versions of it, against a real `escrow serve`.
//!
//! The programs beside this module are what a user of the client writes. They run in virtual environments that the
//! tests make, once per target directory: that needs Python 3 with `venv`, and PyPI.

mod participant;
mod stage;

use stage::{Outcome, Stage};

#[tokio::test]
async fn version_0_2_1_runs_sagas() {
    sagas("0.2.1").await;
}

#[tokio::test]
async fn version_1_5_1_0_runs_sagas() {
    sagas("1.5.1.0").await;
}

#[tokio::test]
async fn version_1_7_7_0_runs_sagas() {
    sagas("1.7.7.0").await;
}

#[tokio::test]
async fn version_0_2_1_runs_tccs() {
    tccs("0.2.1", "branch_type").await;
}

#[tokio::test]
async fn version_1_5_1_0_runs_tccs() {
    tccs("1.5.1.0", "op").await;
}

#[tokio::test]
async fn version_1_7_7_0_runs_tccs() {
    tccs("1.7.7.0", "op").await;
}

async fn sagas(version: &str) {
    let stage = Stage::set(version).await;
    let told = stage.run("saga.py").await;
    let (debit, credit) = (r#"{"amount": 30, "note": "\u8f6c\u51fa"}"#, r#"{"amount": 30, "to": ["a", {"b": null}]}"#);
    let forward = |answer: &str| {
        [
            format!("POST /done/debit op=action 01 {debit}"), //
            format!("POST /{answer}/credit op=action 02 {credit}"),
        ]
    };
    let backward = [
        format!("POST /done/credit-undo op=compensate 02 {credit}"),
        format!("POST /done/debit-undo op=compensate 01 {debit}"),
    ];

    let done = stage.end_of("saga", &told["done"]).await;
    assert_eq!(told["done"].problem(), None);
    assert_eq!(done.status, "succeed");
    assert_eq!(done.rows, "01 compensate prepared, 01 action succeed, 02 compensate prepared, 02 action succeed");
    assert_eq!(done.calls, forward("done"));

    for answer in ["refused", "refused-in-200"] {
        let outcome = &told[answer];
        let turned_back = stage.end_of("saga", outcome).await;
        assert_eq!(outcome.problem(), None, "{answer}: the client does not wait for the end");
        assert_eq!(turned_back.status, "failed", "{answer}");
        assert_eq!(
            turned_back.rows,
            "01 compensate succeed, 01 action succeed, 02 compensate succeed, 02 action failed"
        );
        assert_eq!(turned_back.calls, [forward(answer), backward.clone()].concat(), "{answer}");
        assert!(turned_back.reason.contains("no funds"), "{answer}: {}", turned_back.reason);
    }
}

/// `said` is what this version calls the operation when it calls try itself.
async fn tccs(version: &str, said: &str) {
    let stage = Stage::set(version).await;
    let told = stage.run("tcc.py").await;
    let call = |answer: &str, name: &str, op: &str, branch: &str, amount: u32| {
        let said = if op == "try" { said } else { "op" };
        format!("POST /{answer}/{name}-{op} {said}={op} {branch} {{\"amount\": {amount}}}")
    };
    let tries = |answer| [call("done", "debit", "try", "01", 30), call(answer, "credit", "try", "02", 31)];
    let second_phase = |op| [call("done", "credit", op, "02", 31), call("done", "debit", op, "01", 30)];

    let done = stage.end_of("tcc", &told["done"]).await;
    assert_eq!(told["done"].returned.as_deref(), Some(&*told["done"].gid));
    assert_eq!(done.status, "succeed");
    assert_eq!(done.rows, "01 cancel prepared, 01 confirm succeed, 02 cancel prepared, 02 confirm succeed");
    assert_eq!(done.calls, [tries("done"), second_phase("confirm")].concat());

    for answer in ["refused", "refused-in-200", "broken"] {
        let turned_back = stage.end_of("tcc", &told[answer]).await;
        assert_eq!(told[answer].returned.as_deref(), Some(""), "{answer}: the client's word for an abort");
        assert_eq!(turned_back.status, "failed", "{answer}");
        assert_eq!(turned_back.rows, "01 cancel succeed, 01 confirm prepared, 02 cancel succeed, 02 confirm prepared");
        assert_eq!(turned_back.calls, [tries(answer), second_phase("cancel")].concat(), "{answer}");
    }

    let nested = stage.end_of("tcc", &told["nested"]).await;
    assert_eq!(nested.status, "succeed");
    let expected = [
        call("done", "debit", "try", "01", 30),
        call("done", "fee", "try", "0101", 1),
        call("done", "fee", "confirm", "0101", 1),
        call("done", "debit", "confirm", "01", 30),
    ];
    assert_eq!(nested.calls, expected);
}

#[tokio::test]
async fn version_1_7_7_0_sets_the_options_of_a_saga() {
    let stage = Stage::set("1.7.7.0").await;
    let told = stage.run("saga_options.py").await;

    let waited = &told["waits and is done"];
    assert_eq!((waited.problem(), waited.status()), (None, "succeed"), "when submit returned");
    assert_eq!(stage.end_of("saga", waited).await.request_timeout, Some(8), "the client's own default");

    let waited = &told["waits and is refused"];
    assert_eq!(
        (waited.problem(), waited.status()),
        (Some("DTMFailureError: FAILURE"), "failed"),
        "when submit returned"
    );

    // 425 is no 409: the client must not believe that the transaction has turned back.
    let waited = &told["waits in vain"];
    assert_eq!(
        (waited.problem(), waited.status()),
        (Some("Exception: bad result"), "submitted"),
        "when submit returned"
    );
    assert_eq!(stage.end_of("saga", waited).await.status, "succeed");

    let headers = stage.end_of("saga", &told["headers"]).await;
    assert_eq!(headers.status, "succeed");
    assert_eq!(headers.tenants, ["t 1", "t 1"]);

    let concurrent = stage.end_of("saga", &told["concurrent"]).await;
    assert_eq!(concurrent.status, "succeed");
    let body = r#"{"amount": 30}"#;
    let expected = [
        format!("POST /done/credit op=action 02 {body}"), //
        format!("POST /done/debit op=action 01 {body}"),
    ];
    assert_eq!(concurrent.calls, expected, "in the order that custom_data asks for");

    // The client's own bug, which docs/clients.md tells: nothing leaves it.
    let by_setter = &told["concurrent by its setter"];
    assert_eq!(by_setter.problem(), Some("AttributeError: 'Saga' object has no attribute 'orders'"));
    assert_eq!(by_setter.status, None, "the coordinator has not heard of it");
}

#[tokio::test]
async fn version_1_7_7_0_sends_messages_and_none_is_lost_or_invented() {
    let stage = Stage::set("1.7.7.0").await;
    let told = stage.run("message.py").await;
    let delivered = [
        r#"POST /done/ledger op=action 01 {"amount": 30}"#.to_owned(),
        r#"POST /done/points op=action 02 {"points": 3}"#.to_owned(),
    ];
    let asked = |answer: &str| vec![format!("GET /{answer}/check-back op=msg 00 ")];
    let lost = Some("ConnectionError: the database does not answer");
    let refused = Some("DTMFailureError: no funds");

    // What happened, what the client raised, and who was asked whether the local transaction was committed.
    let cases = [
        ("submitted at once", None, vec![], true),
        ("prepared and submitted", None, vec![], true),
        ("local transaction done", None, vec![], true),
        ("local transaction refused", refused, vec![], false),
        ("local transaction unknown, but done", lost, asked("done"), true),
        ("local transaction unknown, not done", lost, asked("refused"), false),
        ("vanished after its local transaction", None, asked("done"), true),
        ("vanished before its local transaction", None, asked("refused"), false),
    ];
    for (name, raised, asked, committed) in cases {
        let outcome: &Outcome = &told[name];
        assert_eq!(outcome.problem(), raised, "{name}");
        let end = stage.end_of("msg", outcome).await;
        let (status, row, delivered) = match committed {
            true => ("succeed", "succeed", delivered.as_slice()),
            false => ("failed", "prepared", &[][..]),
        };
        assert_eq!(end.status, status, "{name}");
        assert_eq!(end.rows, format!("01 action {row}, 02 action {row}"), "{name}");
        assert_eq!(end.calls, [&asked, delivered].concat(), "{name}");
        assert_eq!(end.request_timeout, Some(8), "{name}: the client's own default");
    }
    assert_eq!(told["submitted at once"].status(), "succeed", "when submit returned, since it waited");
}
