//! So many clients, each beginning its next transaction when its last one has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::initiator::Initiator;

/// How long a client waits after a failure: a coordinator that fails at once is not to be kept busy with that.
const PAUSE: Duration = Duration::from_millis(50);

/// The clients; each ends after the transaction during which the initiator is stopped.
pub(super) fn start(initiator: &Arc<Initiator>, clients: usize) -> JoinSet<()> {
    (0..clients).map(|_| client(Arc::clone(initiator))).collect()
}

async fn client(initiator: Arc<Initiator>) {
    let mut connection = None;
    while !initiator.is_stopping() {
        if !initiator.transact(&mut connection, Instant::now()).await {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
