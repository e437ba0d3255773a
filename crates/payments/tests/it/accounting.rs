use escrow_payments::accounting::{DAY_CLOSED, UNBALANCED, UNKNOWN_ENTRY_TYPE, VOUCHER_DIFFERS};
use escrow_payments::barrier::BarrierOp;
use escrow_payments::contract::accounting::{EntryType, VOUCHER, Voucher};
use escrow_payments::foundation::db::DbName;
use escrow_payments::foundation::service::ServiceName;
use escrow_payments::ids::MerchantNo;
use escrow_payments::money::Money;

use crate::support::{DONE, Stage, branch, refused};

fn voucher() -> Voucher {
    Voucher {
        entry_type: EntryType::CARD_PAYMENT,
        source_system: "pay_order".to_owned(),
        source_no: "P1".to_owned(),
        merchant_no: MerchantNo::new("M1001"),
        money: Money::cny(1000),
        fee: 8,
        acct_date: "2026-01-05".parse().unwrap(),
    }
}

impl Stage {
    async fn book(&self, gid: &str, voucher: &Voucher) -> (u16, Option<String>) {
        self.call(ServiceName::Accounting, VOUCHER, &branch("msg", gid, "01", BarrierOp::Action), voucher).await
    }

    async fn vouchers(&self) -> Vec<String> {
        let sql = "SELECT entry_type, source_no, amount, acct_date, msg_id FROM voucher ORDER BY voucher_no";
        self.rows(DbName::PayLedger, sql).await
    }
}

#[tokio::test]
async fn a_voucher_is_booked_with_its_entries_once_however_often_it_comes() {
    let stage = Stage::open().await;
    for gid in ["acct-P1-1", "acct-P1-1", "acct-P1-2"] {
        assert_eq!(stage.book(gid, &voucher()).await, DONE);
        assert_eq!(stage.vouchers().await, ["6004 P1 1000 2026-01-05 acct-P1-1"]);
    }
    let entries = "SELECT line_no, dc, subject_code, party_no, amount FROM ledger_entry ORDER BY line_no";
    let expected = ["1 D 1002 - 1000", "2 C 2202 M1001 992", "3 C 6021 - 8"];
    assert_eq!(stage.rows(DbName::PayLedger, entries).await, expected);
}

#[tokio::test]
async fn the_same_business_with_other_figures_is_refused() {
    let stage = Stage::open().await;
    assert_eq!(stage.book("m1", &voucher()).await, DONE);
    let other = Voucher { fee: 9, ..voucher() };
    assert_eq!(stage.book("m2", &other).await, refused(VOUCHER_DIFFERS));
    assert_eq!(stage.vouchers().await.len(), 1);
}

#[tokio::test]
async fn what_makes_no_entries_is_refused_and_can_be_mended() {
    let stage = Stage::open().await;
    assert_eq!(stage.book("m1", &Voucher { fee: 1001, ..voucher() }).await, refused(UNBALANCED));
    let strange = Voucher { entry_type: EntryType(1), ..voucher() };
    assert_eq!(stage.book("m1", &strange).await, refused(UNKNOWN_ENTRY_TYPE));
    assert_eq!(stage.book("m1", &voucher()).await, DONE, "a refusal leaves no barrier row");
}

#[tokio::test]
async fn a_closed_day_refuses_what_is_not_booked_and_accepts_what_is() {
    let stage = Stage::open().await;
    assert_eq!(stage.book("m1", &voucher()).await, DONE);
    let close =
        "INSERT INTO acct_day (acct_date, status, created_at, updated_at) VALUES ('2026-01-05', 'CLOSED', 0, 0)";
    stage.meddle(DbName::PayLedger, close).await;
    assert_eq!(stage.book("m2", &voucher()).await, DONE);
    let late = Voucher { source_no: "P2".to_owned(), ..voucher() };
    assert_eq!(stage.book("m3", &late).await, refused(DAY_CLOSED));
    let next_day = Voucher { acct_date: "2026-01-06".parse().unwrap(), ..late };
    assert_eq!(stage.book("m4", &next_day).await, DONE);
}
