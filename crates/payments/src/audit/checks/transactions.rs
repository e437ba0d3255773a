//! What participants executed, against what the coordinator decided.
//!
//! `record` and `record_op` are the coordinator's records, `barrier_row` and `outbox_row` the common tables of all services
//! (see [`Books`](crate::audit::Books)).

use super::Check;

pub(super) const CHECKS: &[Check] = &[G1, G2];

/// An operation was executed if its barrier row was written by the operation itself and it was no empty undo: an empty
/// cancel or compensation also writes the row of the operation that it forestalls.
const G1: Check = Check {
    id: "G1",
    claim: "no branch was both confirmed and cancelled, and what was executed is what the coordinator decided",
    essential: true,
    looked_at: "SELECT count(*) FROM barrier_row WHERE op <> 'msg' AND reason = op",
    violations: "
        WITH executed AS (
          SELECT b.* FROM barrier_row b
           WHERE b.reason = b.op
             AND NOT EXISTS (SELECT 1 FROM barrier_row o
                              WHERE o.db = b.db AND o.gid = b.gid AND o.branch_id = b.branch_id
                                AND o.barrier_id = b.barrier_id AND o.reason = b.op AND o.op <> b.op)),
        decided AS (
          SELECT e.*, r.trans_type AS record_type, r.status,
                 CASE WHEN e.op IN ('confirm', 'commit') OR (e.op = 'action' AND r.trans_type = 'msg')
                      THEN r.status IN ('submitted', 'succeed')
                      WHEN e.op IN ('cancel', 'rollback', 'compensate') THEN r.status IN ('aborting', 'failed')
                      ELSE r.gid IS NOT NULL END AS agrees
            FROM executed e LEFT JOIN record r ON r.gid = e.gid)
        SELECT 'branch ' || c.branch_id || ' of ' || c.gid || ' was both confirmed (' || c.db || ') and cancelled (' || x.db || ')'
          FROM executed c JOIN executed x ON x.gid = c.gid AND x.branch_id = c.branch_id
         WHERE c.op IN ('confirm', 'commit') AND x.op IN ('cancel', 'rollback')
        UNION ALL
        SELECT db || ' executed ' || op || ' of branch ' || branch_id || ' of ' || gid || ', the coordinator says '
               || coalesce(status, 'nothing: it does not know the transaction')
          FROM decided WHERE op <> 'msg' AND agrees IS NOT 1
        UNION ALL
        SELECT 'the coordinator has ' || o.op || ' of branch ' || o.branch_id || ' of ' || o.gid || ' as done, no service does'
          FROM record_op o JOIN record r ON r.gid = o.gid
         WHERE r.trans_type IN ('tcc', 'saga') AND o.status = 'succeed' AND o.url <> ''
           AND NOT EXISTS (SELECT 1 FROM barrier_row b
                            WHERE b.gid = o.gid AND b.branch_id = o.branch_id AND b.op = o.op)
           AND EXISTS (SELECT 1 FROM barrier_row)
        UNION ALL
        SELECT d.db || ' executed branch ' || d.branch_id || ' of the failed saga ' || d.gid || ' and never compensated it'
          FROM decided d JOIN record_op o ON o.gid = d.gid AND o.branch_id = d.branch_id
         WHERE d.record_type = 'saga' AND d.status = 'failed' AND d.op = 'action' AND o.op = 'compensate' AND o.url <> ''
           AND NOT EXISTS (SELECT 1 FROM executed e
                            WHERE e.gid = d.gid AND e.branch_id = d.branch_id AND e.op = 'compensate')",
};

const G2: Check = Check {
    id: "G2",
    claim: "every global transaction is final, and no outbox row waits",
    essential: true,
    looked_at: "SELECT (SELECT count(*) FROM record) + (SELECT count(*) FROM outbox_row)",
    violations: "
        SELECT 'transaction ' || gid || ' (' || trans_type || ') is still ' || status
          FROM record WHERE status NOT IN ('succeed', 'failed')
        UNION ALL
        SELECT 'outbox row ' || msg_id || ' of ' || db || ' is still ' || status
          FROM outbox_row WHERE status <> 'SENT'",
};
