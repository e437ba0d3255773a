-- In every service database, beside the barrier's table. Times are microseconds since the epoch, set by the service.
CREATE TABLE outbox (                 -- local message table (本地消息表)
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  msg_id     TEXT NOT NULL UNIQUE,    -- deterministic: a business event is enqueued once
  topic      TEXT NOT NULL,
  msg_key    TEXT,                    -- ordering key, normally the pay_no
  payload    TEXT NOT NULL,           -- JSON
  status     TEXT NOT NULL DEFAULT 'NEW' CHECK (status IN ('NEW','SENT')),
  attempts   INTEGER NOT NULL DEFAULT 0,
  next_at    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  sent_at    INTEGER
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at, seq) WHERE status = 'NEW';
CREATE INDEX outbox_key ON outbox (msg_key, seq) WHERE status = 'NEW';

CREATE TABLE inbox (                  -- consumer-side deduplication
  consumer   TEXT NOT NULL,
  msg_id     TEXT NOT NULL,
  result     TEXT NOT NULL DEFAULT 'DONE',
  created_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, msg_id)
) STRICT;
