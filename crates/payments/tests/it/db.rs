use escrow_payments::foundation::db::{Database, DbName};
use sqlx::Row;

use crate::support::rows;

#[tokio::test]
async fn every_connection_keeps_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path(), DbName::PayFunds).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    for (pragma, expected) in [
        ("SELECT * FROM pragma_synchronous", 2),
        ("SELECT * FROM pragma_foreign_keys", 1),
        ("SELECT * FROM pragma_busy_timeout", 5000),
    ] {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("SELECT * FROM pragma_journal_mode").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(mode, "wal");
    let written = sqlx::query("DELETE FROM barrier").execute(db.readers()).await;
    assert!(written.is_err(), "readers do not write");
}

#[tokio::test]
async fn every_table_is_strict_and_has_the_common_ones_beside_it() {
    for name in DbName::ALL {
        let dir = tempfile::tempdir().unwrap();
        Database::open(dir.path(), name).await.unwrap().close().await;
        let tables = rows(
            dir.path(),
            name,
            "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND name NOT LIKE 'sqlite_%'",
        )
        .await;
        assert!(tables.iter().all(|table| table.ends_with(" 1")), "{tables:?}");
        for common in ["barrier 1", "inbox 1", "outbox 1"] {
            assert!(tables.iter().any(|table| table == common), "{common} in {tables:?}");
        }
        assert!(tables.len() > 3, "{} has tables of its own", name.as_str());
    }
}

#[tokio::test]
async fn writers_wait_for_each_other_instead_of_failing() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path(), DbName::PayPoints).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let db = db.clone();
        writers.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            let rows = sqlx::query("SELECT count(*) FROM inbox").fetch_one(&mut *tx).await.unwrap();
            sqlx::query("INSERT INTO inbox (consumer, msg_id, created_at) VALUES ('test', ?1, ?2)")
                .bind(format!("m{n}"))
                .bind(rows.get::<i64, _>(0))
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        });
    }
    writers.join_all().await;
    let counted = rows(dir.path(), DbName::PayPoints, "SELECT count(DISTINCT created_at) FROM inbox").await;
    assert_eq!(counted, ["50"], "each saw the one before it");
}

#[tokio::test]
async fn what_is_not_committed_is_not_there_and_what_is_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path(), DbName::PayPoints).await.unwrap();
    let insert = "INSERT INTO points_account (owner_no, created_at, updated_at) VALUES (?1, 0, 0)";
    let mut dropped = db.begin().await.unwrap();
    sqlx::query(insert).bind("dropped").execute(&mut *dropped).await.unwrap();
    drop(dropped);
    let mut kept = db.begin().await.unwrap();
    sqlx::query(insert).bind("kept").execute(&mut *kept).await.unwrap();
    kept.commit().await.unwrap();
    db.close().await;

    let db = Database::open(dir.path(), DbName::PayPoints).await.unwrap();
    let owners: Vec<String> =
        sqlx::query_scalar("SELECT owner_no FROM points_account").fetch_all(db.readers()).await.unwrap();
    assert_eq!(owners, ["kept"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(DbName::PayFunds.path_in(dir.path()), "this is no database, but it is long enough to look at")
        .unwrap();
    let error = Database::open(dir.path(), DbName::PayFunds).await.unwrap_err();
    assert!(error.to_string().ends_with("pay_funds.db"), "{error}");
}
