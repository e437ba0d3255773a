//! A real `escrow serve` under load, killed with SIGKILL and started again, over and over.
//!
//! Whatever was acknowledged must still be there, and every transaction must end as its participants' books say.
//! What was acknowledged is remembered here, in a process that is not killed. `ESCROW_TEST_KILL_CYCLES` sets how often the
//! embedded store is hit (20 unless set).

#![allow(clippy::print_stdout)] // The figures go into notes.

use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::Coordinator;
use crate::load::{Load, Participant};

/// Transactions acknowledged between two kills.
const ACKNOWLEDGED_PER_CYCLE: u64 = 250;
const CLIENTS: usize = 32;
/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    let cycles = std::env::var("ESCROW_TEST_KILL_CYCLES").map_or(20, |n| n.parse().unwrap());
    survives("local:data", cycles).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_on_sqlite_too() {
    survives("sqlite:data/escrow.db", 3).await;
}

async fn survives(store: &str, cycles: u64) {
    let home = tempfile::tempdir().unwrap();
    let participant = Participant::start().await;
    let mut coordinator = Coordinator::start_on(home.path(), "127.0.0.1:0", &["--store", store]);
    let load = Arc::new(Load::new(&coordinator.address, participant.address));
    let clients = load.start(CLIENTS);

    let mut recoveries = Vec::new();
    for cycle in 1..=cycles {
        load.wait_for(cycle * ACKNOWLEDGED_PER_CYCLE, PATIENCE).await;
        let home = home.path().to_owned();
        let restarted = tokio::task::spawn_blocking(move || coordinator.kill_and_restart(&home));
        let recovery;
        (coordinator, recovery) = restarted.await.unwrap();
        recoveries.push(recovery);
    }
    load.stop(clients).await;

    let verdict = load.verdict(&participant, PATIENCE).await;
    recoveries.sort_unstable();
    println!(
        "{store}: {cycles} kills, {} acknowledged, {} lost, {} contradictory; serving again after {:?} (median), {:?} (longest)",
        load.acknowledged(),
        verdict.lost.len(),
        verdict.contradictory.len(),
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1],
    );
    assert!(verdict.lost.is_empty(), "lost: {:?}", verdict.lost);
    assert!(verdict.contradictory.is_empty(), "contradictory: {:#?}", verdict.contradictory);
    assert!(verdict.succeeded > 0 && verdict.failed > 0, "both ends were reached: {verdict:?}");
    drop(coordinator);
}
