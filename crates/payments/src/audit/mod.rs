//! The auditor: recomputes from the databases and the coordinator's records alone whether the books are sound.
//!
//! It knows the tables and nothing of the code that fills them, so that an error there cannot hide itself here. The checks
//! hold once the platform is quiet: no transaction open, no message waiting, no posting tried.

mod books;
mod checks;
mod ended;
mod open_work;
mod records;
mod report;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;

pub use books::Books;
pub use ended::{EndedOrder, ended_orders};
pub use open_work::{OpenWork, open_work};
pub use records::{Record, RecordOp, RecordsError, fetch, list};
pub use report::{EXAMPLES_MAX, Finding, Outcome, Report};

use checks::Check;

/// The books could not be read; nothing is said about them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A service database is missing or cannot be opened.
    #[error("cannot open database {}", path.display())]
    Open {
        /// Where it was looked for.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The auditor's own connection or its temporary tables failed.
    #[error("cannot prepare the books")]
    Books {
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A check could not be carried out.
    #[error("cannot carry out check {check}")]
    Check {
        /// Its name.
        check: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

/// Runs every check over the books and the coordinator's records.
///
/// # Errors
/// [`AuditError`] if the books cannot be read. A violated check is no error: it is in the report.
pub async fn audit(books: &mut Books, records: &[Record]) -> Result<Report, AuditError> {
    books.refresh(records).await?;
    let mut report = Report::default();
    for check in checks::all() {
        let finding = run(books, check).await.map_err(|source| AuditError::Check { check: check.id, source })?;
        report.add(finding);
    }
    Ok(report)
}

async fn run(books: &mut Books, check: &Check) -> Result<Finding, sqlx::Error> {
    let looked_at: i64 = sqlx::query_scalar(check.looked_at).fetch_one(books.connection()).await?;
    let mut examples: Vec<String> = sqlx::query_scalar(check.violations).fetch_all(books.connection()).await?;
    let violations = examples.len() as u64;
    examples.truncate(EXAMPLES_MAX);
    Ok(Finding {
        id: check.id,
        claim: check.claim,
        looked_at: looked_at.unsigned_abs(),
        violations,
        examples,
        essential: check.essential,
    })
}
