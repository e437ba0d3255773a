-- One row is one global transaction. Times are microseconds since the Unix epoch.
CREATE TABLE txn (
    seq          INTEGER PRIMARY KEY,
    gid          TEXT    NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    write_id     INTEGER NOT NULL,
    pattern      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    -- NULL: not final.
    finished_at  INTEGER,
    -- NULL: in flight, final, or only its initiator can move it.
    next_run_at  INTEGER,
    -- Who has it in flight; NULL: nobody.
    owner        INTEGER,
    attention    INTEGER NOT NULL,
    business_key TEXT,
    -- Records, see the codec: one, any number, one, any number.
    definition   BLOB    NOT NULL,
    added        BLOB    NOT NULL,
    progress     BLOB    NOT NULL,
    history      BLOB    NOT NULL
) STRICT;

CREATE INDEX txn_created ON txn (created_at, gid);
CREATE INDEX txn_business_key ON txn (business_key, created_at, gid) WHERE business_key IS NOT NULL;
CREATE INDEX txn_attention ON txn (created_at, gid) WHERE attention = 1;
-- Waiting transactions by their time, and those in flight: a transaction is in one of the two at most.
CREATE INDEX txn_due ON txn (next_run_at, seq) WHERE owner IS NULL AND next_run_at IS NOT NULL;
CREATE INDEX txn_in_flight ON txn (seq) WHERE owner IS NOT NULL;
CREATE INDEX txn_finished ON txn (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE setting (
    category TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    value    BLOB    NOT NULL,
    PRIMARY KEY (category, key)
) STRICT, WITHOUT ROWID;
