//! Everything that is stored, carried out of the tables in pieces and into them.

use std::num::NonZeroU32;

use bytes::Bytes;
use escrow_store::{Head, OwnerEpoch, Setting, StoreError, StoredTxn, Version, WriteId};
use escrow_txn::Gid;
use rusqlite::{Connection, Row, params};

use crate::columns;
use crate::error::Failure;

/// Up to `limit` transactions behind a gid, in gid order. Their records are not looked at.
pub(crate) fn export(
    connection: &Connection,
    after: Option<&Gid>,
    limit: NonZeroU32,
) -> Result<Vec<StoredTxn>, StoreError> {
    // What `columns::summary` reads stands first.
    let columns = format!("{}, version, write_id, owner, definition, added, progress, history", columns::SUMMARY);
    let sql = format!("SELECT {columns} FROM txn WHERE gid > ?1 ORDER BY gid LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(Failure::of)?;
    // No gid is empty.
    let after = after.map_or("", Gid::as_str);
    let mut rows = statement.query(params![after, limit.get()]).map_err(Failure::of)?;
    let mut txns = Vec::new();
    while let Some(row) = rows.next().map_err(Failure::of)? {
        txns.push(stored(row)?);
    }
    Ok(txns)
}

fn stored(row: &Row<'_>) -> Result<StoredTxn, StoreError> {
    let summary = columns::summary(row)?;
    let number = |column| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(column)?.cast_unsigned()) };
    let blob = |column| -> rusqlite::Result<Bytes> { Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?)) };
    let read = || -> rusqlite::Result<_> {
        Ok(StoredTxn {
            gid: summary.gid.clone(),
            version: Version(number(9)?),
            write: WriteId(number(10)?),
            pattern: summary.pattern,
            created_at: summary.created_at,
            business_key: summary.business_key.clone(),
            head: Head {
                status: summary.status,
                next_run_at: summary.next_run_at,
                owner: row.get::<_, Option<i64>>(11)?.map(|owner| OwnerEpoch(owner.cast_unsigned())),
                attention: summary.attention,
                updated_at: summary.updated_at,
                finished_at: summary.finished_at,
            },
            definition: blob(12)?,
            added: blob(13)?,
            progress: blob(14)?,
            history: blob(15)?,
        })
    };
    read().map_err(|error| columns::unreadable(&summary.gid, error))
}

/// All settings, by category and key.
pub(crate) fn export_settings(connection: &Connection) -> Result<Vec<(String, Setting)>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let sql = "SELECT category, key, version, value FROM setting ORDER BY category, key";
        let mut statement = connection.prepare_cached(sql)?;
        let setting = |row: &Row<'_>| {
            let value: Vec<u8> = row.get(3)?;
            let version = Version(row.get::<_, i64>(2)?.cast_unsigned());
            Ok((row.get(0)?, Setting { key: row.get(1)?, value: value.into(), version }))
        };
        statement.query_map((), setting)?.collect()
    };
    Ok(read().map_err(Failure::of)?)
}

/// Writes settings with their versions, each in place of the one that has its key.
pub(crate) fn import_settings(connection: &Connection, settings: &[(String, Setting)]) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO setting (category, key, version, value) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    for (category, Setting { key, value, version }) in settings {
        statement.execute(params![category, key, version.0.cast_signed(), &**value])?;
    }
    Ok(())
}
