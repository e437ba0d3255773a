-- One archive partition. One row is one finished transaction; rows are never deleted. Times are microseconds since the Unix
-- epoch.
CREATE TABLE txn (
    seq          INTEGER PRIMARY KEY,
    gid          TEXT    NOT NULL,
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
    -- 0: what is over is not on hold.
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
-- Lists, a range for each state and pattern; and the times at which rows were finished, without their records.
CREATE INDEX txn_kind ON txn (status, pattern, created_at, gid, finished_at);
CREATE INDEX txn_business_key ON txn (business_key, created_at, gid) WHERE business_key IS NOT NULL;
CREATE INDEX txn_attention ON txn (attention, created_at, gid) WHERE attention = 1;

-- What the partition says about itself: whose it is, its schema, its rows, their bounds, the sums of the indexes, the filter
-- once it is closed, and a check over all but the filter.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;
