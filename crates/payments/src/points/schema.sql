CREATE TABLE points_account (
  owner_no       TEXT PRIMARY KEY,
  opening        INTEGER NOT NULL DEFAULT 0,
  available      INTEGER NOT NULL DEFAULT 0, -- may go below zero only through REVOKE
  frozen         INTEGER NOT NULL DEFAULT 0 CHECK (frozen >= 0),
  granted_total  INTEGER NOT NULL DEFAULT 0,
  spent_total    INTEGER NOT NULL DEFAULT 0,
  revoked_total  INTEGER NOT NULL DEFAULT 0,
  returned_total INTEGER NOT NULL DEFAULT 0, -- spent points given back by a refund
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  CHECK (available + frozen = opening + granted_total + returned_total - spent_total - revoked_total)
) STRICT;

CREATE TABLE points_txn (
  txn_no     TEXT PRIMARY KEY,
  owner_no   TEXT NOT NULL REFERENCES points_account,
  kind       TEXT NOT NULL CHECK (kind IN ('SPEND','GRANT','REVOKE','RETURN')),
  amount     INTEGER NOT NULL CHECK (amount > 0),
  biz_type   TEXT NOT NULL,
  biz_no     TEXT NOT NULL,           -- order, payment or trade number; REVOKE, RETURN: refund number
  status     TEXT NOT NULL CHECK (status IN ('TRYING','HELD','POSTED','RELEASED','CANCELLED')),
  gid        TEXT NOT NULL,
  branch_id  TEXT NOT NULL,
  acct_date  TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX points_txn_live ON points_txn (biz_type, biz_no, kind)
  WHERE status IN ('TRYING','HELD','POSTED');
