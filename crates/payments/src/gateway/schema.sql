-- Database pay_gateway: merchants, request nonces, what banks said. Times are microseconds since the epoch.
CREATE TABLE merchant (
  merchant_no TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('ACTIVE','SUSPENDED','CLOSED')),
  api_secret BLOB NOT NULL,  -- requests are HMAC-signed with it
  fee_bp INTEGER NOT NULL CHECK (fee_bp BETWEEN 0 AND 10000),
  fee_min INTEGER NOT NULL DEFAULT 0 CHECK (fee_min >= 0),
  fee_max INTEGER CHECK (fee_max >= fee_min),  -- null = no maximum
  default_notify_url TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE api_nonce (  -- purged after 600 s
  merchant_no TEXT NOT NULL,
  nonce TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (merchant_no, nonce)
) STRICT;
CREATE INDEX api_nonce_age ON api_nonce (seen_at);
CREATE TABLE bank_notice (  -- what the bank said, whatever the way
  bank_code TEXT NOT NULL,
  ref_no TEXT NOT NULL,  -- bank_order_no; for refund.* the refund number sent to the bank
  event TEXT NOT NULL,  -- trade.succeeded | .failed, refund.succeeded | .failed | .abnormal
  notice_id TEXT,  -- webhook-id of the first arrival; null for QUERY, BILL
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL DEFAULT 'CNY',
  acct_date TEXT,  -- the bank's
  payload TEXT NOT NULL,
  source TEXT NOT NULL CHECK (source IN ('NOTIFY','QUERY','BILL')),
  status TEXT NOT NULL CHECK (status IN ('ACCEPTED','DONE','REJECTED')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (bank_code, ref_no, event)  -- only a REJECTED row may be replaced, by one that fits
) STRICT;
