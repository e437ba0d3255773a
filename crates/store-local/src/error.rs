use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use escrow_store::{StoreError, Unanswered};

use crate::keeper::KeeperError;
use crate::log::AppendError;

type Source = Box<dyn Error + Send + Sync>;

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the store open.
    #[error("{path} is locked: the store is open already, in another process or in this one")]
    Locked {
        /// The lock file.
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
    /// There has been a store, and a part of it is gone.
    #[error("{path} is gone: bring it back, or restore a backup; to begin from nothing, move the whole directory away")]
    Gone {
        /// What is gone.
        path: PathBuf,
    },
    /// A newer version of this program has used the store.
    #[error("{path} was written by a newer version of this program: start that version")]
    Newer {
        /// The file.
        path: PathBuf,
        /// What was found there.
        #[source]
        source: Source,
    },
    /// Something that was written and synced cannot be read any more.
    #[error(
        "the store in {dir} is damaged: `escrow store check {dir}` lists all of it, `escrow store repair {dir}` drops what \
         cannot be read"
    )]
    Damaged {
        /// The store.
        dir: PathBuf,
        /// Where and what.
        #[source]
        source: Source,
    },
    /// The files of the log cannot be used.
    #[error("the log in {dir} cannot be used")]
    Log {
        /// The store.
        dir: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// A SQLite file of the store cannot be used.
    #[error("the databases in {dir} cannot be used")]
    Database {
        /// The store.
        dir: PathBuf,
        /// Which, and why.
        #[source]
        source: Source,
    },
    /// A directory that is to be filled has something in it already.
    #[error("{path} is not empty")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing or something else stands there.
    #[error("{path} is no store of this program")]
    NotAStore {
        /// The directory or file.
        path: PathBuf,
    },
    /// It is a backup of a store.
    #[error("{path} is a backup, and no store: make one of it with `escrow restore {path} DIR`")]
    IsBackup {
        /// The directory.
        path: PathBuf,
    },
}

impl OpenError {
    pub(crate) fn of_database(dir: &Path, error: impl Into<Source>) -> Self {
        Self::Database { dir: dir.to_owned(), source: error.into() }
    }
}

/// Why a write did not happen, or may not have happened. Cheap to copy: one failure can be that of a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteFailure {
    #[error("the disk is full")]
    Full(#[source] Arc<AppendError>),
    #[error("the log cannot be written, and the store has failed")]
    LogFailed(#[source] Arc<AppendError>),
    #[error("the request is too large for the log")]
    TooLarge(#[source] Arc<AppendError>),
    #[error("the store's files cannot be kept in order")]
    Keeper(#[source] Arc<KeeperError>),
    #[error("the queue has no room")]
    Busy,
    #[error("a write failed earlier: the store takes no more writes until it is opened again")]
    Failed,
    #[error("the store's writer has ended")]
    WriterGone,
}

impl WriteFailure {
    pub(crate) fn of_log(error: AppendError) -> Self {
        match error {
            AppendError::Full(_) => Self::Full(Arc::new(error)),
            AppendError::TooLarge { .. } => Self::TooLarge(Arc::new(error)),
            AppendError::Failed(_) => Self::LogFailed(Arc::new(error)),
        }
    }

    pub(crate) fn of_queue(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Busy => Self::Busy,
            Unanswered::Failed => Self::Failed,
            Unanswered::WriterGone => Self::WriterGone,
        }
    }

    pub(crate) fn of_keeper(error: KeeperError) -> Self {
        Self::Keeper(Arc::new(error))
    }
}

impl From<WriteFailure> for StoreError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Busy => Self::Busy,
            // The writer can end between a sync and its answers.
            WriteFailure::LogFailed(_) | WriteFailure::WriterGone => Self::Unknown { source: failure.into() },
            _ => Self::Down { source: failure.into() },
        }
    }
}
