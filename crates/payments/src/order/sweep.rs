//! Finds settlements whose global transaction may never have begun, and gives their orders back: fence, then clean.
//!
//! An initiator that dies between T0 and begin leaves an order `SETTLING` that nobody will ever confirm or cancel. The sweeper
//! begins that transaction itself (or finds it decided), with all its branches, aborts it, and asks how it stands. Once it
//! *failed*, the order's branch is cancelled, with its barrier row, whether or not the coordinator called it; from then on a
//! begin that was merely late is refused.

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::App;
use super::own_branch::cancel_locally;
use super::settlement::{Attempt, OWN_BRANCH};
use crate::barrier::BarrierOp;
use crate::foundation::branch::{BranchContext, BranchError};
use crate::foundation::coordinator::TxnStatus;
use crate::ids::PayNo;

/// Settlements looked at in one round, the oldest first, and at the same time.
const ROUND_MAX: u32 = 100;
const AT_ONCE: usize = 8;

/// Sweeps until told to stop.
pub(super) async fn run(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(app.settings.sweep_every) => {}
        }
        match find_old(&app).await {
            Ok(old) => futures_util::stream::iter(old).for_each_concurrent(AT_ONCE, |pay_no| sweep(&app, pay_no)).await,
            Err(error) => tracing::warn!(%error, "sweeper will look again"),
        }
    }
}

/// Orders whose settlement has been under way for too long.
async fn find_old(app: &App) -> Result<Vec<PayNo>, sqlx::Error> {
    let before = app.service.clock.now().minus(app.settings.sweep_older_than);
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT pay_no FROM payment_order WHERE status = 'SETTLING' AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    )
    .bind(before.as_micros())
    .bind(ROUND_MAX)
    .fetch_all(app.service.db.readers())
    .await?;
    Ok(old.into_iter().map(PayNo::new).collect())
}

async fn sweep(app: &App, pay_no: PayNo) {
    match clean(app, &pay_no).await {
        Ok(true) => tracing::info!(%pay_no, "settlement that never began was cleaned up"),
        // Decided otherwise, and its confirm or cancel is on its way.
        Ok(false) => {}
        Err(error) => tracing::warn!(%pay_no, ?error, "sweeper will try again"),
    }
}

/// True if the order's branch is cancelled.
async fn clean(app: &App, pay_no: &PayNo) -> Result<bool, BranchError> {
    let mut reader = app.service.db.readers().acquire().await?;
    let Some(attempt) = Attempt::find(&mut reader, pay_no).await? else { return Ok(false) };
    drop(reader);
    let coordinator = &app.service.coordinator;
    coordinator.fence_tcc(&attempt.tcc(app)?).await?;
    if coordinator.query(&attempt.gid).await? != Some(TxnStatus::Failed) {
        return Ok(false);
    }
    let cancel = BranchContext {
        gid: attempt.gid,
        trans_type: "tcc".to_owned(),
        branch_id: OWN_BRANCH.to_owned(),
        op: BarrierOp::Cancel,
    };
    cancel_locally(app, &cancel, pay_no, attempt.settlement.attempt).await?;
    Ok(true)
}
