//! What the bank told the platform, and what the platform told its merchants.

use super::Check;

pub(super) const CHECKS: &[Check] = &[B0, N1];

/// The gateway's half of "the bank owns the fact": its tables must explain every paid record, and the other way round.
const B0: Check = Check {
    id: "B0",
    claim: "a bank's word that was accepted ends its record, a REJECTED one settles nothing, no other record is paid",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_gateway.bank_notice WHERE event LIKE 'trade.%'",
    violations: "
        WITH notice AS (SELECT * FROM pay_gateway.bank_notice WHERE event = 'trade.succeeded')
        SELECT 'notice of ' || n.ref_no || ' is ' || n.status || ', its record is ' || coalesce(r.status, 'missing')
          FROM notice n LEFT JOIN pay_order.payment_record r ON r.bank_order_no = n.ref_no AND r.bank_code = n.bank_code
         WHERE n.status IN ('ACCEPTED', 'DONE')
           AND (r.record_no IS NULL OR r.bank_paid_at IS NULL OR r.status NOT IN ('SUCCESS', 'DUPLICATE', 'LATE'))
        UNION ALL
        SELECT 'the bank says that ' || n.ref_no || ' failed, its record is ' || coalesce(r.status, 'missing')
          FROM pay_gateway.bank_notice n
          LEFT JOIN pay_order.payment_record r ON r.bank_order_no = n.ref_no AND r.bank_code = n.bank_code
         WHERE n.event = 'trade.failed' AND n.status IN ('ACCEPTED', 'DONE')
           AND (r.record_no IS NULL OR r.status = 'WAITING')
        UNION ALL
        SELECT 'record ' || r.record_no || ' of order ' || r.pay_no || ' is ' || r.status || ', the bank''s notice was '
               || coalesce(n.status || ' over ' || n.amount || ' ' || n.currency, 'never received')
          FROM pay_order.payment_record r
          JOIN pay_order.payment_order o ON o.pay_no = r.pay_no
          LEFT JOIN notice n ON n.ref_no = r.bank_order_no AND n.bank_code = r.bank_code
         WHERE r.channel = 'BANK' AND (r.bank_paid_at IS NOT NULL OR r.status IN ('SUCCESS', 'DUPLICATE', 'LATE'))
           AND (n.ref_no IS NULL OR n.status = 'REJECTED' OR n.amount <> r.amount OR n.currency <> o.currency)",
};

/// Two facts are told: the end of a payment and the end of a refund, each under the name that derives from it.
const N1: Check = Check {
    id: "N1",
    claim: "every SUCCESS order and every ended refund has one notification, acknowledged or listed as exhausted; no other has any",
    essential: true,
    looked_at: "SELECT count(*) FROM pay_notify.notify_delivery",
    violations: "
        WITH told AS (
          SELECT pay_no || '-succeeded' AS ntf_id, 'order ' || pay_no AS what
            FROM pay_order.payment_order o
           WHERE status = 'SUCCESS'
             AND coalesce(notify_url, (SELECT m.default_notify_url FROM pay_gateway.merchant m
                                        WHERE m.merchant_no = o.merchant_no)) IS NOT NULL
          UNION ALL
          SELECT r.refund_no || CASE r.status WHEN 'SUCCESS' THEN '-succeeded' ELSE '-failed' END, 'refund ' || r.refund_no
            FROM pay_order.refund_order r JOIN pay_order.payment_order o ON o.pay_no = r.pay_no
           WHERE r.status IN ('SUCCESS', 'FAILED') AND r.kind = 'MERCHANT'
             AND coalesce(o.notify_url, (SELECT m.default_notify_url FROM pay_gateway.merchant m
                                          WHERE m.merchant_no = o.merchant_no)) IS NOT NULL)
        SELECT t.what || ' has no notification ' || t.ntf_id
          FROM told t WHERE NOT EXISTS (SELECT 1 FROM pay_notify.notify_request q WHERE q.ntf_id = t.ntf_id)
        UNION ALL
        SELECT 'notification ' || q.ntf_id || ' tells what did not happen'
          FROM pay_notify.notify_request q WHERE q.ntf_id NOT IN (SELECT ntf_id FROM told)
        UNION ALL
        SELECT 'notification ' || q.ntf_id || ' is ' || coalesce(d.status, 'not under delivery')
          FROM pay_notify.notify_request q LEFT JOIN pay_notify.notify_delivery d ON d.ntf_id = q.ntf_id
         WHERE d.status IS NULL OR d.status NOT IN ('ACKNOWLEDGED', 'EXHAUSTED')",
};
