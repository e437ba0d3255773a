-- Database pay_order: payment orders, attempts to pay, fee lines, limits, refunds. Times are microseconds since the epoch.
CREATE TABLE payment_order (
  pay_no TEXT PRIMARY KEY,  -- P + yyyymmdd + sequence
  merchant_no TEXT NOT NULL,
  merchant_order_no TEXT NOT NULL,
  req_hash TEXT NOT NULL,
  payer_no TEXT NOT NULL,
  subject TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0),
  currency TEXT NOT NULL DEFAULT 'CNY',
  fee INTEGER NOT NULL CHECK (fee >= 0 AND fee <= amount),
  points INTEGER NOT NULL DEFAULT 0,
  notify_url TEXT,
  return_url TEXT,
  status TEXT NOT NULL CHECK (status IN ('WAIT_PAY','SETTLING','SUCCESS','CLOSING','CLOSED')),
  settle_attempt INTEGER NOT NULL DEFAULT 0,
  settle_gid TEXT,
  success_record_no TEXT,
  refunded_amount INTEGER NOT NULL DEFAULT 0 CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
  refunded_fee INTEGER NOT NULL DEFAULT 0 CHECK (refunded_fee >= 0 AND refunded_fee <= fee),
  limit_day TEXT,  -- set by the first attempt, which consumes the limits
  acct_date TEXT,  -- set by the T0 of each settlement attempt
  close_reason TEXT,
  expire_at INTEGER NOT NULL,
  success_at INTEGER,
  closed_at INTEGER,
  version INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (merchant_no, merchant_order_no),
  CHECK ((status = 'SUCCESS') = (success_at IS NOT NULL)),
  CHECK (status NOT IN ('SETTLING','SUCCESS') OR acct_date IS NOT NULL)
) STRICT;
-- The sweeper looks for settlements that have been under way for too long.
CREATE INDEX payment_order_settling ON payment_order (updated_at) WHERE status = 'SETTLING';
CREATE TABLE fee_item (  -- how the fee came about: the lines add up to payment_order.fee
  pay_no TEXT NOT NULL REFERENCES payment_order,
  kind TEXT NOT NULL CHECK (kind IN ('RATE','MIN','MAX')),
  basis TEXT NOT NULL,  -- '1000 x 80 bp'
  amount INTEGER NOT NULL,  -- MIN: what lifts the fee to the minimum; MAX: negative
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (pay_no, kind)
) STRICT;
CREATE TABLE payment_record (  -- one row per attempt to pay
  record_no TEXT PRIMARY KEY,
  pay_no TEXT NOT NULL REFERENCES payment_order,
  seq INTEGER NOT NULL,
  idem_key TEXT NOT NULL,  -- Idempotency-Key of the attempt
  channel TEXT NOT NULL CHECK (channel IN ('BANK','BALANCE')),
  bank_code TEXT,
  bank_order_no TEXT UNIQUE,  -- number sent to the bank
  amount INTEGER NOT NULL CHECK (amount > 0),
  channel_cost INTEGER NOT NULL DEFAULT 0 CHECK (channel_cost >= 0),
  status TEXT NOT NULL CHECK (status IN ('WAITING','SUCCESS','FAILED','CLOSED','DUPLICATE','LATE')),
  bank_paid_at INTEGER,  -- our clock: set as soon as the bank's success is accepted
  bank_finished_at INTEGER,  -- the bank's clock and accounting date, from its answer
  bank_acct_date TEXT,
  acct_date TEXT,  -- ours, of the T0 that decided about this record
  bank_trade_no TEXT,
  fail_code TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (pay_no, seq),
  UNIQUE (pay_no, idem_key),
  CHECK ((channel = 'BANK') = (bank_order_no IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX payment_record_one_success ON payment_record (pay_no) WHERE status = 'SUCCESS';
CREATE TABLE limit_rule (
  rule_no TEXT PRIMARY KEY,
  subject_type TEXT NOT NULL CHECK (subject_type IN ('MERCHANT','PAYER','CHANNEL')),
  subject_no TEXT NOT NULL,  -- '*' = default for subjects without a rule of their own
  txn_min INTEGER NOT NULL DEFAULT 1,
  txn_max INTEGER NOT NULL,
  day_amount INTEGER NOT NULL,
  day_count INTEGER NOT NULL,
  month_amount INTEGER NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE limit_usage (
  subject_type TEXT NOT NULL,
  subject_no TEXT NOT NULL CHECK (subject_no <> '*'),
  period TEXT NOT NULL CHECK (period IN ('D','M')),
  period_start TEXT NOT NULL,
  slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 15),  -- PAYER: 0; MERCHANT: crc32(pay_no) mod 16
  pending_amount INTEGER NOT NULL DEFAULT 0 CHECK (pending_amount >= 0),
  pending_count INTEGER NOT NULL DEFAULT 0 CHECK (pending_count >= 0),
  used_amount INTEGER NOT NULL DEFAULT 0 CHECK (used_amount >= 0),
  used_count INTEGER NOT NULL DEFAULT 0 CHECK (used_count >= 0),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (subject_type, subject_no, period, period_start, slot)
) STRICT;
CREATE TABLE refund_order (
  refund_no TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('MERCHANT','AUTO_DUPLICATE','AUTO_LATE')),
  pay_no TEXT NOT NULL REFERENCES payment_order,
  record_no TEXT NOT NULL REFERENCES payment_record,
  merchant_no TEXT NOT NULL,
  merchant_refund_no TEXT NOT NULL,  -- for AUTO kinds: 'auto-' || record_no
  amount INTEGER NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL DEFAULT 'CNY',
  fee_back INTEGER NOT NULL DEFAULT 0 CHECK (fee_back >= 0),
  points_back INTEGER NOT NULL DEFAULT 0 CHECK (points_back >= 0),
  status TEXT NOT NULL CHECK (status IN ('CREATED','HELD','AT_BANK','ABNORMAL','SUCCESS','FAILED')),
  fail_code TEXT,
  saga_gid TEXT,
  bank_refund_no TEXT,  -- number now at the bank: refund_no, then '-1', '-2', '-3'
  bank_finished_at INTEGER,
  bank_acct_date TEXT,
  acct_date TEXT,  -- set by the transaction that makes it SUCCESS
  resolved_to TEXT,  -- ABNORMAL: masked target account, and who decided
  resolved_by TEXT,
  reviewed_by TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (merchant_no, merchant_refund_no),
  CHECK (reviewed_by IS NULL OR reviewed_by <> resolved_by),
  CHECK ((status = 'SUCCESS') = (acct_date IS NOT NULL))
) STRICT;
CREATE INDEX refund_order_pay ON refund_order (pay_no);
