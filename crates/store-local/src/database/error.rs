use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use escrow_store::StoreError;
use rusqlite::ErrorCode;

use crate::identity::StoreId;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A file or the directory cannot be made, read or removed.
    #[error("cannot prepare {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory cannot be synced: whether a file is in it is not known.
    #[error("cannot sync the directory of {path}")]
    Sync {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite cannot open it: it is damaged, or the disk fails.
    #[error("cannot open {path}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// What it says about itself cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// It was being closed when the store ended, and that cannot be finished.
    #[error("cannot close {path}")]
    Close {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: Failure,
    },
    /// It is not as it was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Damage,
    },
    /// It is some other program's database, or an empty file.
    #[error("{path} is not a database of this kind of store")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another store.
    #[error("{path} belongs to store {found}, not to {expected}")]
    OtherStore {
        /// The database.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: StoreId,
    },
    /// A newer version of this program has used it.
    #[error(
        "{path} has schema version {found}; this program knows schemas up to {known}: start the version that wrote it"
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The schema version it has.
        found: i64,
        /// The newest schema version known here.
        known: usize,
    },
}

/// What in a database is not as it was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// A field of SQLite's header has another value than it has in every database of a store.
    #[error("the header of the file is altered at byte {at}")]
    Header {
        /// Where the field begins.
        at: usize,
    },
    /// The file is longer or shorter than its pages.
    #[error("the file has {found} bytes, and its pages have {expected}")]
    Length {
        /// By its header.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The text of a table or an index, or the place where it begins, is another one.
    #[error("the schema is altered")]
    Schema,
    /// The table `meta` is altered.
    #[error("what the database says about itself is altered")]
    Meta,
    /// A row is missing in the table `meta`.
    #[error("the database does not say {key:?} about itself")]
    MetaLacks {
        /// Its key.
        key: &'static str,
    },
    /// Entries of an index are missing or altered.
    #[error("the index {name} does not hold what was put into it")]
    Index {
        /// The index.
        name: &'static str,
    },
    /// Settings are missing or altered.
    #[error("the settings are not those that were saved")]
    Settings,
}

impl From<Damage> for rusqlite::Error {
    fn from(damage: Damage) -> Self {
        Self::ToSqlConversionFailure(Box::new(damage))
    }
}

/// Why a write did not happen, or may not have happened. Cheap to copy.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The disk is full. Nothing happened; the same can be tried again once there is room.
    #[error("the disk is full")]
    Full(#[source] Arc<dyn Error + Send + Sync>),
    /// A commit or a checkpoint failed: it is not known what is on the disk, and the store has to end.
    #[error("a database could not be made durable")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The database or its directory reports something else. Nothing happened.
    #[error("the database reports an error")]
    Sqlite(#[source] Arc<dyn Error + Send + Sync>),
}

/// A sync can fail in places where nothing of ours is written, such as a change of the journal's mode.
const SYNC_ERRORS: [i32; 2] = [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC];

impl Failure {
    /// An error outside of commits and checkpoints.
    pub(crate) fn of(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(code) if code.code == ErrorCode::DiskFull => Self::Full(Arc::new(error)),
            Some(code) if SYNC_ERRORS.contains(&code.extended_code) => Self::Failed(Arc::new(error)),
            _ => Self::Sqlite(Arc::new(error)),
        }
    }

    /// An error of a commit or a checkpoint.
    pub(crate) fn of_sync(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // Out of space is found while writing, before the sync: what was written counts for nothing.
            Some(ErrorCode::DiskFull) => Self::Full(Arc::new(error)),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Sqlite(Arc::new(error)),
            _ => Self::Failed(Arc::new(error)),
        }
    }

    /// An error of the directory or of a file in it, before anything had to become durable.
    pub(crate) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(Arc::new(error)),
            _ => Self::Sqlite(Arc::new(error)),
        }
    }

    /// A directory could not be synced.
    pub(crate) fn of_io_sync(error: io::Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Sqlite { source, .. } => Self::of(source),
            OpenError::Io { source, .. } => Self::of_io(source),
            OpenError::Sync { source, .. } => Self::of_io_sync(source),
            error => Self::Sqlite(Arc::new(error)),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Failed(_) => Self::Unknown { source: failure.into() },
            Failure::Full(_) | Failure::Sqlite(_) => Self::Down { source: failure.into() },
        }
    }
}
