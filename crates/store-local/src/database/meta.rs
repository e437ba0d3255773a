use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};

use super::Damage;
use crate::checksum::Checksum;

/// Where the check over all others stands.
pub(super) const CHECK: &str = "check";

/// A value that is large, and has a checksum of its own.
pub(crate) const FILTER: &str = "filter";

/// The schema as it was when it was made.
pub(super) const SCHEMA: &str = "schema";

/// What a database says about itself: the table `meta`, which is read and written as a whole.
///
/// No value in it can be altered, and no key go, without being noticed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meta(BTreeMap<String, Value>);

impl Meta {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`Damage`], if it is not what was written.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT key, value FROM meta WHERE key <> ?1")?;
        let rows = statement.query_map([FILTER], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut meta = Self(rows.collect::<rusqlite::Result<_>>()?);
        let kept = meta.0.remove(CHECK);
        if kept == Some(meta.check()) { Ok(meta) } else { Err(Damage::Meta.into()) }
    }

    /// Writes all of it.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.0.iter().try_for_each(|(key, value)| set(connection, key, value))?;
        set(connection, CHECK, &self.check())
    }

    fn check(&self) -> Value {
        let values = self.0.iter().flat_map(|(key, value)| [ValueRef::Text(key.as_bytes()), value.into()]);
        Value::Integer(Checksum::of(values).to_column())
    }

    /// A number that has to be there.
    ///
    /// # Errors
    /// [`Damage`].
    pub(crate) fn number(&self, key: &'static str) -> rusqlite::Result<i64> {
        self.find_number(key).ok_or_else(|| Damage::MetaLacks { key }.into())
    }

    /// A number that may be there.
    pub(crate) fn find_number(&self, key: &str) -> Option<i64> {
        match self.0.get(key)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A text that may be there.
    pub(crate) fn find_text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a value.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
}

fn set(connection: &Connection, key: &str, value: &Value) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![key, value]).map(drop)
}

/// Saves a filter, which says itself whether it is as it was saved.
pub(crate) fn save_filter(connection: &Connection, filter: Vec<u8>) -> rusqlite::Result<()> {
    set(connection, FILTER, &Value::Blob(filter))
}

/// The checksum of a schema: the text of every table and index, and where each begins.
pub(super) fn schema_check(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = statement.query(())?;
    let mut check = Checksum::default();
    while let Some(row) = rows.next()? {
        check = check.with_columns(row, 0..5)?;
    }
    Ok(check.to_column())
}
