-- One archive partition. One row is one finished transaction; rows are never deleted, so the last seq is their number.
-- Times are microseconds since the Unix epoch.
CREATE TABLE txn (
    seq          INTEGER PRIMARY KEY,
    gid          TEXT    NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    write_id     INTEGER NOT NULL,
    pattern      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    finished_at  INTEGER NOT NULL,
    -- NULL, as nothing happens any more; and so is the next.
    next_run_at  INTEGER,
    owner        INTEGER,
    attention    INTEGER NOT NULL,
    business_key TEXT,
    -- Records, see the codec: one, any number, one, any number.
    definition   BLOB    NOT NULL,
    added        BLOB    NOT NULL,
    progress     BLOB    NOT NULL,
    history      BLOB    NOT NULL
) STRICT;

-- Lists, a range for each state and pattern; and the times at which rows were finished, without their records.
CREATE INDEX txn_kind ON txn (status, pattern, created_at, gid, finished_at);
CREATE INDEX txn_business_key ON txn (business_key, created_at, gid) WHERE business_key IS NOT NULL;
CREATE INDEX txn_attention ON txn (created_at, gid) WHERE attention = 1;

-- The store, the bounds of the rows' times, and the filter once the partition is closed.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;
