//! How the columns of a row are written and read.

use escrow_store::codec::{self, CodecError, Records, tags};
use escrow_store::{StoreError, TxnSummary, Version, Versioned};
use escrow_txn::{BusinessKey, Gid, InvalidId, Timestamp, Txn};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::Failure;

/// A time as a column holds it. The last 292,000 years of time fall on one moment.
pub(crate) fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// A time from a column.
pub(crate) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(from_micros(row.get(column)?))
}

fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros.cast_unsigned())
}

/// A gid from a column.
pub(crate) fn gid(row: &Row<'_>, column: usize) -> rusqlite::Result<Gid> {
    Gid::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))
}

fn malformed(column: usize, error: InvalidId) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// What [`summary`] reads.
pub(crate) const SUMMARY: &str =
    "gid, pattern, status, created_at, updated_at, finished_at, next_run_at, business_key, attention";

/// A transaction in a list, from the columns [`SUMMARY`].
pub(crate) fn summary(row: &Row<'_>) -> Result<TxnSummary, StoreError> {
    let gid = gid(row, 0).map_err(Failure::of)?;
    let (pattern, status) = tags(row).map_err(Failure::of)?;
    let corrupt = |source| StoreError::Corrupt { gid: gid.clone(), source };
    let (pattern, status) = (tags::to_pattern(pattern).map_err(corrupt)?, tags::to_status(status).map_err(corrupt)?);
    let read = || -> rusqlite::Result<_> {
        let business_key = row.get_ref(7)?.as_str_or_null()?.map(BusinessKey::parse).transpose();
        Ok(TxnSummary {
            gid: gid.clone(),
            pattern,
            status,
            created_at: timestamp(row, 3)?,
            updated_at: timestamp(row, 4)?,
            finished_at: row.get::<_, Option<i64>>(5)?.map(from_micros),
            next_run_at: row.get::<_, Option<i64>>(6)?.map(from_micros),
            business_key: business_key.map_err(|error| malformed(7, error))?,
            attention: row.get(8)?,
        })
    };
    read().map_err(|error| unreadable(&gid, error))
}

fn tags(row: &Row<'_>) -> rusqlite::Result<(u8, u8)> {
    Ok((row.get(1)?, row.get(2)?))
}

/// The transaction under a gid.
pub(crate) fn load(connection: &Connection, gid: &Gid) -> Result<Option<Versioned<Txn>>, StoreError> {
    let found = connection
        .prepare_cached("SELECT version, definition, added, progress, history FROM txn WHERE gid = ?1")
        .and_then(|mut statement| statement.query_row([gid.as_str()], |row| Ok(decode(gid, row))).optional());
    match found {
        Ok(Some(txn)) => txn.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(unreadable(gid, error)),
    }
}

fn decode(gid: &Gid, row: &Row<'_>) -> Result<Versioned<Txn>, StoreError> {
    let blob = |column| row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from);
    let read = || -> rusqlite::Result<_> {
        let records = Records { definition: blob(1)?, added: blob(2)?, progress: blob(3)?, history: blob(4)? };
        Ok((Version(row.get::<_, i64>(0)?.cast_unsigned()), records))
    };
    let (version, records) = read().map_err(|error| unreadable(gid, error))?;
    Ok(Versioned { version, value: codec::assemble(gid, &records)? })
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
