-- Database merchant: what the payment platform said. Times are microseconds since the epoch.
CREATE TABLE pay_notice (
  notice_id TEXT PRIMARY KEY,  -- webhook-id
  event TEXT NOT NULL,  -- payment.succeeded | refund.succeeded | refund.failed
  pay_no TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  status TEXT NOT NULL,
  payload TEXT NOT NULL,  -- of the first arrival
  arrivals INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX pay_notice_pay ON pay_notice (pay_no);
