//! The table of settings.

use std::num::NonZeroU32;

use escrow_store::{Setting, StoreError, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Failure;

/// The value under a key.
pub(crate) fn get(connection: &Connection, category: &str, key: &str) -> Result<Option<Setting>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let sql = "SELECT key, value, version FROM setting WHERE category = ?1 AND key = ?2";
        connection.prepare_cached(sql)?.query_row([category, key], setting).optional()
    };
    Ok(read().map_err(Failure::of)?)
}

/// The first of a category behind a key, in key order.
pub(crate) fn scan(
    connection: &Connection,
    category: &str,
    after: Option<&str>,
    limit: NonZeroU32,
) -> Result<Vec<Setting>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let (behind, key) = after.map_or((">=", ""), |key| (">", key));
        let columns = "SELECT key, value, version FROM setting";
        let sql = format!("{columns} WHERE category = ?1 AND key {behind} ?2 ORDER BY key LIMIT ?3");
        connection.prepare_cached(&sql)?.query_map(params![category, key, limit.get()], setting)?.collect()
    };
    Ok(read().map_err(Failure::of)?)
}

fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    let value: Vec<u8> = row.get(1)?;
    Ok(Setting { key: row.get(0)?, value: value.into(), version: Version(row.get::<_, i64>(2)?.cast_unsigned()) })
}

/// Writes a setting. Returns the new version, or the one that stands in the way.
pub(crate) fn put(
    connection: &Connection,
    category: &str,
    key: &str,
    value: &[u8],
    expected: Option<Version>,
) -> rusqlite::Result<Result<Version, Option<Version>>> {
    let current = version(connection, category, key)?;
    if current != expected {
        return Ok(Err(current));
    }
    let version = current.map_or(Version::FIRST, Version::next);
    connection
        .prepare_cached("INSERT OR REPLACE INTO setting (category, key, version, value) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![category, key, version.0.cast_signed(), value])?;
    Ok(Ok(version))
}

/// Removes a setting. Returns nothing, or the version that stands in the way.
pub(crate) fn delete(
    connection: &Connection,
    category: &str,
    key: &str,
    expected: Version,
) -> rusqlite::Result<Result<(), Option<Version>>> {
    let current = version(connection, category, key)?;
    if current != Some(expected) {
        return Ok(Err(current));
    }
    connection.prepare_cached("DELETE FROM setting WHERE category = ?1 AND key = ?2")?.execute([category, key])?;
    Ok(Ok(()))
}

fn version(connection: &Connection, category: &str, key: &str) -> rusqlite::Result<Option<Version>> {
    let mut statement = connection.prepare_cached("SELECT version FROM setting WHERE category = ?1 AND key = ?2")?;
    let version = statement.query_row([category, key], |row| row.get::<_, i64>(0)).optional()?;
    Ok(version.map(|version| Version(version.cast_unsigned())))
}
