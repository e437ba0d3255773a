use std::path::PathBuf;

use escrow_store::StoreError;
use escrow_txn::Gid;

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
    /// A row cannot be read.
    #[error("the transaction cannot be read")]
    Unreadable(#[source] StoreError),
    /// The filter in memory says that the transaction is not there.
    #[error("the filter denies the transaction")]
    NotInFilter,
    /// The index by gid does not lead to the row.
    #[error("the transaction is not found by its id")]
    NotFound,
    /// The count that is kept is wrong.
    #[error("{kept} rows are said to be there, and {found} are")]
    RowCount {
        /// What is kept.
        kept: u64,
        /// What is there.
        found: u64,
    },
}
