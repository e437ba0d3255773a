//! What is done to an embedded store besides running on it: looking for damage, putting it right, backing up, restoring.

use std::path::{Path, PathBuf};

use escrow_store::SystemClock;
use escrow_store_local::{self as local, Backup, Checked, Contents, OpenError, Repaired};

use super::{OpenStoreError, blocking};
use crate::codes::Code;

/// Why there is no backup, or no store from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to read from, or no place to write to. Nothing was written.
    #[error(transparent)]
    Refused(#[from] OpenStoreError),
    /// What should be restored is no backup, or one that was not completed. Nothing was written.
    #[error("{path} holds no whole backup")]
    NotABackup {
        /// The directory.
        path: PathBuf,
    },
    /// The backup is not as it was written.
    #[error("the backup in {from} is damaged: use another one, and remove {to} if it is there")]
    Damaged {
        /// The backup.
        from: PathBuf,
        /// What was written to.
        to: PathBuf,
        /// Where and what.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It began, and did not come to its end.
    #[error("broken off: {to} holds a part of it, remove it and begin again")]
    BrokenOff {
        /// What was written to.
        to: PathBuf,
        /// Why.
        #[source]
        source: OpenStoreError,
    },
}

impl BackupError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::NotABackup { .. } => Code::NOT_A_BACKUP.as_str(),
            Self::Damaged { .. } => Code::STORE_DAMAGED.as_str(),
            Self::BrokenOff { source, .. } if source.stable() == Code::STORE_DAMAGED => source.code(),
            Self::BrokenOff { .. } => Code::BACKUP_INCOMPLETE.as_str(),
        }
    }

    fn of(error: OpenError, to: PathBuf) -> Self {
        let wrote_nothing = !to.read_dir().is_ok_and(|mut names| names.next().is_some());
        match error {
            OpenError::NotEmpty { .. } | OpenError::NotAStore { .. } | OpenError::IsBackup { .. } => {
                Self::Refused(error.into())
            }
            error if wrote_nothing => Self::Refused(error.into()),
            error => Self::BrokenOff { to, source: error.into() },
        }
    }
}

/// Reads everything in the embedded store in `dir`, which nobody may have open, and lists what is wrong.
///
/// # Errors
/// [`OpenStoreError`] if it cannot be read at all.
pub async fn check(dir: &Path) -> Result<Checked, OpenStoreError> {
    let dir = dir.to_owned();
    Ok(blocking(move || local::check(&dir, &SystemClock)).await?)
}

/// Makes the embedded store in `dir`, which nobody may have open, one that can be opened, after a copy of all its files. What
/// cannot be read is dropped; if anything is, everything unfinished is on hold afterwards.
///
/// # Errors
/// [`OpenStoreError`].
pub async fn repair(dir: &Path) -> Result<Repaired, OpenStoreError> {
    let dir = dir.to_owned();
    Ok(blocking(move || local::repair(&dir, &SystemClock)).await?)
}

/// Copies the embedded store in `dir` into the new directory `to`, while a coordinator runs on it or not.
///
/// # Errors
/// [`BackupError`].
pub async fn backup(dir: &Path, to: &Path) -> Result<Backup, BackupError> {
    let (dir, to) = (dir.to_owned(), to.to_owned());
    blocking(move || local::backup(&dir, &to).map_err(|error| BackupError::of(error, to))).await
}

/// Makes an embedded store in the new directory `dir` of the backup in `from`. Everything unfinished in it is on hold.
///
/// # Errors
/// [`BackupError`].
pub async fn restore(from: &Path, dir: &Path) -> Result<Contents, BackupError> {
    let (from, dir) = (from.to_owned(), dir.to_owned());
    blocking(move || match local::restore(&from, &dir, &SystemClock) {
        Err(OpenError::NotAStore { path }) => Err(BackupError::NotABackup { path }),
        Err(OpenError::Damaged { source, .. }) => Err(BackupError::Damaged { from, to: dir, source }),
        Err(gone @ OpenError::Gone { .. }) => Err(BackupError::Damaged { from, to: dir, source: gone.into() }),
        result => result.map_err(|error| BackupError::of(error, dir)),
    })
    .await
}
