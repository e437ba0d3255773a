-- One row is one unfinished transaction that has left the log. Times are microseconds since the Unix epoch.
CREATE TABLE txn (
    seq          INTEGER PRIMARY KEY,
    gid          TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    write_id     INTEGER NOT NULL,
    pattern      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    -- NULL: not final.
    finished_at  INTEGER,
    -- NULL: in flight, or only its initiator can move it.
    next_run_at  INTEGER,
    -- Who has it in flight; NULL: nobody.
    owner        INTEGER,
    attention    INTEGER NOT NULL,
    business_key TEXT,
    -- 1: restored from a backup, and waits for an operator to release it.
    held         INTEGER NOT NULL,
    -- CRC32C over gid to held, and over these and the records.
    head_check   INTEGER NOT NULL,
    body_check   INTEGER NOT NULL,
    -- Records, see the codec: one, any number, one, any number.
    definition   BLOB    NOT NULL,
    added        BLOB    NOT NULL,
    progress     BLOB    NOT NULL,
    history      BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX txn_gid ON txn (gid);
CREATE INDEX txn_kind ON txn (status, pattern, created_at, gid, finished_at);
CREATE INDEX txn_business_key ON txn (business_key, created_at, gid) WHERE business_key IS NOT NULL;
CREATE INDEX txn_attention ON txn (attention, created_at, gid) WHERE attention = 1;
-- Waiting transactions by their time, those in flight, and those on hold. Here and above, what a condition names is in the index
-- too: otherwise SQLite would look it up in the rows.
CREATE INDEX txn_due ON txn (owner, held, next_run_at, gid) WHERE owner IS NULL AND next_run_at IS NOT NULL;
CREATE INDEX txn_in_flight ON txn (held, owner, gid) WHERE held = 0 AND owner IS NOT NULL;
CREATE INDEX txn_held ON txn (held, gid) WHERE held = 1;

CREATE TABLE setting (
    category TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    value    BLOB    NOT NULL,
    PRIMARY KEY (category, key)
) STRICT, WITHOUT ROWID;

-- What the database says about itself: whose it is, its schema, its rows, those on hold, the sums of the indexes and of the
-- settings, and a check over all of it.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;
