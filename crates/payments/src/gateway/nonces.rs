//! Nonces that were used. One is kept for twice the window in which a timestamp is accepted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::foundation::db::Database;
use crate::foundation::service::Service;
use crate::ids::MerchantNo;
use crate::signing::WINDOW;
use crate::time::Timestamp;

const PURGE_EVERY: Duration = Duration::from_secs(60);

/// Uses the nonce up; false if it was used before.
pub(super) async fn take(
    db: &Database,
    merchant_no: &MerchantNo,
    nonce: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let mut tx = db.begin().await?;
    let taken =
        sqlx::query("INSERT INTO api_nonce (merchant_no, nonce, seen_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .bind(merchant_no.as_str())
            .bind(nonce)
            .bind(now.as_micros())
            .execute(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(taken.rows_affected() == 1)
}

/// Forgets nonces whose timestamps are refused anyway.
pub(super) async fn purge_until(service: Service, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
        let before = service.clock.now().minus(2 * WINDOW);
        if let Err(error) = purge(&service.db, before).await {
            tracing::warn!(%error, "nonces left for the next purge");
        }
    }
}

async fn purge(db: &Database, before: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM api_nonce WHERE seen_at < ?1").bind(before.as_micros()).execute(&mut *tx).await?;
    tx.commit().await
}
