//! Vouchers and entries of the accounting service.

use super::Check;

pub(super) const CHECKS: &[Check] = &[A1, A2, A3];

const A1: Check = Check {
    id: "A1",
    claim: "every voucher has entries, and its debits equal its credits",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_ledger.voucher",
    violations: "
        SELECT 'voucher ' || v.voucher_no || ' has ' || count(e.line_no) || ' entries, debit '
               || coalesce(sum(CASE e.dc WHEN 'D' THEN e.amount END), 0) || ', credit '
               || coalesce(sum(CASE e.dc WHEN 'C' THEN e.amount END), 0)
          FROM pay_ledger.voucher v LEFT JOIN pay_ledger.ledger_entry e ON e.voucher_no = v.voucher_no
         GROUP BY v.voucher_no
        HAVING count(e.line_no) = 0 OR sum(CASE e.dc WHEN 'D' THEN e.amount ELSE -e.amount END) <> 0
        UNION ALL
        SELECT 'entry ' || e.voucher_no || ' line ' || e.line_no || ' belongs to no voucher'
          FROM pay_ledger.ledger_entry e
         WHERE NOT EXISTS (SELECT 1 FROM pay_ledger.voucher v WHERE v.voucher_no = e.voucher_no)",
};

/// Compared as sets of (entry type, source, amount, accounting date), then line by line; a zero line is not written.
const A2: Check = Check {
    id: "A2",
    claim: "exactly one voucher 6004 per SUCCESS order and one 4004 per SUCCESS refund, with its date and lines, and no others",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_ledger.voucher",
    violations: "
        WITH due AS (
          SELECT 6004 AS entry_type, pay_no AS source_no, amount, fee, acct_date, merchant_no
            FROM pay_order.payment_order WHERE status = 'SUCCESS'
          UNION ALL
          SELECT 4004, refund_no, amount, fee_back, acct_date, merchant_no
            FROM pay_order.refund_order WHERE status = 'SUCCESS' AND kind = 'MERCHANT'),
        booked AS (
          SELECT voucher_no, entry_type, source_no, amount, acct_date
            FROM pay_ledger.voucher WHERE reverses IS NULL),
        line_due AS (
          SELECT entry_type, source_no, CASE entry_type WHEN 6004 THEN 'D' ELSE 'C' END AS dc,
                 '1002' AS subject_code, NULL AS party_no, amount FROM due
          UNION ALL
          SELECT entry_type, source_no, CASE entry_type WHEN 6004 THEN 'C' ELSE 'D' END, '2202', merchant_no, amount - fee
            FROM due WHERE amount <> fee
          UNION ALL
          SELECT entry_type, source_no, CASE entry_type WHEN 6004 THEN 'C' ELSE 'D' END, '6021', NULL, fee
            FROM due WHERE fee <> 0),
        line_booked AS (
          SELECT b.entry_type, b.source_no, e.dc, e.subject_code,
                 CASE e.subject_code WHEN '2202' THEN e.party_no END AS party_no, e.amount
            FROM booked b JOIN pay_ledger.ledger_entry e ON e.voucher_no = b.voucher_no)
        SELECT 'voucher ' || entry_type || ' of ' || source_no || ' over ' || amount || ' on ' || coalesce(acct_date, 'no date') || ' is missing'
          FROM (SELECT entry_type, source_no, amount, acct_date FROM due
                EXCEPT SELECT entry_type, source_no, amount, acct_date FROM booked)
        UNION ALL
        SELECT 'voucher ' || entry_type || ' of ' || source_no || ' over ' || amount || ' on ' || acct_date || ' has no such order or refund'
          FROM (SELECT entry_type, source_no, amount, acct_date FROM booked
                EXCEPT SELECT entry_type, source_no, amount, acct_date FROM due)
        UNION ALL
        SELECT source_no || ' has ' || count(*) || ' vouchers ' || entry_type
          FROM booked GROUP BY entry_type, source_no HAVING count(*) > 1
        UNION ALL
        SELECT 'voucher ' || entry_type || ' of ' || source_no || ' lacks the line ' || dc || ' ' || subject_code || ' ' || amount
          FROM (SELECT l.* FROM line_due l
                 WHERE EXISTS (SELECT 1 FROM booked b WHERE b.entry_type = l.entry_type AND b.source_no = l.source_no)
                EXCEPT SELECT * FROM line_booked)
        UNION ALL
        SELECT 'voucher ' || entry_type || ' of ' || source_no || ' has the line ' || dc || ' ' || subject_code || ' ' || amount || ' too much'
          FROM (SELECT l.* FROM line_booked l
                 WHERE EXISTS (SELECT 1 FROM due d WHERE d.entry_type = l.entry_type AND d.source_no = l.source_no)
                EXCEPT SELECT * FROM line_due)",
};

const A3: Check = Check {
    id: "A3",
    claim: "what the ledger owes each merchant (2202) and user (2203) is the balance of its funds account",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_ledger.ledger_entry WHERE subject_code IN ('2202', '2203')",
    violations: "
        WITH owed AS (
          SELECT CASE subject_code WHEN '2202' THEN 'MERCHANT' ELSE 'USER' END AS owner_type, party_no AS owner_no,
                 sum(CASE dc WHEN 'C' THEN amount ELSE -amount END) AS amount
            FROM pay_ledger.ledger_entry WHERE subject_code IN ('2202', '2203') GROUP BY subject_code, party_no)
        SELECT a.owner_type || ' ' || a.owner_no || ' has ' || a.balance || ', the ledger owes ' || coalesce(o.amount, 0)
          FROM pay_funds.funds_account a
          LEFT JOIN owed o ON o.owner_type = a.owner_type AND o.owner_no = a.owner_no
         WHERE a.balance <> coalesce(o.amount, 0)
        UNION ALL
        SELECT 'the ledger owes ' || o.amount || ' to ' || o.owner_type || ' ' || coalesce(o.owner_no, 'without a name') || ', who has no account'
          FROM owed o
         WHERE NOT EXISTS (SELECT 1 FROM pay_funds.funds_account a
                            WHERE a.owner_type = o.owner_type AND a.owner_no = o.owner_no)",
};
