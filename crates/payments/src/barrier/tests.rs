use std::future::Future;

use proptest::prelude::*;
use sqlx::{Connection, Row, SqliteConnection};

use super::*;

const NOW_US: i64 = 1_767_578_584_000_000;

/// An empty database with the barrier's table and one that business work writes to.
async fn database() -> SqliteConnection {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut db).await.unwrap();
    sqlx::raw_sql("CREATE TABLE effect (op TEXT NOT NULL) STRICT").execute(&mut db).await.unwrap();
    db
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn barrier(op: BarrierOp) -> Barrier {
    let trans_type = if op.undoes() == Some(BarrierOp::Action) || op == BarrierOp::Action { "saga" } else { "tcc" };
    Barrier::new(trans_type, "g1", "01", op, NOW_US)
}

/// One call to a participant, as it writes its handlers: the barrier, then the business work, then commit.
/// A refusing handler rolls back instead.
async fn call(db: &mut SqliteConnection, op: BarrierOp, refuses: bool) -> Entry {
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let entry = barrier(op).enter(&mut tx).await.unwrap();
    if entry == Entry::Run {
        sqlx::query("INSERT INTO effect (op) VALUES (?1)").bind(op.as_str()).execute(&mut *tx).await.unwrap();
        if refuses {
            tx.rollback().await.unwrap();
            return entry;
        }
    }
    tx.commit().await.unwrap();
    entry
}

async fn effects(db: &mut SqliteConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT op FROM effect ORDER BY rowid").fetch_all(db).await.unwrap()
}

async fn rows(db: &mut SqliteConnection) -> Vec<(String, String, String)> {
    let rows = sqlx::query("SELECT op, barrier_id, reason FROM barrier ORDER BY id").fetch_all(db).await.unwrap();
    rows.iter().map(|row| (row.get("op"), row.get("barrier_id"), row.get("reason"))).collect()
}

fn row(op: &str, barrier_id: &str, reason: &str) -> (String, String, String) {
    (op.to_owned(), barrier_id.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn try_then_confirm_run_once_each_however_often_they_come() {
    let mut db = database().await;
    assert_eq!(call(&mut db, BarrierOp::Try, false).await, Entry::Run);
    assert_eq!(call(&mut db, BarrierOp::Try, false).await, Entry::Skip(Skip::Duplicate));
    assert_eq!(call(&mut db, BarrierOp::Confirm, false).await, Entry::Run);
    assert_eq!(call(&mut db, BarrierOp::Confirm, false).await, Entry::Skip(Skip::Duplicate));
    assert_eq!(effects(&mut db).await, ["try", "confirm"]);
    assert_eq!(rows(&mut db).await, [row("try", "01", "try"), row("confirm", "01", "confirm")]);
}

#[tokio::test]
async fn an_undo_after_its_action_runs_once() {
    for (action, undo) in [
        (BarrierOp::Try, BarrierOp::Cancel),
        (BarrierOp::Action, BarrierOp::Compensate),
        (BarrierOp::Action, BarrierOp::Rollback),
    ] {
        let mut db = database().await;
        assert_eq!(call(&mut db, action, false).await, Entry::Run);
        assert_eq!(call(&mut db, undo, false).await, Entry::Run);
        assert_eq!(call(&mut db, undo, false).await, Entry::Skip(Skip::Duplicate));
        assert_eq!(effects(&mut db).await, [action.as_str(), undo.as_str()]);
    }
}

#[tokio::test]
async fn an_undo_without_its_action_is_empty_and_keeps_the_late_action_out() {
    for (action, undo) in [
        (BarrierOp::Try, BarrierOp::Cancel),
        (BarrierOp::Action, BarrierOp::Compensate),
        (BarrierOp::Action, BarrierOp::Rollback),
    ] {
        let mut db = database().await;
        assert_eq!(call(&mut db, undo, false).await, Entry::Skip(Skip::EmptyCompensation));
        assert_eq!(call(&mut db, action, false).await, Entry::Skip(Skip::LateAction));
        assert_eq!(call(&mut db, undo, false).await, Entry::Skip(Skip::Duplicate));
        assert_eq!(call(&mut db, action, false).await, Entry::Skip(Skip::LateAction));
        assert_eq!(effects(&mut db).await, [""; 0]);
        let expected = [row(action.as_str(), "01", undo.as_str()), row(undo.as_str(), "01", undo.as_str())];
        assert_eq!(rows(&mut db).await, expected);
    }
}

#[tokio::test]
async fn a_refusal_rolls_the_barrier_row_back_so_the_undo_is_empty() {
    let mut db = database().await;
    assert_eq!(call(&mut db, BarrierOp::Try, true).await, Entry::Run);
    assert_eq!(rows(&mut db).await, []);
    assert_eq!(call(&mut db, BarrierOp::Cancel, false).await, Entry::Skip(Skip::EmptyCompensation));
    assert_eq!(effects(&mut db).await, [""; 0]);
}

#[tokio::test]
async fn each_piece_of_work_in_a_request_has_a_number_of_its_own() {
    let mut db = database().await;
    for expected in [Entry::Run, Entry::Skip(Skip::Duplicate)] {
        let mut request = barrier(BarrierOp::Try);
        assert_eq!(request.enter(&mut db).await.unwrap(), expected);
        assert_eq!(request.enter(&mut db).await.unwrap(), expected);
    }
    assert_eq!(rows(&mut db).await, [row("try", "01", "try"), row("try", "02", "try")]);
}

#[tokio::test]
async fn branches_and_transactions_do_not_disturb_each_other() {
    let mut db = database().await;
    for (gid, branch_id) in [("g1", "01"), ("g1", "02"), ("g2", "01"), ("g'; DROP TABLE barrier; --", "01")] {
        let mut barrier = Barrier::new("tcc", gid, branch_id, BarrierOp::Try, NOW_US);
        assert_eq!(barrier.enter(&mut db).await.unwrap(), Entry::Run);
    }
    assert_eq!(rows(&mut db).await.len(), 4);
}

#[tokio::test]
async fn a_check_back_after_the_local_transaction_finds_it_committed() {
    let mut db = database().await;
    assert_eq!(Barrier::for_message("g1", NOW_US).enter(&mut db).await.unwrap(), Entry::Run);
    assert_eq!(check_back(&mut db, "g1", NOW_US).await.unwrap(), CheckBack::Committed);
    assert_eq!(check_back(&mut db, "g1", NOW_US).await.unwrap(), CheckBack::Committed);
    let repeated = Barrier::for_message("g1", NOW_US).enter(&mut db).await;
    assert!(matches!(repeated, Err(BarrierError::MessageDecided { gid }) if gid == "g1"));
}

#[tokio::test]
async fn a_check_back_before_the_local_transaction_keeps_it_from_ever_committing() {
    let mut db = database().await;
    assert_eq!(check_back(&mut db, "g1", NOW_US).await.unwrap(), CheckBack::RolledBack);
    let late = Barrier::for_message("g1", NOW_US).enter(&mut db).await;
    assert!(matches!(late, Err(BarrierError::MessageDecided { gid }) if gid == "g1"));
    assert_eq!(check_back(&mut db, "g1", NOW_US).await.unwrap(), CheckBack::RolledBack);
    assert_eq!(check_back(&mut db, "g2", NOW_US).await.unwrap(), CheckBack::RolledBack);
}

#[tokio::test]
async fn a_check_back_that_finds_a_strange_reason_decides_nothing() {
    let mut db = database().await;
    let strange = "INSERT INTO barrier (gid, branch_id, op, barrier_id, reason) VALUES ('g1', '00', 'msg', '01', 'x')";
    sqlx::raw_sql(strange).execute(&mut db).await.unwrap();
    let answer = check_back(&mut db, "g1", NOW_US).await;
    assert!(matches!(answer, Err(BarrierError::UnknownReason { reason, .. }) if reason == "x"));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_an_error_and_no_decision() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let answer = barrier(BarrierOp::Try).enter(&mut db).await;
    assert!(matches!(answer, Err(BarrierError::Database { gid, .. }) if gid == "g1"));
}

#[tokio::test]
async fn switched_off_it_lets_everything_through_and_records_nothing() {
    let mut db = database().await;
    for op in [BarrierOp::Cancel, BarrierOp::Try, BarrierOp::Try] {
        assert_eq!(barrier(op).switched_off().enter(&mut db).await.unwrap(), Entry::Run);
    }
    assert_eq!(rows(&mut db).await, []);
}

#[test]
fn names_are_read_as_they_are_written() {
    for op in [BarrierOp::Action, BarrierOp::Compensate, BarrierOp::Try, BarrierOp::Confirm, BarrierOp::Cancel]
        .into_iter()
        .chain([BarrierOp::Commit, BarrierOp::Rollback, BarrierOp::Msg])
    {
        assert_eq!(BarrierOp::parse(op.as_str()), Some(op));
    }
    assert_eq!(BarrierOp::parse("TRY"), None);
}

/// Calls of one branch in any order, any number of times; a try or action may be refused.
fn calls() -> impl Strategy<Value = Vec<(BarrierOp, bool)>> {
    let refusable = |op| prop::bool::weighted(0.3).prop_map(move |refuses| (op, refuses));
    let saga = prop_oneof![refusable(BarrierOp::Action), Just((BarrierOp::Compensate, false))];
    let tcc =
        prop_oneof![refusable(BarrierOp::Try), Just((BarrierOp::Confirm, false)), Just((BarrierOp::Cancel, false)),];
    prop_oneof![prop::collection::vec(saga, 0..10), prop::collection::vec(tcc, 0..10)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever arrives in whatever order, nothing happens twice, no undo happens without its action, and nothing that was
    /// undone, or may no longer happen, happens afterwards.
    #[test]
    fn effects_obey_the_laws_in_any_order_of_calls(calls in calls()) {
        let effects = block_on(async {
            let mut db = database().await;
            for (op, refuses) in &calls {
                let _ = call(&mut db, *op, *refuses).await;
            }
            effects(&mut db).await
        });
        for (action, undo) in [("try", "cancel"), ("action", "compensate")] {
            let places = |name: &str| effects.iter().enumerate().filter(|(_, op)| *op == name).map(|(n, _)| n).collect();
            let (did, undid): (Vec<usize>, Vec<usize>) = (places(action), places(undo));
            prop_assert!(did.len() <= 1 && undid.len() <= 1, "twice: {effects:?}");
            prop_assert!(undid.is_empty() || did < undid, "undone without having happened: {effects:?}");
            let undone_at = calls.iter().position(|(op, _)| op.as_str() == undo);
            let done_at = calls.iter().position(|(op, refuses)| op.as_str() == action && !refuses);
            match (done_at, undone_at) {
                (Some(done), Some(undone)) if undone < done => prop_assert!(did.is_empty(), "late: {effects:?}"),
                (Some(_), _) => prop_assert_eq!(did.len(), 1),
                (None, _) => prop_assert!(did.is_empty()),
            }
        }
    }
}
