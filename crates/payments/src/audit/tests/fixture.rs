//! Books by hand: a settled and partly refunded order, an unpaid one, one whose notice was rejected, and their records.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use crate::audit::{Books, Record, RecordOp, Report, audit};
use crate::foundation::db::{Database, DbName};

pub(crate) struct Fixture {
    dir: TempDir,
    pub(crate) records: Vec<Record>,
}

impl Fixture {
    pub(crate) async fn empty() -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().unwrap(), records: Vec::new() };
        for database in DbName::ALL.into_iter().chain([DbName::Merchant, DbName::Bank]) {
            Database::open(fixture.dir(), database).await.unwrap().close().await;
        }
        fixture
    }

    pub(crate) async fn sound() -> Fixture {
        let mut fixture = Fixture::empty().await;
        for (database, rows) in SOUND {
            fixture.plant(database, rows).await;
        }
        fixture.records = sound_records();
        fixture
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Changes a database without the constraints that would normally forbid it.
    pub(crate) async fn plant(&self, database: DbName, statements: &str) {
        let mut connection = SqliteConnectOptions::new()
            .filename(database.path_in(self.dir()))
            .foreign_keys(false)
            .pragma("ignore_check_constraints", "ON")
            .synchronous(SqliteSynchronous::Off)
            .connect()
            .await
            .unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) fn decide(&mut self, gid: &str, status: &str) {
        let record = self.records.iter_mut().find(|record| record.gid == gid).unwrap();
        record.status = status.to_owned();
    }

    pub(crate) fn forget(&mut self, gid: &str) {
        self.records.retain(|record| record.gid != gid);
    }

    pub(crate) async fn audit(&self) -> Report {
        let mut books = Books::open(self.dir()).await.unwrap();
        let report = audit(&mut books, &self.records).await.unwrap();
        books.close().await.unwrap();
        report
    }
}

/// A record whose operations are given as (branch, operation, status), each with a URL.
pub(crate) fn record(gid: &str, trans_type: &str, status: &str, operations: &[(&str, &str, &str)]) -> Record {
    let operation = |(branch_id, op, status): &(&str, &str, &str)| RecordOp {
        branch_id: (*branch_id).to_owned(),
        op: (*op).to_owned(),
        url: format!("http://service/{op}"),
        status: (*status).to_owned(),
    };
    Record {
        gid: gid.to_owned(),
        trans_type: trans_type.to_owned(),
        status: status.to_owned(),
        operations: operations.iter().map(operation).collect(),
    }
}

/// Order P1: the first attempt was cancelled, the second settled it; refund R1 succeeded, refund R2 was refused by the bank.
fn sound_records() -> Vec<Record> {
    let (done, open) = ("succeed", "prepared");
    let tcc = |gid, status, confirm, cancel| {
        let operations = [
            ("01", "cancel", cancel),
            ("01", "confirm", confirm),
            ("02", "cancel", cancel),
            ("02", "confirm", confirm),
            ("03", "cancel", cancel),
            ("03", "confirm", confirm),
        ];
        record(gid, "tcc", status, &operations)
    };
    vec![
        tcc("pay-settle-P1-1", "failed", open, done),
        tcc("pay-settle-P1-2", "succeed", done, open),
        record("acct-P1-2", "msg", "succeed", &[("01", "action", done)]),
        record("pay-refund-R1", "saga", "succeed", &[("01", "compensate", open), ("01", "action", done)]),
        record("refund-R1", "msg", "succeed", &[("01", "action", done), ("02", "action", done)]),
        record("pay-refund-R2", "saga", "failed", &[("01", "compensate", done), ("01", "action", done)]),
    ]
}

const SOUND: [(DbName, &str); 8] = [
    (
        DbName::PayGateway,
        "INSERT INTO merchant (merchant_no, name, status, api_secret, fee_bp, default_notify_url, created_at, updated_at)
         VALUES ('M1001', 'Shop', 'ACTIVE', x'00', 80, 'http://shop/notices', 0, 0);
         INSERT INTO bank_notice VALUES
           ('BK', 'BOP1-1', 'trade.succeeded', 'n1', 1000, 'CNY', '2026-01-05', '{}', 'NOTIFY', 'DONE', 0, 0),
           ('BK', 'BOP2-1', 'trade.failed', 'n2', 500, 'CNY', NULL, '{}', 'NOTIFY', 'DONE', 0, 0),
           ('BK', 'BOP3-1', 'trade.succeeded', 'n3', 701, 'CNY', NULL, '{}', 'NOTIFY', 'REJECTED', 0, 0);
         INSERT INTO outbox (msg_id, topic, payload, status, next_at, created_at) VALUES ('BOP1-1', 'bank_result', '{}', 'SENT', 0, 0);",
    ),
    (
        DbName::PayOrder,
        "INSERT INTO payment_order (pay_no, merchant_no, merchant_order_no, req_hash, payer_no, subject, amount, fee, points, status,
           settle_attempt, settle_gid, success_record_no, refunded_amount, refunded_fee, acct_date, expire_at, success_at,
           created_at, updated_at) VALUES
           ('P1', 'M1001', 'SO1', 'h', 'U1', 's', 1000, 8, 10, 'SUCCESS', 2, 'pay-settle-P1-2', 'P1-1', 333, 2, '2026-01-05', 9, 5, 0, 0),
           ('P2', 'M1001', 'SO2', 'h', 'U2', 's', 500, 4, 5, 'WAIT_PAY', 0, NULL, NULL, 0, 0, NULL, 9, NULL, 0, 0),
           ('P3', 'M1001', 'SO3', 'h', 'U2', 's', 700, 6, 7, 'WAIT_PAY', 0, NULL, NULL, 0, 0, NULL, 9, NULL, 0, 0);
         INSERT INTO fee_item VALUES ('P1', 'RATE', '', 8, 0, 0), ('P2', 'RATE', '', 4, 0, 0), ('P3', 'RATE', '', 6, 0, 0);
         INSERT INTO payment_record (record_no, pay_no, seq, idem_key, channel, bank_code, bank_order_no, amount, channel_cost, status,
           bank_paid_at, bank_acct_date, acct_date, created_at, updated_at) VALUES
           ('P1-1', 'P1', 1, 'k', 'BANK', 'BK', 'BOP1-1', 1000, 3, 'SUCCESS', 4, '2026-01-05', '2026-01-05', 0, 0),
           ('P2-1', 'P2', 1, 'k', 'BANK', 'BK', 'BOP2-1', 500, 0, 'FAILED', NULL, NULL, NULL, 0, 0),
           ('P3-1', 'P3', 1, 'k', 'BANK', 'BK', 'BOP3-1', 700, 0, 'WAITING', NULL, NULL, NULL, 0, 0);
         INSERT INTO refund_order (refund_no, kind, pay_no, record_no, merchant_no, merchant_refund_no, amount, fee_back, points_back,
           status, saga_gid, bank_refund_no, bank_acct_date, acct_date, created_at, updated_at) VALUES
           ('R1', 'MERCHANT', 'P1', 'P1-1', 'M1001', 'MR1', 333, 2, 3, 'SUCCESS', 'pay-refund-R1', 'R1-1', '2026-01-05',
            '2026-01-05', 0, 0),
           ('R2', 'MERCHANT', 'P1', 'P1-1', 'M1001', 'MR2', 100, 1, 1, 'FAILED', 'pay-refund-R2', 'R2', NULL, NULL, 0, 0);
         INSERT INTO outbox (msg_id, topic, payload, status, next_at, created_at) VALUES ('refund-R1', 'refund', '{}', 'SENT', 0, 0);
         INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason) VALUES
           ('tcc', 'pay-settle-P1-1', '01', 'try', '01', 'try'), ('tcc', 'pay-settle-P1-1', '01', 'cancel', '01', 'cancel'),
           ('tcc', 'pay-settle-P1-2', '01', 'try', '01', 'try'), ('tcc', 'pay-settle-P1-2', '01', 'confirm', '01', 'confirm');",
    ),
    (
        DbName::PayFunds,
        "INSERT INTO funds_account (account_no, owner_type, owner_no, balance, post_no, created_at, updated_at)
         VALUES ('FM1001', 'MERCHANT', 'M1001', 661, 2, 0, 0);
         INSERT INTO funds_txn (txn_no, account_no, direction, amount, biz_type, biz_no, status, posted_at, post_no, balance_after, gid,
           branch_id, acct_date, created_at, updated_at) VALUES
           ('P1-1-credit', 'FM1001', 'C', 992, 'PAY', 'P1', 'CANCELLED', NULL, NULL, NULL, 'pay-settle-P1-1', '02', NULL, 0, 0),
           ('P1-2-credit', 'FM1001', 'C', 992, 'PAY', 'P1', 'POSTED', 5, 1, 992, 'pay-settle-P1-2', '02', '2026-01-05', 0, 0),
           ('R1-hold', 'FM1001', 'D', 331, 'REFUND', 'R1', 'POSTED', 6, 2, 661, 'pay-refund-R1', '01', '2026-01-05', 0, 0),
           ('R2-hold', 'FM1001', 'D', 99, 'REFUND', 'R2', 'CANCELLED', NULL, NULL, NULL, 'pay-refund-R2', '01', NULL, 0, 0);
         INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason) VALUES
           ('tcc', 'pay-settle-P1-1', '02', 'try', '01', 'try'), ('tcc', 'pay-settle-P1-1', '02', 'cancel', '01', 'cancel'),
           ('tcc', 'pay-settle-P1-2', '02', 'try', '01', 'try'), ('tcc', 'pay-settle-P1-2', '02', 'confirm', '01', 'confirm'),
           ('saga', 'pay-refund-R1', '01', 'action', '01', 'action'), ('msg', 'refund-R1', '01', 'action', '01', 'action'),
           ('saga', 'pay-refund-R2', '01', 'action', '01', 'action'),
           ('saga', 'pay-refund-R2', '01', 'compensate', '01', 'compensate');",
    ),
    (
        DbName::PayPoints,
        "INSERT INTO points_account (owner_no, available, granted_total, revoked_total, created_at, updated_at)
         VALUES ('U1', 7, 10, 3, 0, 0);
         INSERT INTO points_txn (txn_no, owner_no, kind, amount, biz_type, biz_no, status, gid, branch_id, acct_date, created_at, updated_at)
         VALUES
           ('P1-1-grant', 'U1', 'GRANT', 10, 'PAY', 'P1', 'CANCELLED', 'pay-settle-P1-1', '03', NULL, 0, 0),
           ('P1-2-grant', 'U1', 'GRANT', 10, 'PAY', 'P1', 'POSTED', 'pay-settle-P1-2', '03', '2026-01-05', 0, 0),
           ('R1-revoke', 'U1', 'REVOKE', 3, 'REFUND', 'R1', 'POSTED', 'refund-R1', '02', '2026-01-05', 0, 0);
         INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason) VALUES
           ('tcc', 'pay-settle-P1-1', '03', 'try', '01', 'cancel'), ('tcc', 'pay-settle-P1-1', '03', 'cancel', '01', 'cancel'),
           ('tcc', 'pay-settle-P1-2', '03', 'try', '01', 'try'), ('tcc', 'pay-settle-P1-2', '03', 'confirm', '01', 'confirm'),
           ('msg', 'refund-R1', '02', 'action', '01', 'action');",
    ),
    (
        DbName::PayLedger,
        "INSERT INTO voucher (voucher_no, entry_type, source_system, source_no, amount, acct_date, msg_id, raw, created_at, updated_at)
         VALUES
           ('V1', 6004, 'pay_order', 'P1', 1000, '2026-01-05', 'acct-P1-2', '{}', 0, 0),
           ('V2', 4004, 'pay_order', 'R1', 333, '2026-01-05', 'voucher-R1', '{}', 0, 0);
         INSERT INTO ledger_entry (voucher_no, line_no, subject_code, party_no, dc, amount, created_at, updated_at) VALUES
           ('V1', 1, '1002', NULL, 'D', 1000, 0, 0), ('V1', 2, '2202', 'M1001', 'C', 992, 0, 0), ('V1', 3, '6021', NULL, 'C', 8, 0, 0),
           ('V2', 1, '2202', 'M1001', 'D', 331, 0, 0), ('V2', 2, '6021', NULL, 'D', 2, 0, 0), ('V2', 3, '1002', NULL, 'C', 333, 0, 0);
         INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason) VALUES
           ('msg', 'acct-P1-2', '01', 'action', '01', 'action');",
    ),
    (
        DbName::PayNotify,
        "INSERT INTO notify_request VALUES ('P1', 'P1-succeeded', 0, 0), ('P1', 'R1-succeeded', 0, 0), ('P1', 'R2-failed', 0, 0);
         INSERT INTO notify_delivery (ntf_id, merchant_no, url, body, status, attempts, next_at, finished_at, created_at, updated_at)
         VALUES
           ('P1-succeeded', 'M1001', 'http://shop', '{}', 'ACKNOWLEDGED', 1, 0, 5, 0, 0),
           ('R1-succeeded', 'M1001', 'http://shop', '{}', 'EXHAUSTED', 9, 0, 5, 0, 0),
           ('R2-failed', 'M1001', 'http://shop', '{}', 'ACKNOWLEDGED', 2, 0, 5, 0, 0);",
    ),
    (
        DbName::Merchant,
        "INSERT INTO pay_notice (notice_id, event, pay_no, amount, currency, status, payload, created_at, updated_at) VALUES
           ('P1-succeeded', 'payment.succeeded', 'P1', 1000, 'CNY', 'SUCCESS', '{}', 0, 0),
           ('R2-failed', 'refund.failed', 'P1', 100, 'CNY', 'FAILED', '{}', 0, 0);",
    ),
    (
        DbName::Bank,
        "INSERT INTO trade (bank_order_no, trade_no, platform_no, amount, currency, cost, status, refunded, finished_at, acct_date,
           created_at, updated_at) VALUES
           ('BOP1-1', 'T1', 'PP', 1000, 'CNY', 3, 'SUCCESS', 333, 3, '2026-01-05', 0, 0),
           ('BOP2-1', 'T2', 'PP', 500, 'CNY', 2, 'FAILED', 0, 3, '2026-01-05', 0, 0),
           ('BOP3-1', 'T3', 'PP', 701, 'CNY', 2, 'SUCCESS', 0, 3, '2026-01-05', 0, 0);
         INSERT INTO refund (platform_refund_no, refund_no, bank_order_no, amount, currency, status, finished_at, acct_date, created_at,
           updated_at) VALUES
           ('R1-1', 'BR1', 'BOP1-1', 333, 'CNY', 'SUCCESS', 6, '2026-01-05', 0, 0),
           ('R2', 'BR2', 'BOP1-1', 100, 'CNY', 'FAILED', 6, '2026-01-05', 0, 0);",
    ),
];
