//! The service databases, side by side and read-only.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::AuditError;
use super::records::Record;
use crate::foundation::db::DbName;

/// The databases of the platform's partners, for comparison.
const PARTNERS: [DbName; 2] = [DbName::Merchant, DbName::Bank];

/// All service databases of one platform and those of its partners, attached to one connection that cannot write them.
///
/// Beside them stand the view `outbox_row` over the outboxes of all services, with the database in column `db`, and three
/// temporary tables, filled at every audit: `record` and `record_op` (what the coordinator told), `barrier_row` (as
/// `outbox_row`, and indexed across the services).
#[derive(Debug)]
pub struct Books {
    connection: SqliteConnection,
}

impl Books {
    /// Attaches the databases of the platform whose directory this is.
    ///
    /// # Errors
    /// [`AuditError::Open`] if a file is missing or is no readable database.
    pub async fn open(dir: &Path) -> Result<Books, AuditError> {
        // Attached databases inherit the mode of the connection, whose own database is an empty one in memory.
        let mut connection = SqliteConnectOptions::new()
            .filename(":memory:")
            .read_only(true)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|source| AuditError::Books { source })?;
        for database in DbName::ALL.into_iter().chain(PARTNERS) {
            let path = database.path_in(dir);
            attach(&mut connection, database, &path).await.map_err(|source| AuditError::Open { path, source })?;
        }
        create_temporary_tables(&mut connection).await.map_err(|source| AuditError::Books { source })?;
        Ok(Books { connection })
    }

    /// Fills the temporary tables anew.
    pub(super) async fn refresh(&mut self, records: &[Record]) -> Result<(), AuditError> {
        fill(&mut self.connection, records).await.map_err(|source| AuditError::Books { source })
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Closes the connection.
    ///
    /// # Errors
    /// [`AuditError::Books`] if SQLite reports one at closing.
    pub async fn close(self) -> Result<(), AuditError> {
        self.connection.close().await.map_err(|source| AuditError::Books { source })
    }
}

async fn attach(connection: &mut SqliteConnection, database: DbName, path: &Path) -> Result<(), sqlx::Error> {
    let path = path.to_str().ok_or_else(|| {
        let name = path.to_string_lossy().into_owned();
        sqlx::Error::Configuration(format!("the path {name} is not valid Unicode").into())
    })?;
    sqlx::query("ATTACH DATABASE ?1 AS ?2").bind(path).bind(database.as_str()).execute(&mut *connection).await?;
    Ok(())
}

async fn create_temporary_tables(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let outboxes = DbName::ALL.map(|name| {
        let name = name.as_str();
        format!("SELECT '{name}' AS db, msg_id, status FROM {name}.outbox")
    });
    let statements = format!(
        "CREATE TEMP TABLE record (gid TEXT PRIMARY KEY, trans_type TEXT NOT NULL, status TEXT NOT NULL);
         CREATE TEMP TABLE record_op (gid TEXT NOT NULL, branch_id TEXT NOT NULL, op TEXT NOT NULL, url TEXT NOT NULL,
                                      status TEXT NOT NULL);
         CREATE INDEX temp.record_op_branch ON record_op (gid, branch_id);
         CREATE TEMP TABLE barrier_row (db TEXT NOT NULL, gid TEXT, branch_id TEXT, op TEXT, barrier_id TEXT, reason TEXT);
         CREATE INDEX temp.barrier_row_branch ON barrier_row (gid, branch_id);
         CREATE TEMP VIEW outbox_row AS {};",
        outboxes.join(" UNION ALL ")
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

async fn fill(connection: &mut SqliteConnection, records: &[Record]) -> Result<(), sqlx::Error> {
    let mut filling = connection.begin().await?;
    sqlx::raw_sql("DELETE FROM record; DELETE FROM record_op; DELETE FROM barrier_row;").execute(&mut *filling).await?;
    for record in records {
        sqlx::query("INSERT INTO record (gid, trans_type, status) VALUES (?1, ?2, ?3)")
            .bind(&record.gid)
            .bind(&record.trans_type)
            .bind(&record.status)
            .execute(&mut *filling)
            .await?;
        for operation in &record.operations {
            sqlx::query("INSERT INTO record_op (gid, branch_id, op, url, status) VALUES (?1, ?2, ?3, ?4, ?5)")
                .bind(&record.gid)
                .bind(&operation.branch_id)
                .bind(&operation.op)
                .bind(&operation.url)
                .bind(&operation.status)
                .execute(&mut *filling)
                .await?;
        }
    }
    for database in DbName::ALL {
        let database = database.as_str();
        let copy = format!(
            "INSERT INTO barrier_row SELECT '{database}', gid, branch_id, op, barrier_id, reason FROM {database}.barrier"
        );
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut *filling).await?;
    }
    filling.commit().await
}
