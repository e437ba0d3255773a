//! How the columns of a row are written and read. The table `txn` has the same columns in every database of the store.
//!
//! SQLite's pages have no checksums, so each row has two of its own: one over what stores look at, the *head*, and one over
//! the records too. Whatever is read of a row is compared with them.

use bytes::Bytes;
use escrow_store::codec::{CodecError, tags};
use escrow_store::{Head, OwnerEpoch, StoreError, StoredTxn, Version, WriteId};
use escrow_txn::{BusinessKey, Gid, InvalidId, Timestamp};
use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Statement, params_from_iter};

use crate::checksum::Checksum;
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

macro_rules! head {
    () => {
        "gid, version, write_id, pattern, status, created_at, updated_at, finished_at, next_run_at, owner, attention, \
         business_key, held, head_check"
    };
}

macro_rules! stored {
    () => {
        concat!(head!(), ", body_check, definition, added, progress, history")
    };
}

/// What [`head`] reads.
pub(crate) const HEAD: &str = head!();

/// What [`stored`] reads.
pub(crate) const STORED: &str = stored!();

/// A statement for [`write`]: a row that is there already is replaced.
pub(crate) const UPSERT: &str = concat!(
    "INSERT INTO txn (",
    stored!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
     ON CONFLICT (gid) DO UPDATE SET version = excluded.version, write_id = excluded.write_id, \
     pattern = excluded.pattern, status = excluded.status, created_at = excluded.created_at, \
     updated_at = excluded.updated_at, finished_at = excluded.finished_at, next_run_at = excluded.next_run_at, \
     owner = excluded.owner, attention = excluded.attention, business_key = excluded.business_key, \
     held = excluded.held, head_check = excluded.head_check, body_check = excluded.body_check, \
     definition = excluded.definition, added = excluded.added, progress = excluded.progress, \
     history = excluded.history"
);

/// The columns that `head_check` covers.
const HEAD_COLUMNS: usize = 13;

// Places in [`STORED`].
const HELD: usize = 12;
const HEAD_CHECK: usize = 13;
const BODY_CHECK: usize = 14;
const RECORDS: [usize; 4] = [15, 16, 17, 18];

/// A row of the table `txn`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    /// The transaction.
    pub(crate) txn: StoredTxn,
    /// Whether it was restored from a backup, and waits for an operator to release it.
    pub(crate) held: bool,
}

/// A row is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("the {part} that stands in the row is not what was written there")]
struct Altered {
    part: &'static str,
}

/// Runs the statement [`UPSERT`].
pub(crate) fn write(upsert: &mut Statement<'_>, txn: &StoredTxn, held: bool) -> rusqlite::Result<()> {
    let head = head_values(txn, held);
    let records = [&txn.definition, &txn.added, &txn.progress, &txn.history].map(|record| ValueRef::Blob(record));
    let head_check = Checksum::of(head);
    let checks = [head_check, head_check.with(records)].map(|check| ValueRef::Integer(check.to_column()));
    let values = head.into_iter().chain(checks).chain(records);
    upsert.execute(params_from_iter(values.map(ToSqlOutput::Borrowed))).map(drop)
}

/// What `head_check` covers.
fn head_values(txn: &StoredTxn, held: bool) -> [ValueRef<'_>; HEAD_COLUMNS] {
    let head = &txn.head;
    let time = |at: Option<Timestamp>| at.map_or(ValueRef::Null, |at| ValueRef::Integer(micros(at)));
    [
        ValueRef::Text(txn.gid.as_str().as_bytes()),
        ValueRef::Integer(txn.version.0.cast_signed()),
        ValueRef::Integer(txn.write.0.cast_signed()),
        ValueRef::Integer(tags::of_pattern(txn.pattern).into()),
        ValueRef::Integer(tags::of_status(head.status).into()),
        time(Some(txn.created_at)),
        time(Some(head.updated_at)),
        time(head.finished_at),
        time(head.next_run_at),
        head.owner.map_or(ValueRef::Null, |owner| ValueRef::Integer(owner.0.cast_signed())),
        ValueRef::Integer(head.attention.into()),
        txn.business_key.as_ref().map_or(ValueRef::Null, |key| ValueRef::Text(key.as_str().as_bytes())),
        ValueRef::Integer(held.into()),
    ]
}

/// The row of a gid.
///
/// # Errors
/// [`StoreError::Corrupt`] if anything in it is not as it was written.
pub(crate) fn find(connection: &Connection, gid: &Gid) -> Result<Option<Stored>, StoreError> {
    let sql = concat!("SELECT ", stored!(), " FROM txn INDEXED BY txn_gid WHERE gid = ?1");
    find_with(connection, sql, gid, stored)
}

/// The row of a gid, without its records, for whoever writes.
///
/// # Errors
/// [`StoreError::Corrupt`] within, if anything in what is read is not as it was written.
pub(crate) fn find_head(connection: &Connection, gid: &Gid) -> rusqlite::Result<Option<Stored>> {
    let sql = concat!("SELECT ", head!(), " FROM txn INDEXED BY txn_gid WHERE gid = ?1");
    find_with(connection, sql, gid, head).map_err(within)
}

/// An error of the store as one of SQLite, for whoever writes.
pub(crate) fn within(error: StoreError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

fn find_with<T>(
    connection: &Connection,
    sql: &str,
    gid: &Gid,
    read: impl Fn(&Gid, &Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(Failure::of)?;
    let found = statement.query_row([gid.as_str()], |row| Ok(read(gid, row))).optional();
    found.map_err(|error| unreadable(gid, error))?.transpose()
}

/// The row of this gid, from the columns [`HEAD`]: its records are left empty.
///
/// # Errors
/// [`StoreError::Corrupt`] of this gid.
pub(crate) fn head(gid: &Gid, row: &Row<'_>) -> Result<Stored, StoreError> {
    let corrupt = |source| StoreError::Corrupt { gid: gid.clone(), source };
    let found = self::gid(row, 0).map_err(|error| unreadable(gid, error))?;
    if found != *gid {
        return Err(corrupt(CodecError::OtherTransaction { found }));
    }
    let compared = head_of(row).and_then(|sum| compare(row, HEAD_CHECK, sum, "head"));
    compared.map_err(|error| unreadable(gid, error))?;
    let tag = |column| row.get::<_, u8>(column).map_err(|error| unreadable(gid, error));
    let (pattern, status) = (tag(3)?, tag(4)?);
    let (pattern, status) = (tags::to_pattern(pattern).map_err(corrupt)?, tags::to_status(status).map_err(corrupt)?);
    let read = || -> rusqlite::Result<_> {
        let txn = StoredTxn {
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
            definition: Bytes::new(),
            added: Bytes::new(),
            progress: Bytes::new(),
            history: Bytes::new(),
        };
        Ok(Stored { txn, held: row.get(HELD)? })
    };
    read().map_err(|error| unreadable(gid, error))
}

/// The row of this gid, from the columns [`STORED`].
///
/// # Errors
/// [`StoreError::Corrupt`] of this gid.
pub(crate) fn stored(gid: &Gid, row: &Row<'_>) -> Result<Stored, StoreError> {
    let Stored { mut txn, held } = head(gid, row)?;
    let mut read = || -> rusqlite::Result<()> {
        compare(row, BODY_CHECK, head_of(row)?.with_columns(row, RECORDS)?, "record")?;
        let [definition, added, progress, history] = RECORDS;
        (txn.definition, txn.added) = (blob(row, definition)?, blob(row, added)?);
        (txn.progress, txn.history) = (blob(row, progress)?, blob(row, history)?);
        Ok(())
    };
    read().map_err(|error| unreadable(gid, error))?;
    Ok(Stored { txn, held })
}

fn head_of(row: &Row<'_>) -> rusqlite::Result<Checksum> {
    Checksum::default().with_columns(row, 0..HEAD_COLUMNS)
}

fn compare(row: &Row<'_>, column: usize, sum: Checksum, part: &'static str) -> rusqlite::Result<()> {
    if row.get_ref(column)? == ValueRef::Integer(sum.to_column()) {
        return Ok(());
    }
    Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(Altered { part })))
}

/// A version from a column.
pub(crate) fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<Version> {
    Ok(Version(row.get::<_, i64>(column)?.cast_unsigned()))
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
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
