use std::path::PathBuf;
use std::sync::Arc;

use escrow_store::conformance::Subject;
use tempfile::TempDir;

use super::*;

/// A store in a directory of its own, which goes with it.
struct Sqlite {
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    dir: TempDir,
}

impl Sqlite {
    fn database(&self) -> PathBuf {
        self.dir.path().join("escrow.db")
    }
}

impl Subject for Sqlite {
    type Store = SqliteStore;

    async fn open(clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(dir.path(), Arc::clone(&clock)).unwrap());
        Self { store, clock, dir }
    }

    fn store(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.store)
    }

    async fn reopen(self) -> Self {
        drop(self.store);
        let store = Arc::new(SqliteStore::open(self.dir.path(), Arc::clone(&self.clock)).unwrap());
        Self { store, ..self }
    }

    async fn damage(&self, gid: &Gid) {
        let sql = "UPDATE txn SET progress = CAST(substr(progress, 1, length(progress) - 1) AS BLOB) WHERE gid = ?1";
        let database = Connection::open(self.database()).unwrap();
        assert_eq!(database.execute(sql, [gid.as_str()]).unwrap(), 1);
    }
}

mod conformance {
    use super::Sqlite;

    escrow_store::conformance!(Sqlite);
}
