//! What each kind of write does to the tables. All of it runs on the writer, inside its transaction.

use std::sync::LazyLock;

use escrow_store::codec::{self, tags};
use escrow_store::{EncodedChange, HISTORY_BYTES_MAX, Head, StoredTxn, Version};
use escrow_txn::{BusinessKey, Status, Timestamp};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use crate::columns::micros;
use crate::timers::Effects;

/// All columns but `seq`, and their values as parameters.
const COLUMNS: &str = "gid, version, write_id, pattern, status, created_at, updated_at, finished_at, next_run_at,
                       owner, attention, business_key, definition, added, progress, history";
const VALUES: &str = ":gid, :version, :write_id, :pattern, :status, :created_at, :updated_at, :finished_at,
                      :next_run_at, :owner, :attention, :business_key, :definition, :added, :progress, :history";

/// Inserts a transaction. Whether its gid was free.
pub(crate) fn create(connection: &Connection, effects: &mut Effects, new: &StoredTxn) -> rusqlite::Result<bool> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("INSERT INTO txn ({COLUMNS}) VALUES ({VALUES}) ON CONFLICT (gid) DO NOTHING RETURNING seq")
    });
    let seq = insert(connection, &SQL, new)?;
    if let Some(seq) = seq {
        effects.stored(&new.gid, seq, &new.head);
    }
    Ok(seq.is_some())
}

/// Inserts transactions as they are, each in place of the one that has its gid.
pub(crate) fn import(connection: &Connection, effects: &mut Effects, txns: &[StoredTxn]) -> rusqlite::Result<()> {
    let replaced = COLUMNS.split(',').map(str::trim).map(|column| format!("{column} = excluded.{column}"));
    let replaced = replaced.collect::<Vec<_>>().join(", ");
    let sql = format!(
        "INSERT INTO txn ({COLUMNS}) VALUES ({VALUES}) ON CONFLICT (gid) DO UPDATE SET {replaced} RETURNING seq"
    );
    for txn in txns {
        if let Some(seq) = insert(connection, &sql, txn)? {
            effects.stored(&txn.gid, seq, &txn.head);
        }
    }
    Ok(())
}

/// Runs an insert; the `seq` of the row that it wrote, if it wrote one.
fn insert(connection: &Connection, sql: &str, txn: &StoredTxn) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(sql)?;
    let values = named_params! {
        ":gid": txn.gid.as_str(),
        ":version": txn.version.0.cast_signed(),
        ":write_id": txn.write.0.cast_signed(),
        ":pattern": tags::of_pattern(txn.pattern),
        ":status": tags::of_status(txn.head.status),
        ":created_at": micros(txn.created_at),
        ":updated_at": micros(txn.head.updated_at),
        ":finished_at": txn.head.finished_at.map(micros),
        ":next_run_at": next_run_at(&txn.head),
        ":owner": owner(&txn.head),
        ":attention": txn.head.attention,
        ":business_key": txn.business_key.as_ref().map(BusinessKey::as_str),
        ":definition": &*txn.definition,
        ":added": &*txn.added,
        ":progress": &*txn.progress,
        ":history": &*txn.history,
    };
    statement.query_row(values, |row| row.get(0)).optional()
}

/// What is final is never due, and nobody's: the indexes of unfinished work leave it out.
fn next_run_at(head: &Head) -> Option<i64> {
    head.next_run_at.filter(|_| !head.status.is_final()).map(micros)
}

fn owner(head: &Head) -> Option<i64> {
    head.owner.filter(|_| !head.status.is_final()).map(|owner| owner.0.cast_signed())
}

/// Applies a change. Returns the new version, or the one that stands in its way.
pub(crate) fn commit(
    connection: &Connection,
    effects: &mut Effects,
    change: &EncodedChange,
) -> rusqlite::Result<Result<Version, Option<Version>>> {
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
            ":add": (!change.added.is_empty()).then_some(&*change.added),
            ":history": (!change.history.is_empty()).then_some(&*change.history),
        },
        |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)),
    );
    let Some((seq, history_bytes)) = updated.optional()? else {
        let mut statement = connection.prepare_cached("SELECT version FROM txn WHERE gid = ?1")?;
        let current = statement.query_row([change.gid.as_str()], |row| row.get(0)).optional()?;
        return Ok(Err(current.map(|version: i64| Version(version.cast_unsigned()))));
    };
    if history_bytes > HISTORY_BYTES_MAX as i64 {
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
