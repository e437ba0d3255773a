//! Finds settlements whose global transaction may never have begun, and gives their orders back: fence, then clean.
//!
//! An initiator that dies between T0 and begin leaves an order `SETTLING` that nobody will ever confirm or cancel. The sweeper
//! begins that transaction itself (or finds it decided), aborts it, and asks how it stands. Only if it *failed* is the
//! order's branch cancelled, with its barrier row; from then on a begin that was merely late is refused.

use futures_util::StreamExt;
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use super::App;
use super::own_branch::cancel_locally;
use super::settlement::OWN_BRANCH;
use crate::barrier::BarrierOp;
use crate::foundation::branch::{BranchContext, BranchError};
use crate::foundation::coordinator::TxnStatus;
use crate::ids::{Gid, PayNo};

/// Settlements looked at in one round, the oldest first, and at the same time.
const ROUND_MAX: u32 = 100;
const AT_ONCE: usize = 8;

/// A settlement that has been under way for too long.
#[derive(Debug, Clone)]
struct Old {
    pay_no: PayNo,
    attempt: i64,
    gid: Gid,
}

/// Sweeps until told to stop.
pub(super) async fn run(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(app.settings.sweep_every) => {}
        }
        match find_old(&app).await {
            Ok(old) => futures_util::stream::iter(old).for_each_concurrent(AT_ONCE, |old| sweep(&app, old)).await,
            Err(error) => tracing::warn!(%error, "sweeper will look again"),
        }
    }
}

async fn find_old(app: &App) -> Result<Vec<Old>, sqlx::Error> {
    let before = app.service.clock.now().minus(app.settings.sweep_older_than);
    let rows = sqlx::query(
        "SELECT pay_no, settle_attempt, settle_gid FROM payment_order
          WHERE status = 'SETTLING' AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    )
    .bind(before.as_micros())
    .bind(ROUND_MAX)
    .fetch_all(app.service.db.readers())
    .await?;
    let old = |row: &sqlx::sqlite::SqliteRow| -> Result<Old, sqlx::Error> {
        Ok(Old {
            pay_no: PayNo::new(row.try_get::<String, _>("pay_no")?),
            attempt: row.try_get("settle_attempt")?,
            gid: Gid::new(row.try_get::<String, _>("settle_gid")?),
        })
    };
    rows.iter().map(old).collect()
}

async fn sweep(app: &App, old: Old) {
    match clean(app, &old).await {
        Ok(true) => tracing::info!(gid = %old.gid, "settlement that never began was cleaned up"),
        // Decided otherwise, and its confirm or cancel is on its way.
        Ok(false) => {}
        Err(error) => tracing::warn!(gid = %old.gid, ?error, "sweeper will try again"),
    }
}

/// True if the order's branch is cancelled.
async fn clean(app: &App, old: &Old) -> Result<bool, BranchError> {
    let coordinator = &app.service.coordinator;
    coordinator.fence_tcc(&old.gid, old.pay_no.as_str()).await?;
    if coordinator.query(&old.gid).await? != Some(TxnStatus::Failed) {
        return Ok(false);
    }
    let cancel = BranchContext {
        gid: old.gid.clone(),
        trans_type: "tcc".to_owned(),
        branch_id: OWN_BRANCH.to_owned(),
        op: BarrierOp::Cancel,
    };
    cancel_locally(app, &cancel, &old.pay_no, old.attempt).await?;
    Ok(true)
}
