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

pub use copy::{CopyError, CopyStep, Tally, copy};

/// The database of a coordinator that keeps its transactions in SQLite in its data directory.
const DATABASE: &str = "escrow.db";
/// The file that every embedded store has in its directory.
const IDENTITY: &str = "escrow.id";

/// Whether a coordinator that names no store gets the embedded one. The one place to switch: with `true`, a data directory
/// from before is refused instead of passed over, see [`open_default`].
const EMBEDDED_BY_DEFAULT: bool = false;

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
        if EMBEDDED_BY_DEFAULT { Self::Local(data.to_owned()) } else { Self::Sqlite(data.join(DATABASE)) }
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
}

impl OpenStoreError {
    pub(crate) fn code(&self) -> Code {
        use escrow_store_local::OpenError as OfLocal;
        use escrow_store_sqlite::OpenError as OfSqlite;
        match self {
            Self::Sqlite(OfSqlite::Locked { .. }) | Self::Local(OfLocal::Locked { .. }) => Code::STORE_LOCKED,
            Self::Sqlite(OfSqlite::NewerSchema { .. }) | Self::Local(OfLocal::Newer { .. }) => Code::STORE_NEWER,
            Self::Sqlite(OfSqlite::NotAStore { .. }) | Self::Local(OfLocal::NotAStore { .. }) => Code::NOT_A_STORE,
            Self::Sqlite(_) | Self::Local(_) => Code::STORE_UNUSABLE,
            Self::OtherStore { .. } => Code::OTHER_STORE,
        }
    }
}

/// Opens a store, and makes it if it is not there.
pub(crate) async fn open(choice: &StoreChoice, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>, OpenStoreError> {
    let choice = choice.clone();
    // Opening reads and syncs files, and must not hold up the runtime's threads.
    let opened = tokio::task::spawn_blocking(move || -> Result<Arc<dyn Backend>, OpenStoreError> {
        match choice {
            StoreChoice::Sqlite(file) => Ok(Arc::new(SqliteStore::open(&file, clock)?)),
            StoreChoice::Local(dir) => Ok(Arc::new(LocalStore::open(&dir, clock)?)),
        }
    });
    opened.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
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

/// Refuses a directory with a SQLite store and without an embedded one.
fn refuse_other_store(data: &Path) -> Result<(), OpenStoreError> {
    let database = data.join(DATABASE);
    let has_sqlite = database.exists() && database.with_extension("lock").exists();
    if has_sqlite && !StoreChoice::Local(data.to_owned()).exists() {
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
        assert_eq!(refused.code().as_str(), "other_store");
        let (message, data_shown) = (refused.to_string(), data.display());
        assert!(message.contains(&format!("--store {sqlite}, or ")), "{message}");
        assert!(message.ends_with(&format!("escrow store copy {sqlite} local:{data_shown}")), "{message}");
        std::fs::write(data.join(IDENTITY), "").unwrap();
        refuse_other_store(data).unwrap();
    }
}
