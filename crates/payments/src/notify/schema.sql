-- Database pay_notify: which notifications were asked for, and how far their delivery is.
CREATE TABLE notify_request (
  pay_no TEXT NOT NULL,
  ntf_id TEXT PRIMARY KEY,  -- '{pay_no or refund_no}-{succeeded|closed|failed}'
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notify_request_pay ON notify_request (pay_no);
-- Schedule, attempts and state of each delivery. They become the coordinator's once it delivers notifications itself.
CREATE TABLE notify_delivery (
  ntf_id TEXT PRIMARY KEY REFERENCES notify_request,
  merchant_no TEXT NOT NULL,  -- whose secret signs
  url TEXT NOT NULL,
  body TEXT NOT NULL,  -- the exact bytes of every attempt
  status TEXT NOT NULL CHECK (status IN ('PENDING','ACKNOWLEDGED','EXHAUSTED')),
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_at INTEGER NOT NULL,
  last_failure TEXT,  -- class of the last failed attempt: STATUS_500, BODY, TIMEOUT …
  finished_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CHECK ((status = 'PENDING') = (finished_at IS NULL))
) STRICT;
CREATE INDEX notify_delivery_due ON notify_delivery (next_at) WHERE status = 'PENDING';
