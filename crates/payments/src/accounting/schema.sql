CREATE TABLE subject (
  code       TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('ASSET','LIABILITY','EQUITY','INCOME','EXPENSE')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE voucher (                -- original voucher (会计原始凭证)
  voucher_no    TEXT PRIMARY KEY,
  entry_type    INTEGER NOT NULL,
  source_system TEXT NOT NULL,
  source_no     TEXT NOT NULL,
  amount        INTEGER NOT NULL,     -- negative on a red entry
  acct_date     TEXT NOT NULL,
  reverses      TEXT UNIQUE REFERENCES voucher, -- red entry (红字冲销): the voucher it takes back
  msg_id        TEXT NOT NULL,
  raw           TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  UNIQUE (entry_type, source_system, source_no),
  CHECK (amount <> 0 AND (amount < 0) = (reverses IS NOT NULL))
) STRICT;

CREATE TABLE ledger_entry (           -- accounting entries (会计分录)
  voucher_no   TEXT NOT NULL REFERENCES voucher,
  line_no      INTEGER NOT NULL,
  subject_code TEXT NOT NULL REFERENCES subject,
  party_no     TEXT,
  dc           TEXT NOT NULL CHECK (dc IN ('D','C')),
  amount       INTEGER NOT NULL CHECK (amount <> 0), -- negative only on a red entry
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  PRIMARY KEY (voucher_no, line_no)
) STRICT;

CREATE TABLE acct_day (               -- a day without a row is open
  acct_date  TEXT PRIMARY KEY,
  status     TEXT NOT NULL CHECK (status IN ('OPEN','CLOSING','CLOSED')),
  in_flight  TEXT,                    -- business numbers that were still open at the close
  closed_at  INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
