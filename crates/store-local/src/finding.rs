//! Checks of a whole database.

use std::path::{Path, PathBuf};

use escrow_store::StoreError;
use escrow_txn::Gid;
use rusqlite::Connection;

use crate::columns::{self, Stored};
use crate::database::Meta;
use crate::ledger::{self, Ledger};

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
    /// The rows are not those of which the database keeps sums.
    #[error("the rows are not those that the database keeps account of")]
    Sums,
}

/// Reads all of a database, and returns what is wrong with it: with its structure, with each index, and with each row.
/// `may_hold` is the filter over it.
pub(crate) fn check(connection: &Connection, file: &Path, may_hold: &dyn Fn(&Gid) -> bool) -> Vec<Finding> {
    let mut findings = Findings { file, found: Vec::new() };
    if let Err(error) = check_structure(connection, &mut findings) {
        findings.add(None, Problem::Database(error));
    }
    let kept = Meta::read(connection).and_then(|meta| Ledger::of(&meta));
    let checked = kept.and_then(|kept| {
        for index in kept.indexes() {
            ledger::prove(connection, index).unwrap_or_else(|error| findings.add(None, Problem::Database(error)));
        }
        let (found, readable) = check_rows(connection, may_hold, &mut findings, kept.empty())?;
        if found != kept.rows {
            findings.add(None, Problem::RowCount { kept: kept.rows, found });
        } else if readable.rows == found && readable != kept {
            findings.add(None, Problem::Sums);
        }
        Ok(())
    });
    checked.unwrap_or_else(|error| findings.add(None, Problem::Database(error)));
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

/// Returns how many rows there are, and the account of those that can be read.
fn check_rows(
    connection: &Connection,
    may_hold: &dyn Fn(&Gid) -> bool,
    findings: &mut Findings<'_>,
    mut readable: Ledger,
) -> rusqlite::Result<(u64, Ledger)> {
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
        match columns::stored(&gid, row) {
            Ok(Stored { txn, held }) => {
                readable.add(&txn, held);
                if let Err(error) = txn.decode() {
                    findings.add(Some(gid.clone()), Problem::Unreadable(error));
                }
            }
            Err(error) => findings.add(Some(gid.clone()), Problem::Unreadable(error)),
        }
        if !may_hold(&gid) {
            findings.add(Some(gid), Problem::NotInFilter);
        }
    }
    Ok((found, readable))
}
