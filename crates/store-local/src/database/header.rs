//! The first bytes of a database's file, which SQLite believes without a doubt.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::make::{exists, with_suffix};
use super::{Damage, OpenError, Schema};
use crate::disk::{Disk, read_full_at};

const HEADER_BYTES: usize = 100;

const MAGIC: &[u8] = b"SQLite format 3\0";

/// Fields that have the same value in every database of a store, but for the first, which is the size of a page: with
/// another layout of its pages, or if it were vacuumed by itself, SQLite would write over what is there.
///
/// Nothing is set aside in a page; shares of it; the newest file format; no automatic vacuum of either kind; UTF-8; and what
/// is reserved.
const FIXED: [(usize, &[u8]); 6] = [
    (20, &[0, 64, 32, 32]),
    (44, &[0, 0, 0, 4]),
    (52, &[0, 0, 0, 0]),
    (56, &[0, 0, 0, 1]),
    (64, &[0, 0, 0, 0]),
    (72, &[0; 20]),
];

/// What was found before SQLite opened a file.
#[derive(Debug)]
pub(crate) struct Header {
    /// The length in bytes, if the database is all in this file.
    length: Option<u64>,
}

impl Header {
    /// Reads and checks a file that nobody has open: closing it takes SQLite's locks of this process away. That it is a database
    /// at all is for SQLite to say.
    pub(crate) fn read(disk: &Arc<dyn Disk>, path: &Path, schema: &Schema) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io { path: path.to_owned(), source };
        let file = disk.open(path).map_err(io_error)?;
        let mut bytes = [0; HEADER_BYTES];
        let read = read_full_at(&*file, &mut bytes, 0).map_err(io_error)?;
        let page_bytes = schema.page_bytes.to_be_bytes();
        let is_as_written = |(at, expected): (usize, &[u8])| bytes[at..at + expected.len()] == *expected;
        let fields = FIXED.into_iter().chain([(16, &page_bytes[2..])]);
        if read == HEADER_BYTES
            && bytes.starts_with(MAGIC)
            && let Some((at, _)) = fields.clone().find(|field| !is_as_written(*field))
        {
            return Err(OpenError::Damaged { path: path.to_owned(), source: Damage::Header { at } });
        }
        let length = file.len().map_err(io_error)?;
        let log = with_suffix(path, "-wal");
        let is_all = !exists(disk, &log)? || disk.open(&log).and_then(|log| log.len()).map_err(io_error)? == 0;
        Ok(Self { length: is_all.then_some(length) })
    }

    /// Compares the length with the pages that the database says to have.
    pub(crate) fn check_length(&self, connection: &Connection, path: &Path) -> Result<(), OpenError> {
        let expected = pages_bytes(connection).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        match self.length.filter(|found| *found != expected) {
            None => Ok(()),
            Some(found) => {
                Err(OpenError::Damaged { path: path.to_owned(), source: Damage::Length { expected, found } })
            }
        }
    }

    /// What was found out since, from the write-ahead log: the pages that the file has once all is carried over.
    pub(crate) fn with_log(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self { length: Some(pages_bytes(connection)?) })
    }
}

/// The bytes of all pages.
fn pages_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    Ok((number("PRAGMA page_count")? * number("PRAGMA page_size")?).unsigned_abs())
}
