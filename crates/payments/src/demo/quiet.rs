//! Waiting until the platform has nothing left to do.

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::{AuditError, Books, OpenWork, RecordsError, list, open_work};
use crate::foundation::http::HttpClient;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a platform is given to come to rest.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// In all.
    pub total: Duration,
    /// While what is open does not become less: what is stuck stays stuck.
    pub without_progress: Duration,
}

/// Waits until nothing is open in the databases nor at the coordinator; returns what still is when patience ends.
///
/// A run without rest is never waited out: then the list is not empty.
///
/// # Errors
/// [`AuditError`] if the databases cannot be read. A coordinator that does not answer counts as open work.
pub(super) async fn wait_until_quiet(
    books: &mut Books,
    client: &HttpClient,
    coordinator: &str,
    patience: Patience,
    mut look: impl FnMut(&[OpenWork]),
) -> Result<Vec<OpenWork>, AuditError> {
    let begin = Instant::now();
    // Work that goes round in circles changes without end: only less of it than ever before counts as progress.
    let (mut least, mut progress_at) = (u64::MAX, begin);
    loop {
        let mut open = open_work(books).await?;
        if open.is_empty() {
            open = open_transactions(client, coordinator).await;
        }
        if open.is_empty() {
            return Ok(open);
        }
        look(&open);
        let left = open.iter().map(|work| work.count).sum();
        if left < least {
            (least, progress_at) = (left, Instant::now());
        }
        if begin.elapsed() > patience.total || progress_at.elapsed() > patience.without_progress {
            return Ok(open);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn open_transactions(client: &HttpClient, coordinator: &str) -> Vec<OpenWork> {
    let records = match list(client, coordinator).await {
        Ok(records) => records,
        Err(error) => return vec![silent(&error)],
    };
    let mut open = records.iter().filter(|record| !record.is_final());
    let Some(first) = open.next() else { return Vec::new() };
    let example = format!("{} ({})", first.gid, first.status);
    vec![OpenWork { what: "global transactions open", count: 1 + open.count() as u64, example }]
}

fn silent(error: &RecordsError) -> OpenWork {
    OpenWork { what: "coordinators that do not tell their records", count: 1, example: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::audit::tests::fixture::Fixture;
    use crate::foundation::db::DbName;
    use crate::foundation::faults::Faults;
    use crate::foundation::http::{Server, bind};

    const NONE: Patience = Patience { total: Duration::ZERO, without_progress: Duration::ZERO };

    /// A coordinator with one record of this status.
    async fn coordinator(status: &'static str) -> (Server, String) {
        let record = json!({"gid": "pay-settle-P1-1", "trans_type": "tcc", "status": status});
        let all = async move || Json(json!({"transactions": [record], "next_position": ""}));
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", bound.addr());
        (bound.serve("coordinator", Router::new().route("/api/dtmsvr/all", get(all)), Faults::none()), url)
    }

    async fn wait(fixture: &Fixture, coordinator: &str) -> Vec<OpenWork> {
        let mut books = Books::open(fixture.dir()).await.unwrap();
        wait_until_quiet(&mut books, &HttpClient::new(), coordinator, NONE, |_| ()).await.unwrap()
    }

    #[tokio::test]
    async fn nothing_open_anywhere_is_rest() {
        let (_server, url) = coordinator("succeed").await;
        assert_eq!(wait(&Fixture::sound().await, &url).await, []);
    }

    #[tokio::test]
    async fn patience_ends_with_the_list_of_what_is_open() {
        let (_server, url) = coordinator("succeed").await;
        let fixture = Fixture::sound().await;
        fixture.plant(DbName::PayOrder, "UPDATE outbox SET status = 'NEW'").await;
        let open = wait(&fixture, &url).await;
        assert_eq!((open.len(), open[0].what, open[0].count), (1, "outbox rows waiting", 1));
    }

    #[tokio::test]
    async fn what_only_the_coordinator_knows_of_is_open_too() {
        let (_server, url) = coordinator("prepared").await;
        let open = wait(&Fixture::sound().await, &url).await;
        assert_eq!(open[0].example, "pay-settle-P1-1 (prepared)");
    }

    #[tokio::test]
    async fn a_coordinator_that_does_not_answer_is_no_rest() {
        let (server, url) = coordinator("succeed").await;
        server.stop().await;
        let open = wait(&Fixture::sound().await, &url).await;
        assert_eq!(open[0].what, "coordinators that do not tell their records");
    }
}
