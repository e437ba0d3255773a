//! So many transactions a second, whatever became of the earlier ones.
//!
//! ```text
//!   metronome (a thread) ──when due──▶ arrivals ──a task each──▶ transactions ◀──▶ idle connections
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::initiator::Initiator;
use crate::http::Connection;

/// Arrivals beyond this many transactions in flight are errors: the coordinator has fallen behind for good.
pub(super) const IN_FLIGHT_MAX: usize = 4096;

/// Connections to the coordinator, as many as a handful of services would keep. Whoever has to wait for one is late from the moment
/// at which it was due.
const CONNECTIONS: usize = 256;

/// Arrivals that are due and not yet seen, should this process fall behind for a while.
const DUE_MAX: usize = 4096;

/// How late the metronome may notice that it is to stop.
const STOP_WITHIN: Duration = Duration::from_millis(20);

/// The arrivals, from now until the initiator is stopped.
pub(super) fn start(initiator: &Arc<Initiator>, per_second: f64, in_flight_max: usize) -> JoinSet<()> {
    let (sender, receiver) = mpsc::channel(DUE_MAX);
    let mut tasks = JoinSet::new();
    let stopper = Arc::clone(initiator);
    let begin = Instant::now();
    // A thread, since timers of the runtime round up to whole milliseconds: as much as a transaction takes.
    tasks.spawn_blocking(move || tick(begin, per_second, || stopper.is_stopping(), &sender));
    tasks.spawn(arrive(Arc::clone(initiator), receiver, in_flight_max));
    tasks
}

/// Sends the moment at which each transaction is due, when it has come. A late one does not shift those after it.
fn tick(begin: Instant, per_second: f64, is_stopping: impl Fn() -> bool, due: &mpsc::Sender<Instant>) {
    for number in 0_u32.. {
        let moment = begin + Duration::from_secs_f64(f64::from(number) / per_second);
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if is_stopping() {
                return;
            }
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(STOP_WITHIN));
        }
        if due.blocking_send(moment).is_err() {
            return;
        }
    }
}

async fn arrive(initiator: Arc<Initiator>, mut due: mpsc::Receiver<Instant>, in_flight_max: usize) {
    let connections = Arc::new(Connections { free: Semaphore::new(CONNECTIONS), idle: Mutex::default() });
    let mut in_flight = JoinSet::new();
    while let Some(moment) = due.recv().await {
        if initiator.is_stopping() {
            break;
        }
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() < in_flight_max {
            in_flight.spawn(transaction(Arc::clone(&initiator), Arc::clone(&connections), moment));
        } else {
            initiator.tally.record(moment, Err(anyhow::anyhow!("more than {in_flight_max} transactions in flight")));
        }
    }
    // A metronome that waits for room ends with this.
    drop(due);
    in_flight.join_all().await;
}

struct Connections {
    free: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// Takes the connection that was used last: the others may go unused until the coordinator closes them.
async fn transaction(initiator: Arc<Initiator>, connections: Arc<Connections>, due: Instant) {
    // The semaphore is never closed.
    let Ok(_free) = connections.free.acquire().await else { return };
    let idle = || connections.idle.lock().unwrap_or_else(PoisonError::into_inner);
    let mut connection = idle().pop();
    initiator.transact(&mut connection, due).await;
    idle().extend(connection);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[test]
    fn what_is_due_keeps_its_moment_even_if_it_is_taken_late() {
        let (sender, mut receiver) = mpsc::channel(1);
        let begin = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let metronome = std::thread::spawn(move || tick(begin, 500.0, || stopped.load(Relaxed), &sender));
        for number in 0..1000 {
            let moment = receiver.blocking_recv().unwrap();
            assert_eq!(moment - begin, Duration::from_millis(2 * number));
            assert!(moment <= Instant::now());
        }
        stop.store(true, Relaxed);
        drop(receiver);
        metronome.join().unwrap();
    }

    #[test]
    fn a_metronome_of_the_slowest_beat_stops_when_it_is_told_to() {
        let (sender, mut receiver) = mpsc::channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let metronome = std::thread::spawn(move || tick(Instant::now(), 0.000_1, || stopped.load(Relaxed), &sender));
        receiver.blocking_recv().unwrap();
        stop.store(true, Relaxed);
        metronome.join().unwrap();
    }
}
