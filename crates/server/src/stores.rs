//! Which store a coordinator runs on, how stores are opened, and what is done to them while no coordinator has them open.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use escrow_store::{Backend, Clock};
use escrow_store_local::LocalStore;
use escrow_store_sqlite::SqliteStore;

use crate::codes::Code;

mod copy;
mod embedded;
mod mark;

pub use copy::{CopyError, CopyStep, Tally, copy};
pub use embedded::{BackupError, backup, check, repair, restore};
pub use escrow_store_local::{Backup, Checked, Contents, Finding, Repaired};

/// The database of a coordinator that keeps its transactions in SQLite in its data directory, as all once did.
const DATABASE: &str = "escrow.db";
/// The file that every embedded store has in its directory.
const IDENTITY: &str = "escrow.id";
/// Its lock, which is not empty once there has been a store.
const EMBEDDED_LOCK: &str = "store.lock";

/// A store, as settings and commands name it: `sqlite:FILE` or `local:DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// The embedded store in this directory.
    Local(PathBuf),
    /// One SQLite database.
    Sqlite(PathBuf),
}

/// The text names no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no store: it must be {EXPECTED}")]
pub struct InvalidStore {
    text: String,
}

/// What a text that names a store looks like.
pub(crate) const EXPECTED: &str = "sqlite:FILE or local:DIR";

impl FromStr for StoreChoice {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        match text.split_once(':') {
            Some(("local", dir)) if !dir.is_empty() => Ok(Self::Local(dir.into())),
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            _ => Err(InvalidStore { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(dir) => write!(f, "local:{}", dir.display()),
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
        }
    }
}

impl StoreChoice {
    /// Where it is: a directory, or a file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Local(path) | Self::Sqlite(path) => path,
        }
    }

    /// Whether there is such a store.
    fn exists(&self) -> bool {
        match self {
            Self::Local(dir) => dir.join(IDENTITY).exists(),
            Self::Sqlite(file) => file.metadata().is_ok_and(|found| found.is_file() && found.len() > 0),
        }
    }

    /// The store of a coordinator that names none.
    pub(crate) fn default_in(data: &Path) -> Self {
        Self::Local(data.to_owned())
    }
}

/// Why a store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// See [`escrow_store_sqlite::OpenError`].
    #[error(transparent)]
    Sqlite(#[from] escrow_store_sqlite::OpenError),
    /// See [`escrow_store_local::OpenError`].
    #[error(transparent)]
    Local(#[from] escrow_store_local::OpenError),
    /// The data directory holds the transactions of another kind of store.
    #[error(
        "{database} holds the transactions: go on with it with --store sqlite:{database}, or carry them over with \
         escrow store copy sqlite:{database} local:{data}"
    )]
    OtherStore {
        /// The database with the transactions.
        database: PathBuf,
        /// The data directory.
        data: PathBuf,
    },
    /// A copy into this store has not come to its end.
    #[error("a copy into {store} was broken off: it holds a part of what it should; copy again, which begins anew")]
    PartOfACopy {
        /// The copy.
        store: StoreChoice,
    },
}

impl OpenStoreError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        self.stable().as_str()
    }

    pub(crate) fn stable(&self) -> Code {
        match self {
            Self::Sqlite(error) => of_sqlite(error),
            Self::Local(error) => of_local(error),
            Self::OtherStore { .. } => Code::OTHER_STORE,
            Self::PartOfACopy { .. } => Code::COPY_INCOMPLETE,
        }
    }
}

fn of_sqlite(error: &escrow_store_sqlite::OpenError) -> Code {
    use escrow_store_sqlite::OpenError;
    match error {
        OpenError::Locked { .. } => Code::STORE_LOCKED,
        OpenError::NewerSchema { .. } => Code::STORE_NEWER,
        OpenError::NotAStore { .. } => Code::NOT_A_STORE,
        OpenError::DatabaseGone { .. } => Code::STORE_GONE,
        OpenError::LogDamaged { .. } => Code::STORE_DAMAGED,
        _ => Code::STORE_UNUSABLE,
    }
}

fn of_local(error: &escrow_store_local::OpenError) -> Code {
    use escrow_store_local::OpenError;
    match error {
        OpenError::Locked { .. } => Code::STORE_LOCKED,
        OpenError::Newer { .. } => Code::STORE_NEWER,
        OpenError::NotAStore { .. } | OpenError::IsBackup { .. } => Code::NOT_A_STORE,
        OpenError::Gone { .. } => Code::STORE_GONE,
        OpenError::Damaged { .. } => Code::STORE_DAMAGED,
        OpenError::NotEmpty { .. } => Code::NOT_EMPTY,
        _ => Code::STORE_UNUSABLE,
    }
}

/// Opens a store, and makes it if it is not there.
pub(crate) async fn open(choice: &StoreChoice, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>, OpenStoreError> {
    if mark::is_on(choice) {
        return Err(OpenStoreError::PartOfACopy { store: choice.clone() });
    }
    open_any(choice, clock).await
}

/// Opens a store, though it may hold a part of a copy.
async fn open_any(choice: &StoreChoice, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>, OpenStoreError> {
    let choice = choice.clone();
    blocking(move || -> Result<Arc<dyn Backend>, OpenStoreError> {
        match choice {
            StoreChoice::Sqlite(file) => Ok(Arc::new(SqliteStore::open(&file, clock)?)),
            StoreChoice::Local(dir) => Ok(Arc::new(LocalStore::open(&dir, clock)?)),
        }
    })
    .await
}

/// What reads and syncs files must not hold up the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Opens the store of a coordinator that names none. One that has its transactions in SQLite in the same directory is told so:
/// it would seem to have lost them.
pub(crate) async fn open_default(data: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>, OpenStoreError> {
    let choice = StoreChoice::default_in(data);
    if let StoreChoice::Local(dir) = &choice {
        refuse_other_store(dir)?;
    }
    open(&choice, clock).await
}

/// Refuses a directory with a SQLite store and without an embedded one. Where an embedded one has been, the SQLite store is
/// what it was copied from, and not to be gone on with.
fn refuse_other_store(data: &Path) -> Result<(), OpenStoreError> {
    let database = data.join(DATABASE);
    let has_sqlite = database.exists() && database.with_extension("lock").exists();
    let had_embedded = data.join(EMBEDDED_LOCK).metadata().is_ok_and(|found| found.len() > 0);
    if has_sqlite && !had_embedded && !StoreChoice::Local(data.to_owned()).exists() {
        return Err(OpenStoreError::OtherStore { database, data: data.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use escrow_store::SystemClock;

    use super::*;

    #[test]
    fn a_store_is_named_by_its_kind_and_place() {
        for (text, choice) in [
            ("sqlite:./a.db", StoreChoice::Sqlite("./a.db".into())),
            ("local:/var/lib/a:b", StoreChoice::Local("/var/lib/a:b".into())),
        ] {
            assert_eq!(text.parse(), Ok(choice.clone()));
            assert_eq!(choice.to_string(), text);
        }
        for text in ["", "sqlite", "sqlite:", "local:", "a.db", "SQLITE:a.db", " sqlite:a.db", "postgres:x"] {
            let error = text.parse::<StoreChoice>().unwrap_err();
            assert!(error.to_string().ends_with("is no store: it must be sqlite:FILE or local:DIR"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_directory_with_another_store_is_refused_and_told_both_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        refuse_other_store(data).unwrap();
        let sqlite = StoreChoice::Sqlite(data.join("escrow.db"));
        drop(open(&sqlite, Arc::new(SystemClock)).await.unwrap());
        let refused = refuse_other_store(data).unwrap_err();
        assert_eq!(refused.code(), "other_store");
        let (message, data_shown) = (refused.to_string(), data.display());
        assert!(message.contains(&format!("--store {sqlite}, or ")), "{message}");
        assert!(message.ends_with(&format!("escrow store copy {sqlite} local:{data_shown}")), "{message}");
        std::fs::write(data.join("store.lock"), "").unwrap();
        refuse_other_store(data).unwrap_err();
        std::fs::write(data.join("store.lock"), "there has been an embedded store").unwrap();
        refuse_other_store(data).unwrap();
    }
}
