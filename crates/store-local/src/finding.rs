//! Checks of a whole database.

use std::path::{Path, PathBuf};

use escrow_store::StoreError;
use escrow_txn::Gid;
use rusqlite::Connection;

use crate::columns;

/// Something that a check found to be wrong.
#[derive(Debug)]
pub(crate) struct Finding {
    /// In which file.
    pub(crate) file: PathBuf,
    /// With which transaction; `None`: with the file.
    pub(crate) gid: Option<Gid>,
    /// What.
    pub(crate) problem: Problem,
}

impl Finding {
    /// A file cannot be read at all.
    pub(crate) fn of_file(file: &Path, error: StoreError) -> Self {
        Self { file: file.to_owned(), gid: None, problem: Problem::Unreadable(error) }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The database does not hold together.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// What SQLite says.
        what: String,
    },
    /// The database cannot be read.
    #[error("the database cannot be read")]
    Database(#[source] rusqlite::Error),
    /// A row, or the whole file, cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] StoreError),
    /// The filter in memory says that the transaction is not there.
    #[error("the filter denies the transaction")]
    NotInFilter,
    /// The count that is kept is wrong.
    #[error("{kept} rows are said to be there, and {found} are")]
    RowCount {
        /// What is kept.
        kept: u64,
        /// What is there.
        found: u64,
    },
}

/// Reads all of a database, and returns what is wrong with it: with its structure, and with each row. `kept` is the number of
/// rows that it says it has, and `may_hold` the filter over it.
pub(crate) fn check(connection: &Connection, file: &Path, kept: u64, may_hold: &dyn Fn(&Gid) -> bool) -> Vec<Finding> {
    let mut findings = Findings { file, found: Vec::new() };
    if let Err(error) = check_structure(connection, &mut findings) {
        findings.add(None, Problem::Database(error));
    }
    match check_rows(connection, may_hold, &mut findings) {
        Ok(found) if found != kept => findings.add(None, Problem::RowCount { kept, found }),
        Ok(_) => {}
        Err(error) => findings.add(None, Problem::Database(error)),
    }
    findings.found
}

struct Findings<'a> {
    file: &'a Path,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, gid: Option<Gid>, problem: Problem) {
        self.found.push(Finding { file: self.file.to_owned(), gid, problem });
    }
}

fn check_structure(connection: &Connection, findings: &mut Findings<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let what: String = row.get(0)?;
        if what != "ok" {
            findings.add(None, Problem::Damaged { what });
        }
    }
    Ok(())
}

/// Returns how many rows there are.
fn check_rows(
    connection: &Connection,
    may_hold: &dyn Fn(&Gid) -> bool,
    findings: &mut Findings<'_>,
) -> rusqlite::Result<u64> {
    let columns = columns::STORED;
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM txn NOT INDEXED ORDER BY seq"))?;
    let mut rows = statement.query(())?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        found += 1;
        let gid = match columns::gid(row, 0) {
            Ok(gid) => gid,
            Err(error) => {
                findings.add(None, Problem::Database(error));
                continue;
            }
        };
        if let Err(error) = columns::stored(&gid, row).and_then(|txn| txn.decode()) {
            findings.add(Some(gid.clone()), Problem::Unreadable(error));
        }
        if !may_hold(&gid) {
            findings.add(Some(gid), Problem::NotInFilter);
        }
    }
    Ok(found)
}
