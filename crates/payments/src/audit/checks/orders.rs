//! Payment orders, their records and refunds.

use super::Check;

pub(super) const CHECKS: &[Check] = &[P2, P3, P5];

const P2: Check = Check {
    id: "P2",
    claim: "nothing settling, no refund open, no paid order left unsettled",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM pay_order.payment_order) + (SELECT count(*) FROM pay_order.refund_order)",
    violations: "
        SELECT 'order ' || pay_no || ' is still ' || status
          FROM pay_order.payment_order WHERE status NOT IN ('WAIT_PAY', 'SUCCESS', 'CLOSED')
        UNION ALL
        SELECT 'order ' || pay_no || ' is ' || (SELECT o.status FROM pay_order.payment_order o WHERE o.pay_no = r.pay_no)
               || ', but the bank reported its record ' || record_no || ' (' || status || ') as paid'
          FROM pay_order.payment_record r
         WHERE bank_paid_at IS NOT NULL AND status IN ('WAITING', 'FAILED', 'CLOSED')
        UNION ALL
        SELECT 'refund ' || refund_no || ' is still ' || status
          FROM pay_order.refund_order WHERE status NOT IN ('SUCCESS', 'FAILED')",
};

const P3: Check = Check {
    id: "P3",
    claim: "an order is SUCCESS exactly if one of its records is, for the same amount and on the same date",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_order.payment_order WHERE status = 'SUCCESS'",
    violations: "
        WITH paid AS (
          SELECT o.pay_no, o.status, o.amount, o.acct_date, o.success_record_no, count(r.record_no) AS records,
                 min(r.record_no) AS record_no, min(r.amount) AS record_amount, min(r.acct_date) AS record_date
            FROM pay_order.payment_order o
            LEFT JOIN pay_order.payment_record r ON r.pay_no = o.pay_no AND r.status = 'SUCCESS'
           GROUP BY o.pay_no)
        SELECT 'order ' || pay_no || ' is ' || status || ' with ' || records || ' SUCCESS records'
          FROM paid WHERE records <> (status = 'SUCCESS')
        UNION ALL
        SELECT 'order ' || pay_no || ' names record ' || coalesce(success_record_no, 'none') || ', paid is ' || record_no
          FROM paid WHERE status = 'SUCCESS' AND records = 1 AND success_record_no IS NOT record_no
        UNION ALL
        SELECT 'order ' || pay_no || ' is about ' || amount || ', its paid record about ' || record_amount
          FROM paid WHERE records = 1 AND record_amount <> amount
        UNION ALL
        SELECT 'order ' || pay_no || ' settled on ' || coalesce(acct_date, 'no date') || ', its paid record on '
               || coalesce(record_date, 'no date')
          FROM paid WHERE records = 1 AND record_date IS NOT acct_date",
};

const P5: Check = Check {
    id: "P5",
    claim: "refunded sums are those of the successful refunds, within the order; the fee is the merchant's rate and its lines add up",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM pay_order.payment_order)
                     + (SELECT count(*) FROM pay_order.refund_order WHERE status = 'SUCCESS')",
    violations: "
        WITH sums AS (
          SELECT o.*,
                 (SELECT coalesce(sum(r.amount), 0) FROM pay_order.refund_order r
                   WHERE r.pay_no = o.pay_no AND r.kind = 'MERCHANT' AND r.status = 'SUCCESS') AS given_back,
                 (SELECT coalesce(sum(r.fee_back), 0) FROM pay_order.refund_order r
                   WHERE r.pay_no = o.pay_no AND r.kind = 'MERCHANT' AND r.status = 'SUCCESS') AS fee_given_back,
                 (SELECT coalesce(sum(f.amount), 0) FROM pay_order.fee_item f WHERE f.pay_no = o.pay_no) AS fee_lines,
                 (SELECT min(o.amount, coalesce(m.fee_max, o.amount),
                             max(m.fee_min, (o.amount * m.fee_bp + 5000) / 10000))
                    FROM pay_gateway.merchant m WHERE m.merchant_no = o.merchant_no) AS fee_due
            FROM pay_order.payment_order o)
        SELECT 'order ' || pay_no || ' is refunded but ' || status
          FROM sums WHERE given_back > 0 AND status <> 'SUCCESS'
        UNION ALL
        SELECT 'order ' || pay_no || ' says ' || refunded_amount || ' refunded, its refunds say ' || given_back
          FROM sums WHERE refunded_amount <> given_back
        UNION ALL
        SELECT 'order ' || pay_no || ' says ' || refunded_fee || ' of the fee given back, its refunds say ' || fee_given_back
          FROM sums WHERE refunded_fee <> fee_given_back
        UNION ALL
        SELECT 'order ' || pay_no || ' of ' || amount || ', fee ' || fee || ', refunded ' || given_back || ', fee ' || fee_given_back
          FROM sums WHERE given_back > amount OR fee_given_back > fee OR (given_back = amount AND fee_given_back <> fee)
        UNION ALL
        SELECT 'order ' || pay_no || ' has fee ' || fee || ', its fee lines add up to ' || fee_lines
          FROM sums WHERE fee <> fee_lines
        UNION ALL
        SELECT 'order ' || pay_no || ' of ' || amount || ' has fee ' || fee || ', its merchant''s rate makes '
               || coalesce(fee_due, 'nothing: unknown merchant ' || merchant_no)
          FROM sums WHERE fee IS NOT fee_due",
};
