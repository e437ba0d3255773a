//! The platform's books against those of its partners: bank and merchant, whose databases the demo happens to have.

use super::Check;

pub(super) const CHECKS: &[Check] = &[X2, N2];

/// A trade over another amount than its record's is one that the gateway must have rejected.
const X2: Check = Check {
    id: "X2",
    claim: "what the bank took is paid here and what it gave back is refunded here, to the last unit, and the other way round",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM bank.trade) + (SELECT count(*) FROM bank.refund)",
    violations: "
        SELECT 'the bank took ' || t.amount || ' for ' || t.bank_order_no || ' on ' || t.acct_date || ' at a cost of ' || t.cost
               || ', record ' || r.record_no || ' is ' || r.status || ' on ' || coalesce(r.bank_acct_date, 'no date')
               || ' at a cost of ' || r.channel_cost
          FROM bank.trade t JOIN pay_order.payment_record r ON r.bank_order_no = t.bank_order_no
         WHERE t.status = 'SUCCESS' AND t.amount = r.amount
           AND (r.status NOT IN ('SUCCESS', 'DUPLICATE', 'LATE') OR r.channel_cost <> t.cost
                OR r.bank_acct_date IS NOT t.acct_date)
        UNION ALL
        SELECT 'record ' || r.record_no || ' over ' || r.amount || ' is ' || r.status || ', the bank''s trade is '
               || coalesce(t.status || ' over ' || t.amount, 'missing')
          FROM pay_order.payment_record r LEFT JOIN bank.trade t ON t.bank_order_no = r.bank_order_no
         WHERE r.channel = 'BANK' AND r.status IN ('SUCCESS', 'DUPLICATE', 'LATE')
           AND (t.status IS NOT 'SUCCESS' OR t.amount <> r.amount)
        UNION ALL
        SELECT 'refund ' || r.refund_no || ' over ' || r.amount || ' is SUCCESS, the bank''s '
               || coalesce(f.platform_refund_no || ' is ' || f.status || ' over ' || f.amount || ' on '
                           || coalesce(f.acct_date, 'no date'), 'is missing')
          FROM pay_order.refund_order r LEFT JOIN bank.refund f ON f.platform_refund_no = r.bank_refund_no
         WHERE r.status = 'SUCCESS'
           AND (f.status IS NOT 'SUCCESS' OR f.amount <> r.amount OR f.acct_date IS NOT r.bank_acct_date)
        UNION ALL
        SELECT 'the bank gave back ' || f.amount || ' under ' || f.platform_refund_no || ', no SUCCESS refund asks for it'
          FROM bank.refund f
         WHERE f.status = 'SUCCESS'
           AND NOT EXISTS (SELECT 1 FROM pay_order.refund_order r
                            WHERE r.bank_refund_no = f.platform_refund_no AND r.status = 'SUCCESS')
        UNION ALL
        SELECT 'the bank says that ' || refunded || ' of ' || bank_order_no || ' was given back, its refunds say ' || given_back
          FROM (SELECT t.*, (SELECT coalesce(sum(f.amount), 0) FROM bank.refund f
                              WHERE f.bank_order_no = t.bank_order_no AND f.status = 'SUCCESS') AS given_back
                  FROM bank.trade t)
         WHERE refunded <> given_back",
};

const N2: Check = Check {
    id: "N2",
    claim: "an acknowledged notification is in the merchant's books, and they say nothing that the platform does not",
    essential: true,
    looked_at: "SELECT count(*) FROM merchant.pay_notice",
    violations: "
        WITH fact AS (
          SELECT pay_no || '-succeeded' AS ntf_id, 'payment.succeeded' AS event, pay_no, status, amount, currency
            FROM pay_order.payment_order WHERE status = 'SUCCESS'
          UNION ALL
          SELECT refund_no || CASE status WHEN 'SUCCESS' THEN '-succeeded' ELSE '-failed' END,
                 CASE status WHEN 'SUCCESS' THEN 'refund.succeeded' ELSE 'refund.failed' END, pay_no, status, amount, currency
            FROM pay_order.refund_order WHERE status IN ('SUCCESS', 'FAILED'))
        SELECT 'notification ' || d.ntf_id || ' was acknowledged, the merchant does not know it'
          FROM pay_notify.notify_delivery d
         WHERE d.status = 'ACKNOWLEDGED' AND NOT EXISTS (SELECT 1 FROM merchant.pay_notice n WHERE n.notice_id = d.ntf_id)
        UNION ALL
        SELECT 'the merchant was told ' || n.notice_id || ': ' || n.event || ' of ' || n.pay_no || ', ' || n.status || ' over '
               || n.amount || ' ' || n.currency || '; the books say '
               || coalesce(f.event || ' of ' || f.pay_no || ', ' || f.status || ' over ' || f.amount || ' ' || f.currency,
                           'nothing of the kind')
          FROM merchant.pay_notice n LEFT JOIN fact f ON f.ntf_id = n.notice_id
         WHERE f.ntf_id IS NULL OR n.event <> f.event OR n.pay_no <> f.pay_no OR n.status <> f.status OR n.amount <> f.amount
            OR n.currency <> f.currency",
};
