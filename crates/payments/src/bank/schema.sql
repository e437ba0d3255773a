-- Database bank: what the bank decided and answered. Times are microseconds since the epoch.
CREATE TABLE trade (
  bank_order_no TEXT PRIMARY KEY,
  trade_no TEXT NOT NULL UNIQUE,
  platform_no TEXT NOT NULL,
  amount INTEGER NOT NULL,  -- as it was reported
  currency TEXT NOT NULL,
  cost INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('SUCCESS','FAILED')),
  refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0 AND refunded <= amount),
  acknowledged INTEGER NOT NULL DEFAULT 0,  -- how often the platform answered `success`
  finished_at INTEGER NOT NULL,
  acct_date TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE refund (
  platform_refund_no TEXT PRIMARY KEY,
  refund_no TEXT NOT NULL UNIQUE,
  bank_order_no TEXT NOT NULL REFERENCES trade,
  amount INTEGER NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('PROCESSING','SUCCESS','FAILED')),
  asked INTEGER NOT NULL DEFAULT 0,  -- how often the platform asked for it
  finished_at INTEGER,
  acct_date TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CHECK ((status = 'PROCESSING') = (finished_at IS NULL))
) STRICT;
CREATE INDEX refund_trade ON refund (bank_order_no);
