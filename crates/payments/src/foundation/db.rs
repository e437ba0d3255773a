//! One SQLite file per service.
//!
//! One connection writes, so writers queue in the process instead of failing on the file's lock; a few others read. A busy
//! database means *unknown, ask again*, never a refusal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use crate::barrier;

/// How long a statement waits for the file's lock, and a caller for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 2;

/// A local transaction that may write. Dropped without a commit it leaves nothing behind.
pub type WriteTxn = Transaction<'static, Sqlite>;

/// Which database: decides its file name and its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DbName {
    /// Merchants and bank notices.
    PayGateway,
    /// Payment orders, records and refunds.
    PayOrder,
    /// Funds accounts.
    PayFunds,
    /// Points accounts.
    PayPoints,
    /// Vouchers and entries.
    PayLedger,
    /// Notifications that were asked for.
    PayNotify,
    /// What the merchant was told. Not the platform's.
    Merchant,
    /// What the bank decided. Not the platform's either.
    Bank,
}

impl DbName {
    /// Every database of the platform.
    pub const ALL: [Self; 6] =
        [Self::PayGateway, Self::PayOrder, Self::PayFunds, Self::PayPoints, Self::PayLedger, Self::PayNotify];

    /// The database's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PayGateway => "pay_gateway",
            Self::PayOrder => "pay_order",
            Self::PayFunds => "pay_funds",
            Self::PayPoints => "pay_points",
            Self::PayLedger => "pay_ledger",
            Self::PayNotify => "pay_notify",
            Self::Merchant => "merchant",
            Self::Bank => "bank",
        }
    }

    /// Its file within the platform's directory.
    pub fn path_in(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.db", self.as_str()))
    }

    fn schema(self) -> &'static str {
        match self {
            Self::PayGateway => include_str!("../gateway/schema.sql"),
            Self::PayOrder => include_str!("../order/schema.sql"),
            Self::PayFunds => include_str!("../funds/schema.sql"),
            Self::PayPoints => include_str!("../points/schema.sql"),
            Self::PayLedger => include_str!("../accounting/schema.sql"),
            Self::PayNotify => include_str!("../notify/schema.sql"),
            Self::Merchant => include_str!("../merchant/schema.sql"),
            Self::Bank => include_str!("../bank/schema.sql"),
        }
    }
}

/// A database that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open database {path}")]
pub struct OpenError {
    /// Its file.
    pub path: PathBuf,
    /// What SQLite said.
    #[source]
    pub source: sqlx::Error,
}

/// A service's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens the database in `dir`, creating file and tables if it is new.
    ///
    /// # Errors
    /// [`OpenError`] names the file.
    pub async fn open(dir: &Path, name: DbName) -> Result<Self, OpenError> {
        let path = name.path_in(dir);
        let opened = Self::open_file(&path, name).await;
        opened.map_err(|source| OpenError { path, source })
    }

    async fn open_file(path: &Path, name: DbName) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may lose the last commits when power fails, and with them a promise that was already answered.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = |max| {
            // A file does not go away: no connection is tested, aged or dropped.
            let pool = SqlitePoolOptions::new().test_before_acquire(false).max_lifetime(None).idle_timeout(None);
            pool.max_connections(max).acquire_timeout(BUSY_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS_MAX).connect_lazy_with(options.pragma("query_only", "ON"));
        let database = Self { writer, readers };
        database.create_tables(name).await?;
        Ok(database)
    }

    async fn create_tables(&self, name: DbName) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        let has_tables: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'barrier')")
            .fetch_one(&mut *tx)
            .await?;
        if !has_tables {
            for tables in [barrier::TABLE, include_str!("common.sql"), name.schema()] {
                sqlx::raw_sql(tables).execute(&mut *tx).await?;
            }
        }
        tx.commit().await
    }

    /// Begins a local transaction that may write. There is one at a time: never call out while holding it.
    ///
    /// # Errors
    /// The database is busy or gone: unknown, ask again.
    pub async fn begin(&self) -> Result<WriteTxn, sqlx::Error> {
        // IMMEDIATE: one that reads first and writes later fails at once when somebody wrote in between, whatever the time-out.
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Connections that only read, each statement seeing the latest commit.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Waits for open transactions and closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
