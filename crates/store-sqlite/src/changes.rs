//! What each kind of write does to the tables. All of it runs on the writer, inside its transaction.

use bytes::Bytes;
use escrow_store::codec::{self, tags};
use escrow_store::{Change, Head, NewTxn, Version};
use escrow_txn::{BusinessKey, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use crate::columns::micros;
use crate::timers::Effects;

/// A history longer than this is cut down to the attempts that count.
const HISTORY_BYTES_MAX: i64 = 16 * 1024;

/// Inserts a transaction. Whether its gid was free.
pub(crate) fn create(connection: &Connection, effects: &mut Effects, new: &NewTxn) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO txn (gid, version, write_id, pattern, status, created_at, updated_at, finished_at, next_run_at,
                          owner, attention, business_key, definition, added, progress, history)
         VALUES (:gid, :version, :write_id, :pattern, :status, :created_at, :updated_at, :finished_at, :next_run_at,
                 :owner, :attention, :business_key, :definition, x'', :progress, x'')
         ON CONFLICT (gid) DO NOTHING",
    )?;
    let inserted = statement.execute(named_params! {
        ":gid": new.gid.as_str(),
        ":version": Version::FIRST.0.cast_signed(),
        ":write_id": new.write.0.cast_signed(),
        ":pattern": tags::of_pattern(new.pattern),
        ":status": tags::of_status(new.head.status),
        ":created_at": micros(new.created_at),
        ":updated_at": micros(new.head.updated_at),
        ":finished_at": new.head.finished_at.map(micros),
        ":next_run_at": next_run_at(&new.head),
        ":owner": owner(&new.head),
        ":attention": new.head.attention,
        ":business_key": new.business_key.as_ref().map(BusinessKey::as_str),
        ":definition": &*new.definition,
        ":progress": &*new.progress,
    })?;
    if inserted > 0 {
        effects.stored(&new.gid, connection.last_insert_rowid(), &new.head);
    }
    Ok(inserted > 0)
}

/// What is final is never due, and nobody's: the indexes of unfinished work leave it out.
fn next_run_at(head: &Head) -> Option<i64> {
    head.next_run_at.filter(|_| !head.status.is_final()).map(micros)
}

fn owner(head: &Head) -> Option<i64> {
    head.owner.filter(|_| !head.status.is_final()).map(|owner| owner.0.cast_signed())
}

/// A change with its records encoded.
#[derive(Debug)]
pub(crate) struct Encoded {
    change: Change,
    add: Bytes,
    history: Bytes,
}

impl Encoded {
    pub(crate) fn new(change: Change) -> Self {
        let (add, history) = (codec::encode_branches(&change.add), codec::encode_attempts(&change.history));
        Self { change, add, history }
    }

    /// How much memory it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        self.change.progress.len() + self.add.len() + self.history.len()
    }
}

/// Applies a change. Returns the new version, or the one that stands in its way.
pub(crate) fn commit(
    connection: &Connection,
    effects: &mut Effects,
    encoded: &Encoded,
) -> rusqlite::Result<Result<Version, Option<Version>>> {
    let Encoded { change, add, history } = encoded;
    // `||` makes a text of two blobs, byte for byte.
    let mut statement = connection.prepare_cached(
        "UPDATE txn SET version = version + 1, write_id = :write_id, status = :status, updated_at = :updated_at,
                        finished_at = :finished_at, next_run_at = :next_run_at, owner = :owner, attention = :attention,
                        progress = :progress,
                        added = CASE WHEN :add IS NULL THEN added ELSE CAST(added || :add AS BLOB) END,
                        history = CASE WHEN :history IS NULL THEN history ELSE CAST(history || :history AS BLOB) END
         WHERE gid = :gid AND version = :expected
         RETURNING seq, length(history)",
    )?;
    let updated = statement.query_row(
        named_params! {
            ":gid": change.gid.as_str(),
            ":expected": change.expected.0.cast_signed(),
            ":write_id": change.write.0.cast_signed(),
            ":status": tags::of_status(change.head.status),
            ":updated_at": micros(change.head.updated_at),
            ":finished_at": change.head.finished_at.map(micros),
            ":next_run_at": next_run_at(&change.head),
            ":owner": owner(&change.head),
            ":attention": change.head.attention,
            ":progress": &*change.progress,
            ":add": (!add.is_empty()).then_some(&**add),
            ":history": (!history.is_empty()).then_some(&**history),
        },
        |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)),
    );
    let Some((seq, history_bytes)) = updated.optional()? else {
        let mut statement = connection.prepare_cached("SELECT version FROM txn WHERE gid = ?1")?;
        let current = statement.query_row([change.gid.as_str()], |row| row.get(0)).optional()?;
        return Ok(Err(current.map(|version: i64| Version(version.cast_unsigned()))));
    };
    if history_bytes > HISTORY_BYTES_MAX {
        cut_history(connection, seq)?;
    }
    effects.stored(&change.gid, seq, &change.head);
    Ok(Ok(change.expected.next()))
}

fn cut_history(connection: &Connection, seq: i64) -> rusqlite::Result<()> {
    let mut read = connection.prepare_cached("SELECT history FROM txn WHERE seq = ?1")?;
    let history: Vec<u8> = read.query_row([seq], |row| row.get(0))?;
    // Damage is kept as it is: whoever loads the transaction is told.
    if let Ok(last) = codec::last_attempts(&history) {
        connection.prepare_cached("UPDATE txn SET history = ?2 WHERE seq = ?1")?.execute(params![seq, last])?;
    }
    Ok(())
}

/// Removes up to `limit` transactions that became final before `final_before`, the oldest first; returns how many.
pub(crate) fn purge(connection: &Connection, final_before: Timestamp, limit: u32) -> rusqlite::Result<u32> {
    let [committed, aborted, stopped] = [Status::Committed, Status::Aborted, Status::Stopped].map(tags::of_status);
    let mut statement = connection.prepare_cached(
        "DELETE FROM txn WHERE seq IN (
             SELECT seq FROM txn WHERE finished_at < ?1 AND status IN (?2, ?3, ?4) ORDER BY finished_at LIMIT ?5)",
    )?;
    let removed = statement.execute(params![micros(final_before), committed, aborted, stopped, limit])?;
    // No more than `limit`.
    Ok(u32::try_from(removed).unwrap_or(limit))
}
