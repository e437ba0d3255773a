use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use escrow_store::{StoreError, Unanswered};

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the store open.
    #[error("{path} is locked: the store is open already, in another process or in this one")]
    Locked {
        /// The lock file, or the database itself.
        path: PathBuf,
    },
    /// No database can have this name.
    #[error("{path} cannot be the name of a database: its lock file needs a name of its own")]
    BadName {
        /// The path.
        path: PathBuf,
    },
    /// A file or the directory cannot be made or read.
    #[error("cannot prepare {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There has been a database, and now there is none, or an empty file.
    #[error("{path} is gone or empty: bring it back; to begin from nothing, remove {lock} too")]
    DatabaseGone {
        /// The database.
        path: PathBuf,
        /// The lock file, which says that there has been one.
        lock: PathBuf,
    },
    /// The write-ahead log is damaged: SQLite would drop commits that were acknowledged.
    #[error("{path} is damaged at byte {offset}: opened as it is, commits that were acknowledged would be lost")]
    LogDamaged {
        /// The log.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// A newer version of this program has used the store.
    #[error(
        "{path} has schema version {found}; this program knows schemas up to {known}: start the version that wrote it"
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The schema version it has.
        found: i64,
        /// The newest schema version known here.
        known: i64,
    },
    /// It is some other program's database.
    #[error("{path} is a database, but not one of this program")]
    NotAStore {
        /// The database.
        path: PathBuf,
    },
    /// SQLite cannot open it.
    #[error("cannot open {path}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// Why a write did not happen, or may not have happened. Cheap to copy: one failure can be that of a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the disk is full")]
    DiskFull(#[source] Arc<rusqlite::Error>),
    #[error("the database reports an error")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    #[error("the commit failed, and the store with it")]
    CommitFailed(#[source] Arc<rusqlite::Error>),
    #[error("the queue has no room")]
    Busy,
    #[error("a commit failed earlier: the store takes no more writes until it is opened again")]
    Failed,
    #[error("the store's writer has ended")]
    WriterGone,
}

impl Failure {
    pub(crate) fn of_queue(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Busy => Self::Busy,
            Unanswered::Failed => Self::Failed,
            Unanswered::WriterGone => Self::WriterGone,
        }
    }

    pub(crate) fn of(error: rusqlite::Error) -> Self {
        let error = Arc::new(error);
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            Self::DiskFull(error)
        } else {
            Self::Sqlite(error)
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy => Self::Busy,
            // The writer can end between a COMMIT and its answers.
            Failure::CommitFailed(_) | Failure::WriterGone => Self::Unknown { source: failure.into() },
            Failure::DiskFull(_) | Failure::Sqlite(_) | Failure::Failed => Self::Down { source: failure.into() },
        }
    }
}
