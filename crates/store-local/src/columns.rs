//! How the columns of a row are written and read. The table `txn` has the same columns in every database of the store.

use bytes::Bytes;
use escrow_store::codec::{CodecError, tags};
use escrow_store::{Head, OwnerEpoch, StoreError, StoredTxn, TxnSummary, Version, WriteId};
use escrow_txn::{BusinessKey, Gid, InvalidId, Timestamp};
use rusqlite::types::{FromSql, Type};
use rusqlite::{Row, Statement, params};

use crate::database::Failure;

/// A time as a column holds it. The last 292,000 years of time fall on one moment.
pub(crate) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// A time from a column.
pub(crate) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(from_micros(row.get(column)?))
}

/// A time from a column's value.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros.cast_unsigned())
}

fn optional_timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(from_micros))
}

/// A gid from a column.
pub(crate) fn gid(row: &Row<'_>, column: usize) -> rusqlite::Result<Gid> {
    Gid::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))
}

fn business_key(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<BusinessKey>> {
    let key = row.get_ref(column)?.as_str_or_null()?.map(BusinessKey::parse).transpose();
    key.map_err(|error| malformed(column, error))
}

fn malformed(column: usize, error: InvalidId) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// What [`stored`] reads.
pub(crate) const STORED: &str = "gid, version, write_id, pattern, status, created_at, updated_at, finished_at, \
     next_run_at, owner, attention, business_key, definition, added, progress, history";

/// A statement for [`write`]: a row that is there already is replaced if the condition holds, and left alone otherwise.
macro_rules! upsert {
    ($condition:literal) => {
        concat!(
            "INSERT INTO txn (gid, version, write_id, pattern, status, created_at, updated_at, finished_at, next_run_at, \
             owner, attention, business_key, definition, added, progress, history) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
             ON CONFLICT (gid) DO UPDATE SET version = excluded.version, write_id = excluded.write_id, \
             pattern = excluded.pattern, status = excluded.status, created_at = excluded.created_at, \
             updated_at = excluded.updated_at, finished_at = excluded.finished_at, next_run_at = excluded.next_run_at, \
             owner = excluded.owner, attention = excluded.attention, business_key = excluded.business_key, \
             definition = excluded.definition, added = excluded.added, progress = excluded.progress, \
             history = excluded.history WHERE ",
            $condition
        )
    };
}
pub(crate) use upsert;

/// Runs a statement that was made by [`upsert`].
pub(crate) fn write(statement: &mut Statement<'_>, txn: &StoredTxn) -> rusqlite::Result<usize> {
    let head = &txn.head;
    statement.execute(params![
        txn.gid.as_str(),
        txn.version.0.cast_signed(),
        txn.write.0.cast_signed(),
        tags::of_pattern(txn.pattern),
        tags::of_status(head.status),
        micros(txn.created_at),
        micros(head.updated_at),
        head.finished_at.map(micros),
        head.next_run_at.map(micros),
        head.owner.map(|owner| owner.0.cast_signed()),
        head.attention,
        txn.business_key.as_ref().map(BusinessKey::as_str),
        &*txn.definition,
        &*txn.added,
        &*txn.progress,
        &*txn.history,
    ])
}

/// The transaction under this gid, from the columns [`STORED`].
///
/// # Errors
/// [`StoreError::Corrupt`] of this gid.
pub(crate) fn stored(gid: &Gid, row: &Row<'_>) -> Result<StoredTxn, StoreError> {
    let corrupt = |source| StoreError::Corrupt { gid: gid.clone(), source };
    let found = self::gid(row, 0).map_err(|error| unreadable(gid, error))?;
    if found != *gid {
        return Err(corrupt(CodecError::OtherTransaction { found }));
    }
    let (pattern, status) = two(row, 3).map_err(|error| unreadable(gid, error))?;
    let (pattern, status) = (tags::to_pattern(pattern).map_err(corrupt)?, tags::to_status(status).map_err(corrupt)?);
    let read = || -> rusqlite::Result<_> {
        Ok(StoredTxn {
            gid: gid.clone(),
            version: version(row, 1)?,
            write: WriteId(row.get::<_, i64>(2)?.cast_unsigned()),
            pattern,
            created_at: timestamp(row, 5)?,
            business_key: business_key(row, 11)?,
            head: Head {
                status,
                next_run_at: optional_timestamp(row, 8)?,
                owner: row.get::<_, Option<i64>>(9)?.map(|owner| OwnerEpoch(owner.cast_unsigned())),
                attention: row.get(10)?,
                updated_at: timestamp(row, 6)?,
                finished_at: optional_timestamp(row, 7)?,
            },
            definition: blob(row, 12)?,
            added: blob(row, 13)?,
            progress: blob(row, 14)?,
            history: blob(row, 15)?,
        })
    };
    read().map_err(|error| unreadable(gid, error))
}

/// A version from a column.
pub(crate) fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<Version> {
    Ok(Version(row.get::<_, i64>(column)?.cast_unsigned()))
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

/// Two columns that stand side by side.
fn two<T: FromSql>(row: &Row<'_>, first: usize) -> rusqlite::Result<(T, T)> {
    Ok((row.get(first)?, row.get(first + 1)?))
}

/// What [`summary`] reads.
pub(crate) const SUMMARY: &str =
    "gid, pattern, status, created_at, updated_at, finished_at, next_run_at, business_key, attention";

/// A transaction in a list, from the columns [`SUMMARY`].
///
/// # Errors
/// [`StoreError::Corrupt`], and [`StoreError::Down`] if not even the gid can be read.
pub(crate) fn summary(row: &Row<'_>) -> Result<TxnSummary, StoreError> {
    let gid = gid(row, 0).map_err(Failure::of)?;
    let corrupt = |source| StoreError::Corrupt { gid: gid.clone(), source };
    let (pattern, status) = two(row, 1).map_err(|error| unreadable(&gid, error))?;
    let (pattern, status) = (tags::to_pattern(pattern).map_err(corrupt)?, tags::to_status(status).map_err(corrupt)?);
    let read = || -> rusqlite::Result<_> {
        Ok(TxnSummary {
            gid: gid.clone(),
            pattern,
            status,
            created_at: timestamp(row, 3)?,
            updated_at: timestamp(row, 4)?,
            finished_at: optional_timestamp(row, 5)?,
            next_run_at: optional_timestamp(row, 6)?,
            business_key: business_key(row, 7)?,
            attention: row.get(8)?,
        })
    };
    read().map_err(|error| unreadable(&gid, error))
}

/// Damage to the file under one row is damage to that transaction; anything else is trouble of the store.
pub(crate) fn unreadable(gid: &Gid, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) | None => {
            StoreError::Corrupt { gid: gid.clone(), source: CodecError::Unreadable { source: Box::new(error) } }
        }
        Some(_) => Failure::of(error).into(),
    }
}
