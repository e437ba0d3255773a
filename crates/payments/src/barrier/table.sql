-- Times are microseconds since the epoch.
CREATE TABLE barrier (                -- one row per executed or fenced operation; the table is DTM's
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  trans_type  TEXT DEFAULT '',
  gid         TEXT DEFAULT '',
  branch_id   TEXT DEFAULT '',
  op          TEXT DEFAULT '',        -- try | confirm | cancel | action | compensate | msg
  barrier_id  TEXT DEFAULT '',        -- '01', '02', ... within one request
  reason      TEXT DEFAULT '',        -- the op that wrote the row: an empty cancel writes op = try, reason = cancel
  create_time INTEGER DEFAULT NULL,
  update_time INTEGER DEFAULT NULL,
  CONSTRAINT uniq_barrier UNIQUE (gid, branch_id, op, barrier_id)
) STRICT;
