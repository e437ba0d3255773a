//! Killing the coordinator while orders are under way.

use tokio::sync::watch;

use super::process::{CoordinatorProcess, RestartError};
use crate::foundation::faults::ChaosLevel;

/// How often the coordinator is killed in a run of this many orders.
pub fn kills_planned(chaos: ChaosLevel, orders: u32) -> u32 {
    match chaos {
        ChaosLevel::Off => 0,
        ChaosLevel::Low => (orders / 200).max(1),
        ChaosLevel::High => (orders / 100).max(3),
    }
}

/// Kills and restarts the coordinator `kills` times, spread evenly over a run of `orders`, by the number of orders done.
///
/// The last kill comes while orders are still out: never after all of them are done, unless they are fewer than the kills.
///
/// # Errors
/// [`RestartError`] ends it: there is no coordinator any more.
pub(super) async fn kill_in_mid_flight(
    coordinator: &dyn CoordinatorProcess,
    kills: u32,
    orders: u32,
    mut done: watch::Receiver<u32>,
    killed: impl Fn(u32),
) -> Result<u32, RestartError> {
    for kill in 1..=kills {
        let threshold = u64::from(orders) * u64::from(kill) / u64::from(kills + 1);
        // An error says that nobody counts any more: all orders are done.
        let _ = done.wait_for(|done| u64::from(*done) >= threshold).await;
        coordinator.kill_and_restart().await?;
        killed(kill);
    }
    Ok(kills)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;

    struct Counting {
        done: watch::Receiver<u32>,
        killed_at: Mutex<Vec<u32>>,
    }

    #[async_trait]
    impl CoordinatorProcess for Counting {
        fn url(&self) -> &str {
            "http://nowhere"
        }

        async fn kill_and_restart(&self) -> Result<(), RestartError> {
            self.killed_at.lock().unwrap().push(*self.done.borrow());
            Ok(())
        }
    }

    #[tokio::test]
    async fn kills_are_spread_over_the_run_and_come_before_its_end() {
        let (done, watch) = watch::channel(0);
        let process = Counting { done: watch.clone(), killed_at: Mutex::default() };
        let orders = async {
            for number in 1..=300 {
                done.send_replace(number);
                tokio::task::yield_now().await;
            }
        };
        let (kills, ()) = tokio::join!(kill_in_mid_flight(&process, 3, 300, watch, |_| ()), orders);
        assert_eq!(kills.unwrap(), 3);
        let killed_at = process.killed_at.into_inner().unwrap();
        for (killed, threshold) in killed_at.iter().zip([75, 150, 225]) {
            assert!((threshold..threshold + 3).contains(killed), "{killed_at:?}");
        }
    }

    #[test]
    fn high_kills_at_least_three_times_and_low_once() {
        assert_eq!(kills_planned(ChaosLevel::High, 10), 3);
        assert_eq!(kills_planned(ChaosLevel::High, 2_000), 20);
        assert_eq!(kills_planned(ChaosLevel::Low, 10), 1);
        assert_eq!(kills_planned(ChaosLevel::Off, 2_000), 0);
    }
}
