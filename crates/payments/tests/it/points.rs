use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::RefundPosting;
use escrow_payments::contract::points::{GRANT_CANCEL, GRANT_CONFIRM, GRANT_TRY, Grant, REVOKE};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::{MerchantNo, PayNo, PayerNo, RefundNo, TxnNo};
use escrow_payments::money::Money;

use crate::support::{DONE, Stage, UNKNOWN, branch};

fn grant(owner: &str, points: i64) -> Grant {
    Grant {
        txn_no: TxnNo::new("P1-1"),
        owner_no: PayerNo::new(owner),
        points,
        biz_no: PayNo::new("P1"),
        acct_date: "2026-01-05".parse().unwrap(),
    }
}

impl Stage {
    async fn points(&self, path: &str, op: BarrierOp, grant: &Grant) -> (u16, Option<String>) {
        self.call(ServiceName::Points, path, &branch("tcc", "g1", "03", op), grant).await
    }

    async fn revoke(&self, owner: &str, points: i64) -> (u16, Option<String>) {
        let refund = RefundPosting {
            refund_no: RefundNo::new("R1"),
            merchant_no: MerchantNo::new("M1001"),
            money: Money::cny(400),
            owner_no: PayerNo::new(owner),
            points,
            acct_date: "2026-01-06".parse().unwrap(),
        };
        self.call(ServiceName::Points, REVOKE, &branch("msg", "m1", "02", BarrierOp::Action), &refund).await
    }

    async fn points_of(&self, owner: &str) -> String {
        let sql =
            format!("SELECT available, granted_total, revoked_total FROM points_account WHERE owner_no = '{owner}'");
        self.rows(DbName::PayPoints, &sql).await.concat()
    }

    async fn points_postings(&self) -> Vec<String> {
        self.rows(DbName::PayPoints, "SELECT kind, amount, status FROM points_txn ORDER BY txn_no").await
    }
}

#[tokio::test]
async fn granted_points_count_from_confirm_on_and_once() {
    let stage = Stage::open().await;
    let grant = grant("somebody new", 10);
    for _ in 0..2 {
        assert_eq!(stage.points(GRANT_TRY, BarrierOp::Try, &grant).await, DONE);
        assert_eq!(stage.points_of("somebody new").await, "0 0 0");
    }
    for _ in 0..2 {
        assert_eq!(stage.points(GRANT_CONFIRM, BarrierOp::Confirm, &grant).await, DONE);
        assert_eq!(stage.points_of("somebody new").await, "10 10 0");
    }
    assert_eq!(stage.points_postings().await, ["GRANT 10 POSTED"]);
}

#[tokio::test]
async fn a_cancelled_grant_never_counts_and_a_late_try_changes_nothing() {
    let stage = Stage::open().await;
    let grant = grant("U1", 10);
    assert_eq!(stage.points(GRANT_CANCEL, BarrierOp::Cancel, &grant).await, DONE);
    assert_eq!(stage.points(GRANT_TRY, BarrierOp::Try, &grant).await, DONE);
    assert_eq!(stage.points_postings().await, [""; 0]);
    assert_eq!(stage.points_of("U1").await, "0 0 0");
}

#[tokio::test]
async fn a_tried_grant_can_be_cancelled() {
    let stage = Stage::open().await;
    let grant = grant("U1", 10);
    assert_eq!(stage.points(GRANT_TRY, BarrierOp::Try, &grant).await, DONE);
    assert_eq!(stage.points(GRANT_CANCEL, BarrierOp::Cancel, &grant).await, DONE);
    assert_eq!(stage.points_postings().await, ["GRANT 10 CANCELLED"]);
}

#[tokio::test]
async fn a_confirm_of_nothing_is_unknown() {
    let stage = Stage::open().await;
    assert_eq!(stage.points(GRANT_CONFIRM, BarrierOp::Confirm, &grant("U1", 10)).await, UNKNOWN);
}

#[tokio::test]
async fn no_points_leave_no_rows() {
    let stage = Stage::open().await;
    let none = grant("somebody new", 0);
    assert_eq!(stage.points(GRANT_TRY, BarrierOp::Try, &none).await, DONE);
    assert_eq!(stage.points(GRANT_CONFIRM, BarrierOp::Confirm, &none).await, DONE);
    assert_eq!(stage.revoke("somebody new", 0).await, DONE);
    assert_eq!(stage.points_postings().await, [""; 0]);
}

#[tokio::test]
async fn a_revocation_takes_points_once_even_below_zero() {
    let stage = Stage::open().await;
    for _ in 0..2 {
        assert_eq!(stage.revoke("U1", 4).await, DONE);
        assert_eq!(stage.points_of("U1").await, "-4 0 4");
    }
    assert_eq!(stage.points_postings().await, ["REVOKE 4 POSTED"]);
    assert_eq!(stage.revoke("nobody", 4).await, DONE, "a duplicate by its branch, whatever it says");
}

#[tokio::test]
async fn a_revocation_from_nobody_is_unknown() {
    let stage = Stage::open().await;
    assert_eq!(stage.revoke("nobody", 4).await, UNKNOWN);
}
