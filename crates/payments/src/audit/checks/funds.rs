//! Balances and postings of the funds service.

use super::Check;

pub(super) const CHECKS: &[Check] = &[P1, P4];

const P1: Check = Check {
    id: "P1",
    claim: "each funds account is the sum of its postings, in an unbroken chain, and frozen is what debits hold",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_funds.funds_txn",
    violations: "
        WITH folded AS (
          SELECT account_no, txn_no, post_no, balance_after,
                 row_number() OVER w AS place,
                 sum(CASE direction WHEN 'C' THEN amount ELSE -amount END) OVER w AS moved
            FROM pay_funds.funds_txn WHERE post_no IS NOT NULL
          WINDOW w AS (PARTITION BY account_no ORDER BY post_no ROWS UNBOUNDED PRECEDING)),
        account AS (
          SELECT a.*,
                 (SELECT count(*) FROM folded f WHERE f.account_no = a.account_no) AS postings,
                 (SELECT coalesce(sum(CASE t.direction WHEN 'C' THEN t.amount ELSE -t.amount END), 0)
                    FROM pay_funds.funds_txn t WHERE t.account_no = a.account_no AND t.post_no IS NOT NULL) AS moved,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_funds.funds_txn t
                   WHERE t.account_no = a.account_no AND t.status = 'TRYING' AND t.direction = 'D') AS held,
                 (SELECT count(*) FROM pay_funds.funds_txn t
                   WHERE t.account_no = a.account_no AND t.status = 'TRYING') AS trying
            FROM pay_funds.funds_account a)
        SELECT 'account ' || account_no || ' has ' || balance || ', its rows say ' || (opening + moved)
          FROM account WHERE balance <> opening + moved
        UNION ALL
        SELECT 'account ' || account_no || ' has ' || frozen || ' frozen, its tried debits hold ' || held
          FROM account WHERE frozen <> held
        UNION ALL
        SELECT 'account ' || account_no || ' has ' || balance || ' of which ' || frozen || ' frozen'
          FROM account WHERE frozen < 0 OR balance < frozen
        UNION ALL
        SELECT 'account ' || account_no || ' counts ' || post_no || ' postings, its rows are ' || postings
          FROM account WHERE post_no <> postings
        UNION ALL
        SELECT 'account ' || account_no || ' is CLOSED with ' || balance || ' and ' || trying || ' tried rows'
          FROM account WHERE status = 'CLOSED' AND (balance <> 0 OR frozen <> 0 OR trying <> 0)
        UNION ALL
        SELECT 'posting ' || f.txn_no || ' is number ' || f.post_no || ' of account ' || f.account_no || ', by its place ' || f.place
          FROM folded f WHERE f.post_no <> f.place
        UNION ALL
        SELECT 'posting ' || f.txn_no || ' leaves ' || f.balance_after || ' on account ' || f.account_no
               || ', the rows up to it ' || (a.opening + f.moved)
          FROM folded f JOIN pay_funds.funds_account a ON a.account_no = f.account_no
         WHERE f.balance_after <> a.opening + f.moved
        UNION ALL
        SELECT 'posting ' || t.txn_no || ' on account ' || t.account_no || ' is posted but never entered the balance'
          FROM pay_funds.funds_txn t JOIN pay_funds.funds_account a ON a.account_no = t.account_no
         WHERE t.status = 'POSTED' AND t.post_no IS NULL AND a.posting <> 'buffered'",
};

/// The rows that move a merchant's money, against the orders and refunds that ask for them.
const P4: Check = Check {
    id: "P4",
    claim: "a SUCCESS order credits its merchant once with amount less fee, a SUCCESS refund debits once; nothing else is live",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM pay_order.payment_order WHERE status = 'SUCCESS')
                     + (SELECT count(*) FROM pay_order.refund_order WHERE status = 'SUCCESS')",
    violations: "
        WITH due AS (
          SELECT 'order' AS what, pay_no AS no, status, acct_date, merchant_no, 'C' AS direction, amount - fee AS amount
            FROM pay_order.payment_order
          UNION ALL
          SELECT 'refund', refund_no, status, acct_date, merchant_no, 'D', amount - fee_back
            FROM pay_order.refund_order WHERE kind = 'MERCHANT'),
        live AS (
          SELECT t.*, a.owner_type, a.owner_no
            FROM pay_funds.funds_txn t JOIN pay_funds.funds_account a ON a.account_no = t.account_no
           WHERE t.status <> 'CANCELLED')
        SELECT what || ' ' || no || ' is SUCCESS and has ' || rows_posted || ' postings of ' || amount || ' at merchant ' || merchant_no
          FROM (SELECT due.*, (SELECT count(*) FROM live
                                WHERE live.biz_no = due.no AND live.direction = due.direction AND live.status = 'POSTED'
                                  AND live.owner_type = 'MERCHANT' AND live.owner_no = due.merchant_no
                                  AND live.amount = due.amount AND live.acct_date = due.acct_date) AS rows_posted
                  FROM due WHERE status = 'SUCCESS')
         WHERE rows_posted <> (amount > 0)
        UNION ALL
        SELECT 'row ' || live.txn_no || ' (' || live.direction || ' ' || live.amount || ', ' || live.status || ', ' || live.gid
               || ') belongs to ' || coalesce(due.what || ' ' || due.no || ', which is ' || due.status || ' and asks for '
               || due.direction || ' ' || due.amount || ' on ' || coalesce(due.acct_date, 'no date'), 'no order or refund')
          FROM live LEFT JOIN due ON due.no = live.biz_no
         WHERE due.no IS NULL OR due.status <> 'SUCCESS' OR live.status <> 'POSTED' OR live.direction <> due.direction
            OR live.amount <> due.amount OR live.owner_no <> due.merchant_no OR live.acct_date IS NOT due.acct_date",
};
