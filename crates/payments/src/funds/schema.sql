CREATE TABLE funds_account (
  account_no TEXT PRIMARY KEY,
  owner_type TEXT NOT NULL CHECK (owner_type IN ('MERCHANT','USER')),
  owner_no   TEXT NOT NULL,
  currency   TEXT NOT NULL DEFAULT 'CNY',
  opening    INTEGER NOT NULL DEFAULT 0,
  balance    INTEGER NOT NULL DEFAULT 0, -- book balance: rows with a balance_after
  frozen     INTEGER NOT NULL DEFAULT 0, -- part of balance that may not be spent
  posting    TEXT NOT NULL DEFAULT 'direct' CHECK (posting IN ('direct','buffered')),
  post_no    INTEGER NOT NULL DEFAULT 0, -- rows posted to balance so far
  status     TEXT NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE','FROZEN','CLOSING','CLOSED')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (owner_type, owner_no, currency),
  CHECK (frozen >= 0 AND balance >= frozen)
) STRICT;

CREATE TABLE funds_txn (
  txn_no        TEXT PRIMARY KEY,
  account_no    TEXT NOT NULL REFERENCES funds_account,
  direction     TEXT NOT NULL CHECK (direction IN ('C','D')),
  amount        INTEGER NOT NULL CHECK (amount > 0),
  biz_type      TEXT NOT NULL CHECK (biz_type IN ('PAY','BALANCE_PAY','REFUND','ADJUST')),
  biz_no        TEXT NOT NULL,
  status        TEXT NOT NULL CHECK (status IN ('TRYING','POSTED','CANCELLED')),
  posted_at     INTEGER,
  post_no       INTEGER,              -- place in the account's history, with balance_after;
  balance_after INTEGER,              -- both null while a buffered credit is not folded
  gid           TEXT NOT NULL,
  branch_id     TEXT NOT NULL,
  acct_date     TEXT,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  UNIQUE (account_no, post_no),
  CHECK ((status = 'POSTED') = (posted_at IS NOT NULL)),
  CHECK (status <> 'POSTED' OR acct_date IS NOT NULL),
  CHECK ((balance_after IS NULL) = (post_no IS NULL)),
  CHECK (balance_after IS NULL OR status = 'POSTED'),
  CHECK (direction = 'C' OR status <> 'POSTED' OR balance_after IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX funds_txn_live ON funds_txn (account_no, biz_type, biz_no, direction)
  WHERE status <> 'CANCELLED';
CREATE INDEX funds_txn_unfolded ON funds_txn (account_no, posted_at, txn_no)
  WHERE status = 'POSTED' AND balance_after IS NULL;
