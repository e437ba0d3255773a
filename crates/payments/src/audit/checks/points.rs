//! Points accounts and the points of orders and refunds.

use super::Check;

pub(super) const CHECKS: &[Check] = &[P6, T1, T2];

const P6: Check = Check {
    id: "P6",
    claim: "a SUCCESS order grants its payer its points once, a SUCCESS refund takes its share back; nothing else is live",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM pay_order.payment_order WHERE status = 'SUCCESS')
                     + (SELECT count(*) FROM pay_order.refund_order WHERE status = 'SUCCESS')",
    violations: "
        WITH due AS (
          SELECT 'order' AS what, pay_no AS no, status, acct_date, payer_no, 'GRANT' AS kind, points AS amount
            FROM pay_order.payment_order
          UNION ALL
          SELECT 'refund', r.refund_no, r.status, r.acct_date, o.payer_no, 'REVOKE', r.points_back
            FROM pay_order.refund_order r JOIN pay_order.payment_order o ON o.pay_no = r.pay_no),
        live AS (SELECT * FROM pay_points.points_txn WHERE status NOT IN ('CANCELLED', 'RELEASED'))
        SELECT what || ' ' || no || ' is SUCCESS and has ' || rows_posted || ' postings of ' || amount || ' points for payer ' || payer_no
          FROM (SELECT due.*, (SELECT count(*) FROM live
                                WHERE live.biz_no = due.no AND live.kind = due.kind AND live.status = 'POSTED'
                                  AND live.owner_no = due.payer_no AND live.amount = due.amount
                                  AND live.acct_date = due.acct_date) AS rows_posted
                  FROM due WHERE status = 'SUCCESS')
         WHERE rows_posted <> (amount > 0)
        UNION ALL
        SELECT 'points row ' || live.txn_no || ' (' || live.kind || ' ' || live.amount || ', ' || live.status || ', ' || live.gid
               || ') belongs to ' || coalesce(due.what || ' ' || due.no || ', which is ' || due.status || ' and asks for '
               || due.kind || ' ' || due.amount || ' on ' || coalesce(due.acct_date, 'no date'), 'no order or refund')
          FROM live LEFT JOIN due ON due.no = live.biz_no
         WHERE due.no IS NULL OR due.status <> 'SUCCESS' OR live.status <> 'POSTED' OR live.kind <> due.kind
            OR live.amount <> due.amount OR live.owner_no <> due.payer_no OR live.acct_date IS NOT due.acct_date
        UNION ALL
        SELECT 'order ' || pay_no || ' took back ' || revoked || ' of its ' || points || ' points with ' || refunded_amount
               || ' of ' || amount || ' refunded'
          FROM (SELECT o.*, (SELECT coalesce(sum(r.points_back), 0) FROM pay_order.refund_order r
                              WHERE r.pay_no = o.pay_no AND r.status = 'SUCCESS' AND r.kind = 'MERCHANT') AS revoked
                  FROM pay_order.payment_order o WHERE o.status = 'SUCCESS')
         WHERE revoked > points OR (refunded_amount = amount AND revoked <> points)",
};

const T1: Check = Check {
    id: "T1",
    claim: "each points account adds up, each of its totals is the sum of its rows, frozen is what spends hold",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_points.points_account",
    violations: "
        WITH account AS (
          SELECT a.*,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_points.points_txn t
                   WHERE t.owner_no = a.owner_no AND t.kind = 'GRANT' AND t.status = 'POSTED') AS granted,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_points.points_txn t
                   WHERE t.owner_no = a.owner_no AND t.kind = 'SPEND' AND t.status = 'POSTED') AS spent,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_points.points_txn t
                   WHERE t.owner_no = a.owner_no AND t.kind = 'REVOKE' AND t.status = 'POSTED') AS revoked,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_points.points_txn t
                   WHERE t.owner_no = a.owner_no AND t.kind = 'RETURN' AND t.status = 'POSTED') AS returned,
                 (SELECT coalesce(sum(t.amount), 0) FROM pay_points.points_txn t
                   WHERE t.owner_no = a.owner_no AND t.kind = 'SPEND' AND t.status IN ('TRYING', 'HELD')) AS held
            FROM pay_points.points_account a)
        SELECT 'points of ' || owner_no || ': ' || available || ' available and ' || frozen || ' frozen, its rows make '
               || (opening + granted + returned - spent - revoked)
          FROM account WHERE available + frozen <> opening + granted + returned - spent - revoked
        UNION ALL
        SELECT 'points of ' || owner_no || ': totals ' || granted_total || ' granted, ' || spent_total || ' spent, '
               || revoked_total || ' revoked, ' || returned_total || ' returned; its rows say ' || granted || ', ' || spent
               || ', ' || revoked || ', ' || returned
          FROM account
         WHERE granted_total <> granted OR spent_total <> spent OR revoked_total <> revoked OR returned_total <> returned
        UNION ALL
        SELECT 'points of ' || owner_no || ': ' || frozen || ' frozen, its spends hold ' || held
          FROM account WHERE frozen <> held",
};

const T2: Check = Check {
    id: "T2",
    claim: "no points row is left TRYING or HELD",
    // Payments too small for a point have no rows.
    essential: false,
    looked_at: "SELECT count(*) FROM pay_points.points_txn",
    violations: "
        SELECT 'points row ' || txn_no || ' (' || kind || ' ' || amount || ', ' || gid || ') is still ' || status
          FROM pay_points.points_txn WHERE status IN ('TRYING', 'HELD')",
};
