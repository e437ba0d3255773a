//! Every check passes on sound books and finds what is planted in them.

pub(crate) mod fixture;
mod records;

use super::Outcome;
use crate::foundation::db::DbName::{
    self, Bank, Merchant, PayFunds, PayGateway, PayLedger, PayNotify, PayOrder, PayPoints,
};
use fixture::{Fixture, record};

#[tokio::test]
async fn sound_books_pass_every_check() {
    let report = Fixture::sound().await.audit().await;
    for finding in report.findings() {
        assert_eq!(finding.outcome(), Outcome::Passed, "{finding:?}");
    }
    assert_eq!(report.violations(), 0);
    assert!(report.passed());
}

#[tokio::test]
async fn empty_books_are_nothing_to_check_and_no_pass() {
    let report = Fixture::empty().await.audit().await;
    for finding in report.findings() {
        assert_eq!(finding.outcome(), Outcome::NothingToCheck, "{finding:?}");
    }
    assert_eq!(report.violations(), 0);
    let unproven: Vec<_> = report.unproven().map(|finding| finding.id).collect();
    assert_eq!(unproven.len() + 1, report.findings().len());
    assert!(!unproven.contains(&"T2"), "payments of a few fen have no points");
    assert!(!report.passed());
}

#[tokio::test]
async fn a_missing_database_is_an_error_that_names_it() {
    let error = super::Books::open(std::path::Path::new("/nowhere")).await.unwrap_err();
    assert!(error.to_string().contains("pay_gateway"), "{error}");
}

#[tokio::test]
async fn the_auditor_cannot_write_what_it_reads() {
    let fixture = Fixture::sound().await;
    let mut books = super::Books::open(fixture.dir()).await.unwrap();
    let write = sqlx::query("UPDATE pay_funds.funds_account SET balance = 0").execute(books.connection()).await;
    assert!(write.unwrap_err().to_string().contains("readonly"));
}

/// Three violations are shown, all are counted.
#[tokio::test]
async fn a_report_counts_all_and_shows_three() {
    let fixture = Fixture::sound().await;
    for row in 0..5 {
        let plant = format!(
            "INSERT INTO points_txn VALUES ('left-{row}', 'U1', 'GRANT', 1, 'PAY', 'X{row}', 'TRYING', 'g', '03', NULL, 0, 0)"
        );
        fixture.plant(PayPoints, &plant).await;
    }
    let report = fixture.audit().await;
    let finding = report.findings().iter().find(|finding| finding.id == "T2").unwrap();
    assert_eq!((finding.violations, finding.examples.len()), (5, 3));
    assert!(!report.passed());
}

/// Plants one statement in sound books; the named check must report it in words that contain `says`.
async fn assert_found(check: &str, database: DbName, plant: &str, says: &str) {
    let fixture = Fixture::sound().await;
    fixture.plant(database, plant).await;
    assert_reports(&fixture, check, says).await;
}

async fn assert_reports(fixture: &Fixture, check: &str, says: &str) {
    let report = fixture.audit().await;
    let finding = report.findings().iter().find(|finding| finding.id == check).unwrap();
    assert_eq!(finding.outcome(), Outcome::Violated, "{check} must find it");
    assert!(finding.examples.iter().any(|example| example.contains(says)), "{says:?} not in {:?}", finding.examples);
    assert!(!report.passed());
}

#[tokio::test]
async fn p1_finds_a_balance_that_is_not_the_sum_of_its_postings() {
    assert_found("P1", PayFunds, "UPDATE funds_account SET balance = balance + 1", "has 662, its rows say 661").await;
}

#[tokio::test]
async fn p1_finds_frozen_money_that_no_debit_holds() {
    assert_found("P1", PayFunds, "UPDATE funds_account SET frozen = 5", "has 5 frozen, its tried debits hold 0").await;
}

#[tokio::test]
async fn p1_finds_more_frozen_than_there_is() {
    assert_found("P1", PayFunds, "UPDATE funds_account SET frozen = 700", "has 661 of which 700 frozen").await;
}

#[tokio::test]
async fn p1_finds_a_gap_in_the_chain() {
    let gap = "UPDATE funds_txn SET post_no = 3 WHERE txn_no = 'R1-hold'";
    assert_found("P1", PayFunds, gap, "R1-hold is number 3").await;
    assert_found("P1", PayFunds, "UPDATE funds_account SET post_no = 3", "counts 3 postings, its rows are 2").await;
}

#[tokio::test]
async fn p1_finds_a_balance_after_that_does_not_follow() {
    let broken = "UPDATE funds_txn SET balance_after = 990 WHERE txn_no = 'P1-2-credit'";
    assert_found("P1", PayFunds, broken, "P1-2-credit leaves 990").await;
}

#[tokio::test]
async fn p1_finds_a_posted_row_that_never_entered_a_direct_account() {
    let lost = "UPDATE funds_txn SET post_no = NULL, balance_after = NULL WHERE txn_no = 'R1-hold'";
    assert_found("P1", PayFunds, lost, "R1-hold on account FM1001 is posted but never entered").await;
}

#[tokio::test]
async fn p1_finds_money_on_a_closed_account() {
    assert_found("P1", PayFunds, "UPDATE funds_account SET status = 'CLOSED'", "is CLOSED with 661").await;
}

#[tokio::test]
async fn p2_finds_an_order_that_is_still_settling() {
    let settling = "UPDATE payment_order SET status = 'SETTLING', acct_date = '2026-01-05' WHERE pay_no = 'P2'";
    assert_found("P2", PayOrder, settling, "P2 is still SETTLING").await;
}

#[tokio::test]
async fn p2_finds_a_paid_record_whose_order_was_never_settled() {
    let paid = "UPDATE payment_record SET bank_paid_at = 1 WHERE record_no = 'P3-1'";
    assert_found("P2", PayOrder, paid, "P3 is WAIT_PAY, but the bank reported").await;
}

#[tokio::test]
async fn p2_finds_an_open_refund() {
    let open = "UPDATE refund_order SET status = 'AT_BANK' WHERE refund_no = 'R2'";
    assert_found("P2", PayOrder, open, "R2 is still AT_BANK").await;
}

#[tokio::test]
async fn p3_finds_a_success_without_a_paid_record_and_a_paid_record_without_success() {
    let unpaid = "UPDATE payment_record SET status = 'WAITING' WHERE record_no = 'P1-1'";
    assert_found("P3", PayOrder, unpaid, "P1 is SUCCESS with 0 SUCCESS records").await;
    let paid = "UPDATE payment_record SET status = 'SUCCESS' WHERE record_no = 'P3-1'";
    assert_found("P3", PayOrder, paid, "P3 is WAIT_PAY with 1 SUCCESS records").await;
}

#[tokio::test]
async fn p3_finds_a_wrong_record_and_a_wrong_amount() {
    let other = "UPDATE payment_order SET success_record_no = 'P1-7' WHERE pay_no = 'P1'";
    assert_found("P3", PayOrder, other, "names record P1-7, paid is P1-1").await;
    let amount = "UPDATE payment_record SET amount = 999 WHERE record_no = 'P1-1'";
    assert_found("P3", PayOrder, amount, "about 1000, its paid record about 999").await;
    let day = "UPDATE payment_record SET acct_date = '2026-01-06' WHERE record_no = 'P1-1'";
    assert_found("P3", PayOrder, day, "settled on 2026-01-05, its paid record on 2026-01-06").await;
}

#[tokio::test]
async fn p4_finds_a_missing_a_doubled_and_a_wrong_credit() {
    let missing = "UPDATE funds_txn SET status = 'CANCELLED' WHERE txn_no = 'P1-2-credit'";
    assert_found("P4", PayFunds, missing, "order P1 is SUCCESS and has 0 postings of 992").await;
    let doubled = "DROP INDEX funds_txn_live;
                   UPDATE funds_txn SET status = 'POSTED', acct_date = '2026-01-05' WHERE txn_no = 'P1-1-credit'";
    assert_found("P4", PayFunds, doubled, "order P1 is SUCCESS and has 2 postings of 992").await;
    let wrong = "UPDATE funds_txn SET amount = 1000 WHERE txn_no = 'P1-2-credit'";
    assert_found("P4", PayFunds, wrong, "asks for C 992").await;
    let day = "UPDATE funds_txn SET acct_date = '2026-01-06' WHERE txn_no = 'P1-2-credit'";
    assert_found("P4", PayFunds, day, "on 2026-01-05").await;
}

#[tokio::test]
async fn p4_finds_a_credit_of_an_order_that_was_not_paid() {
    let unpaid =
        "INSERT INTO funds_txn (txn_no, account_no, direction, amount, biz_type, biz_no, status, gid, branch_id,
                                         created_at, updated_at)
                  VALUES ('late', 'FM1001', 'C', 500, 'PAY', 'P2', 'TRYING', 'pay-settle-P2-1', '02', 0, 0)";
    assert_found(
        "P4",
        PayFunds,
        unpaid,
        "late (C 500, TRYING, pay-settle-P2-1) belongs to order P2, which is WAIT_PAY",
    )
    .await;
    let unknown = unpaid.replace("'P2'", "'P77'");
    assert_found("P4", PayFunds, &unknown, "belongs to no order or refund").await;
    let adjusted = unknown.replace("'PAY'", "'ADJUST'");
    assert_found("P4", PayFunds, &adjusted, "belongs to no order or refund").await;
}

#[tokio::test]
async fn p4_finds_a_refund_that_never_debited() {
    let missing = "UPDATE funds_txn SET status = 'CANCELLED' WHERE txn_no = 'R1-hold'";
    assert_found("P4", PayFunds, missing, "refund R1 is SUCCESS and has 0 postings of 331").await;
    let refused = "UPDATE funds_txn SET status = 'TRYING' WHERE txn_no = 'R2-hold'";
    assert_found("P4", PayFunds, refused, "belongs to refund R2, which is FAILED").await;
}

#[tokio::test]
async fn p5_finds_refunded_sums_that_differ_from_the_refunds() {
    let amount = "UPDATE payment_order SET refunded_amount = 334 WHERE pay_no = 'P1'";
    assert_found("P5", PayOrder, amount, "says 334 refunded, its refunds say 333").await;
    let fee = "UPDATE payment_order SET refunded_fee = 3 WHERE pay_no = 'P1'";
    assert_found("P5", PayOrder, fee, "says 3 of the fee given back, its refunds say 2").await;
}

#[tokio::test]
async fn p5_finds_too_much_given_back_and_a_full_refund_that_keeps_fee() {
    let above = "UPDATE refund_order SET amount = 1001 WHERE refund_no = 'R1'";
    assert_found("P5", PayOrder, above, "P1 of 1000, fee 8, refunded 1001").await;
    let kept = "UPDATE refund_order SET amount = 1000 WHERE refund_no = 'R1'";
    assert_found("P5", PayOrder, kept, "refunded 1000, fee 2").await;
}

#[tokio::test]
async fn p5_finds_a_refund_of_an_order_that_was_not_paid() {
    let unpaid = "UPDATE refund_order SET pay_no = 'P2' WHERE refund_no = 'R1'";
    assert_found("P5", PayOrder, unpaid, "P2 is refunded but WAIT_PAY").await;
}

#[tokio::test]
async fn p5_finds_a_fee_that_is_not_its_lines_or_not_the_rate() {
    let lines = "UPDATE fee_item SET amount = 7 WHERE pay_no = 'P1'";
    assert_found("P5", PayOrder, lines, "has fee 8, its fee lines add up to 7").await;
    let rate =
        "UPDATE payment_order SET fee = 5 WHERE pay_no = 'P2'; UPDATE fee_item SET amount = 5 WHERE pay_no = 'P2'";
    assert_found("P5", PayOrder, rate, "P2 of 500 has fee 5, its merchant's rate makes 4").await;
}

#[tokio::test]
async fn p6_finds_a_missing_and_a_doubled_grant() {
    let missing = "UPDATE points_txn SET status = 'CANCELLED' WHERE txn_no = 'P1-2-grant'";
    assert_found("P6", PayPoints, missing, "order P1 is SUCCESS and has 0 postings of 10 points").await;
    let doubled = "DROP INDEX points_txn_live;
                   UPDATE points_txn SET status = 'POSTED', acct_date = '2026-01-05' WHERE txn_no = 'P1-1-grant'";
    assert_found("P6", PayPoints, doubled, "order P1 is SUCCESS and has 2 postings of 10 points").await;
}

#[tokio::test]
async fn p6_finds_points_for_the_wrong_payer_and_for_no_order() {
    let wrong = "UPDATE points_txn SET owner_no = 'U2' WHERE txn_no = 'P1-2-grant'";
    assert_found("P6", PayPoints, wrong, "0 postings of 10 points for payer U1").await;
    let unknown = "UPDATE points_txn SET biz_no = 'P77', status = 'POSTED' WHERE txn_no = 'P1-1-grant'";
    assert_found(
        "P6",
        PayPoints,
        unknown,
        "P1-1-grant (GRANT 10, POSTED, pay-settle-P1-1) belongs to no order or refund",
    )
    .await;
}

#[tokio::test]
async fn p6_finds_a_refund_that_took_no_points_back() {
    let missing = "DELETE FROM points_txn WHERE txn_no = 'R1-revoke'";
    assert_found("P6", PayPoints, missing, "refund R1 is SUCCESS and has 0 postings of 3 points").await;
    let kept = "UPDATE payment_order SET refunded_amount = 1000 WHERE pay_no = 'P1'";
    assert_found("P6", PayOrder, kept, "took back 3 of its 10 points with 1000 of 1000 refunded").await;
}

#[tokio::test]
async fn p6_finds_points_on_another_day_than_their_order() {
    let day = "UPDATE points_txn SET acct_date = '2026-01-06' WHERE txn_no = 'P1-2-grant'";
    assert_found("P6", PayPoints, day, "asks for GRANT 10 on 2026-01-05").await;
    let day = "UPDATE points_txn SET acct_date = '2026-01-06' WHERE txn_no = 'R1-revoke'";
    assert_found("P6", PayPoints, day, "asks for REVOKE 3 on 2026-01-05").await;
}

#[tokio::test]
async fn t1_finds_an_account_that_does_not_add_up() {
    let available = "UPDATE points_account SET available = 8 WHERE owner_no = 'U1'";
    assert_found("T1", PayPoints, available, "8 available and 0 frozen, its rows make 7").await;
    let total = "UPDATE points_account SET granted_total = 11 WHERE owner_no = 'U1'";
    assert_found("T1", PayPoints, total, "totals 11 granted").await;
    let frozen = "UPDATE points_account SET available = 6, frozen = 1 WHERE owner_no = 'U1'";
    assert_found("T1", PayPoints, frozen, "1 frozen, its spends hold 0").await;
}

#[tokio::test]
async fn t2_finds_a_grant_that_was_never_decided() {
    let trying = "UPDATE points_txn SET biz_no = 'P2', status = 'TRYING' WHERE txn_no = 'P1-1-grant'";
    assert_found("T2", PayPoints, trying, "P1-1-grant (GRANT 10, pay-settle-P1-1) is still TRYING").await;
}

#[tokio::test]
async fn a1_finds_a_voucher_that_does_not_balance_or_has_no_entries() {
    let unbalanced = "UPDATE ledger_entry SET amount = 9 WHERE voucher_no = 'V1' AND subject_code = '6021'";
    assert_found("A1", PayLedger, unbalanced, "V1 has 3 entries, debit 1000, credit 1001").await;
    let bare = "DELETE FROM ledger_entry WHERE voucher_no = 'V2'";
    assert_found("A1", PayLedger, bare, "V2 has 0 entries").await;
    let orphan = "DELETE FROM voucher WHERE voucher_no = 'V2'";
    assert_found("A1", PayLedger, orphan, "belongs to no voucher").await;
}

#[tokio::test]
async fn a2_finds_a_missing_and_an_unasked_voucher() {
    let missing = "DELETE FROM voucher WHERE voucher_no = 'V1'";
    assert_found("A2", PayLedger, missing, "voucher 6004 of P1 over 1000 on 2026-01-05 is missing").await;
    let refund = "DELETE FROM voucher WHERE voucher_no = 'V2'";
    assert_found("A2", PayLedger, refund, "voucher 4004 of R1 over 333 on 2026-01-05 is missing").await;
    let unasked = "UPDATE voucher SET source_no = 'P2' WHERE voucher_no = 'V1'";
    assert_found("A2", PayLedger, unasked, "voucher 6004 of P2 over 1000 on 2026-01-05 has no such").await;
    let other = "UPDATE voucher SET entry_type = 7001 WHERE voucher_no = 'V1'";
    assert_found("A2", PayLedger, other, "voucher 7001 of P1 over 1000 on 2026-01-05 has no such").await;
}

#[tokio::test]
async fn a2_finds_a_wrong_amount_date_or_line() {
    let amount = "UPDATE voucher SET amount = 999 WHERE voucher_no = 'V1'";
    assert_found("A2", PayLedger, amount, "voucher 6004 of P1 over 999").await;
    let date = "UPDATE voucher SET acct_date = '2026-01-06' WHERE voucher_no = 'V1'";
    assert_found("A2", PayLedger, date, "on 2026-01-06 has no such").await;
    let line = "UPDATE ledger_entry SET party_no = 'M2' WHERE voucher_no = 'V1' AND subject_code = '2202'";
    assert_found("A2", PayLedger, line, "voucher 6004 of P1 lacks the line C 2202 992").await;
    let extra = "INSERT INTO ledger_entry (voucher_no, line_no, subject_code, dc, amount, created_at, updated_at)
                 VALUES ('V1', 4, '2241', 'C', 5, 0, 0)";
    assert_found("A2", PayLedger, extra, "voucher 6004 of P1 has the line C 2241 5 too much").await;
}

#[tokio::test]
async fn a2_finds_a_payment_that_was_booked_twice() {
    let twice = "INSERT INTO voucher (voucher_no, entry_type, source_system, source_no, amount, acct_date, msg_id, raw, created_at, updated_at)
                 VALUES ('V9', 6004, 'elsewhere', 'P1', 1000, '2026-01-05', 'm9', '{}', 0, 0)";
    assert_found("A2", PayLedger, twice, "P1 has 2 vouchers 6004").await;
}

#[tokio::test]
async fn a3_finds_a_debt_that_differs_from_the_balance() {
    let balance = "UPDATE funds_account SET balance = 660";
    assert_found("A3", PayFunds, balance, "MERCHANT M1001 has 660, the ledger owes 661").await;
    let nobody = "UPDATE ledger_entry SET party_no = 'M9' WHERE subject_code = '2202'";
    assert_found("A3", PayLedger, nobody, "owes 661 to MERCHANT M9, who has no account").await;
}

#[tokio::test]
async fn b0_finds_an_accepted_notice_that_settled_nothing() {
    let forgotten = "INSERT INTO bank_notice VALUES ('BK', 'BOP2-1', 'trade.succeeded', 'n', 500, 'CNY', NULL, '{}', 'NOTIFY', 'DONE', 0, 0)";
    assert_found("B0", PayGateway, forgotten, "notice of BOP2-1 is DONE, its record is FAILED").await;
}

#[tokio::test]
async fn b0_finds_a_failure_that_the_order_was_never_told() {
    let waiting = "UPDATE payment_record SET status = 'WAITING' WHERE record_no = 'P2-1'";
    assert_found("B0", PayOrder, waiting, "the bank says that BOP2-1 failed, its record is WAITING").await;
}

#[tokio::test]
async fn b0_finds_a_record_that_another_bank_settled() {
    let other = "UPDATE bank_notice SET bank_code = 'XX' WHERE ref_no = 'BOP1-1'";
    assert_found("B0", PayGateway, other, "P1-1 of order P1 is SUCCESS, the bank's notice was never received").await;
}

#[tokio::test]
async fn b0_finds_a_rejected_notice_that_settled_and_a_payment_without_notice() {
    let rejected = "UPDATE payment_record SET status = 'SUCCESS', bank_paid_at = 1 WHERE record_no = 'P3-1'";
    assert_found("B0", PayOrder, rejected, "P3-1 of order P3 is SUCCESS, the bank's notice was REJECTED").await;
    let without = "DELETE FROM bank_notice WHERE ref_no = 'BOP1-1'";
    assert_found("B0", PayGateway, without, "P1-1 of order P1 is SUCCESS, the bank's notice was never received").await;
    let amount = "UPDATE bank_notice SET amount = 999 WHERE ref_no = 'BOP1-1'";
    assert_found("B0", PayGateway, amount, "DONE over 999 CNY").await;
}

#[tokio::test]
async fn n1_finds_a_notice_that_is_missing_pending_or_untrue() {
    let missing = "DELETE FROM notify_delivery; DELETE FROM notify_request WHERE ntf_id = 'P1-succeeded'";
    assert_found("N1", PayNotify, missing, "order P1 has no notification P1-succeeded").await;
    let pending = "UPDATE notify_delivery SET status = 'PENDING', finished_at = NULL WHERE ntf_id = 'P1-succeeded'";
    assert_found("N1", PayNotify, pending, "P1-succeeded is PENDING").await;
    let untrue = "INSERT INTO notify_request VALUES ('P2', 'P2-succeeded', 0, 0)";
    assert_found("N1", PayNotify, untrue, "P2-succeeded tells what did not happen").await;
}

#[tokio::test]
async fn n1_takes_an_exhausted_notice_as_listed() {
    let fixture = Fixture::sound().await;
    fixture.plant(PayNotify, "UPDATE notify_delivery SET status = 'EXHAUSTED'").await;
    assert!(fixture.audit().await.passed());
}

#[tokio::test]
async fn x2_finds_money_that_the_bank_took_and_nobody_was_credited_for() {
    let lost = "UPDATE trade SET amount = 700 WHERE bank_order_no = 'BOP3-1'";
    assert_found("X2", Bank, lost, "the bank took 700 for BOP3-1 on 2026-01-05 at a cost of 2, record P3-1 is").await;
    let cost = "UPDATE payment_record SET channel_cost = 4 WHERE record_no = 'P1-1'";
    assert_found("X2", PayOrder, cost, "at a cost of 3, record P1-1 is SUCCESS on 2026-01-05 at a cost of 4").await;
    let day = "UPDATE payment_record SET bank_acct_date = '2026-01-06' WHERE record_no = 'P1-1'";
    assert_found("X2", PayOrder, day, "record P1-1 is SUCCESS on 2026-01-06").await;
}

#[tokio::test]
async fn x2_finds_a_payment_that_the_bank_does_not_know() {
    let unknown = "DELETE FROM trade WHERE bank_order_no = 'BOP1-1'";
    assert_found("X2", Bank, unknown, "record P1-1 over 1000 is SUCCESS, the bank's trade is missing").await;
    let failed = "UPDATE trade SET status = 'FAILED' WHERE bank_order_no = 'BOP1-1'";
    assert_found("X2", Bank, failed, "the bank's trade is FAILED over 1000").await;
}

#[tokio::test]
async fn x2_finds_refunds_that_only_one_side_has() {
    let unpaid = "UPDATE refund SET status = 'FAILED' WHERE platform_refund_no = 'R1-1'";
    assert_found("X2", Bank, unpaid, "refund R1 over 333 is SUCCESS, the bank's R1-1 is FAILED over 333").await;
    let day = "UPDATE refund SET acct_date = '2026-01-06' WHERE platform_refund_no = 'R1-1'";
    assert_found("X2", Bank, day, "the bank's R1-1 is SUCCESS over 333 on 2026-01-06").await;
    let given = "UPDATE refund SET status = 'SUCCESS' WHERE platform_refund_no = 'R2'";
    assert_found("X2", Bank, given, "the bank gave back 100 under R2, no SUCCESS refund asks for it").await;
    let more = "UPDATE trade SET refunded = 334 WHERE bank_order_no = 'BOP1-1'";
    assert_found("X2", Bank, more, "the bank says that 334 of BOP1-1 was given back, its refunds say 333").await;
}

#[tokio::test]
async fn n2_finds_a_notice_that_the_merchant_does_not_have_or_that_is_untrue() {
    let missing = "DELETE FROM pay_notice WHERE notice_id = 'P1-succeeded'";
    assert_found("N2", Merchant, missing, "P1-succeeded was acknowledged, the merchant does not know it").await;
    let amount = "UPDATE pay_notice SET amount = 999 WHERE notice_id = 'P1-succeeded'";
    assert_found(
        "N2",
        Merchant,
        amount,
        "SUCCESS over 999 CNY; the books say payment.succeeded of P1, SUCCESS over 1000",
    )
    .await;
    for (column, value) in [("event", "refund.failed"), ("pay_no", "P2"), ("status", "FAILED"), ("currency", "USD")] {
        let other = format!("UPDATE pay_notice SET {column} = '{value}' WHERE notice_id = 'P1-succeeded'");
        assert_found("N2", Merchant, &other, "the books say payment.succeeded of P1, SUCCESS over 1000 CNY").await;
    }
    let untrue = "UPDATE pay_notice SET notice_id = 'P2-succeeded' WHERE notice_id = 'R2-failed'";
    assert_found("N2", Merchant, untrue, "FAILED over 100 CNY; the books say nothing of the kind").await;
}

#[tokio::test]
async fn g1_finds_a_branch_that_was_confirmed_and_cancelled() {
    let both = "INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason)
                VALUES ('tcc', 'pay-settle-P1-2', '02', 'cancel', '01', 'cancel')";
    assert_found("G1", PayFunds, both, "branch 02 of pay-settle-P1-2 was both confirmed (pay_funds) and cancelled")
        .await;
}

#[tokio::test]
async fn g1_takes_an_empty_cancel_for_no_cancel() {
    let fixture = Fixture::sound().await;
    let empty = "INSERT INTO barrier (trans_type, gid, branch_id, op, barrier_id, reason)
                 VALUES ('tcc', 'pay-settle-P1-1', '04', 'try', '01', 'cancel'), ('tcc', 'pay-settle-P1-1', '04', 'cancel', '01', 'cancel')";
    fixture.plant(PayFunds, empty).await;
    assert!(fixture.audit().await.passed());
}

#[tokio::test]
async fn g1_finds_what_the_coordinator_decided_otherwise_or_never_knew() {
    let mut fixture = Fixture::sound().await;
    fixture.decide("pay-settle-P1-2", "failed");
    assert_reports(&fixture, "G1", "executed confirm of branch 01 of pay-settle-P1-2, the coordinator says failed")
        .await;
    let mut fixture = Fixture::sound().await;
    fixture.decide("pay-settle-P1-1", "succeed");
    assert_reports(&fixture, "G1", "executed cancel of branch 02 of pay-settle-P1-1, the coordinator says succeed")
        .await;
    let mut fixture = Fixture::sound().await;
    fixture.forget("pay-settle-P1-2");
    assert_reports(&fixture, "G1", "does not know the transaction").await;
}

#[tokio::test]
async fn g1_finds_what_only_the_coordinator_remembers() {
    let lost = "DELETE FROM barrier WHERE gid = 'pay-settle-P1-2' AND op = 'confirm'";
    assert_found("G1", PayPoints, lost, "has confirm of branch 03 of pay-settle-P1-2 as done, no service does").await;
    let held = "DELETE FROM barrier WHERE gid = 'pay-refund-R1'";
    assert_found("G1", PayFunds, held, "has action of branch 01 of pay-refund-R1 as done, no service does").await;
}

#[tokio::test]
async fn g1_finds_a_failed_saga_whose_action_was_not_compensated() {
    let kept = "DELETE FROM barrier WHERE gid = 'pay-refund-R2' AND op = 'compensate'";
    assert_found(
        "G1",
        PayFunds,
        kept,
        "pay_funds executed branch 01 of the failed saga pay-refund-R2 and never compensated",
    )
    .await;
}

#[tokio::test]
async fn g2_finds_an_open_transaction_and_a_waiting_outbox_row() {
    let mut fixture = Fixture::sound().await;
    fixture.records.push(record("pay-settle-P2-1", "tcc", "prepared", &[]));
    assert_reports(&fixture, "G2", "pay-settle-P2-1 (tcc) is still prepared").await;
    let waiting = "UPDATE outbox SET status = 'NEW'";
    assert_found("G2", PayOrder, waiting, "of pay_order is still NEW").await;
}

#[tokio::test]
async fn open_work_is_named_and_counted_until_there_is_none() {
    let fixture = Fixture::sound().await;
    fixture
        .plant(PayOrder, "UPDATE payment_order SET status = 'SETTLING', acct_date = '2026-01-05' WHERE pay_no <> 'P1'")
        .await;
    fixture.plant(PayLedger, "DELETE FROM voucher WHERE voucher_no = 'V1'").await;
    let mut books = super::Books::open(fixture.dir()).await.unwrap();
    let open = super::open_work(&mut books).await.unwrap();
    let found: Vec<_> = open.iter().map(|work| (work.what, work.count, work.example.as_str())).collect();
    assert_eq!(found, [("orders settling", 2, "P2"), ("vouchers missing", 1, "P1")]);

    fixture.plant(PayOrder, "UPDATE payment_order SET status = 'WAIT_PAY' WHERE status = 'SETTLING'").await;
    fixture.plant(PayLedger, "INSERT INTO voucher (voucher_no, entry_type, source_system, source_no, amount, acct_date, msg_id, raw,
                              created_at, updated_at) VALUES ('V1', 6004, 'pay_order', 'P1', 1, '2026-01-05', 'm', '{}', 0, 0)").await;
    assert_eq!(super::open_work(&mut books).await.unwrap(), []);
}
