use std::time::Duration;

use escrow_store::OwnerEpoch;
use escrow_txn::Defaults;

/// The least that [`EngineConfig::active_bytes_max`] may be: the largest transaction has to fit.
pub const ACTIVE_BYTES_MIN: usize = 16 * 1024 * 1024;

/// How the engine works.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What transactions get where they say nothing.
    pub defaults: Defaults,
    /// This coordinator's life.
    pub owner: OwnerEpoch,
    /// Transactions in memory at once; past it new ones are refused.
    pub active_max: usize,
    /// Bytes of payloads and URLs of the transactions in memory; past it new ones are refused and due ones put off. At least
    /// [`ACTIVE_BYTES_MIN`].
    pub active_bytes_max: usize,
    /// Transactions that were claimed because they were due and for which nothing has been stored since; paces recovery.
    pub claimed_max: usize,
    /// Calls on their way at once, to all targets together.
    pub calls_max: usize,
    /// Calls on their way at once to one target.
    pub lane_calls_max: usize,
    /// Calls waiting for one target; past it a call counts as unanswered.
    pub lane_queue_max: usize,
    /// Calls waiting for one target from which on due transactions are put off that would call it: so a target which hangs
    /// fills neither the memory nor the claims.
    pub lane_queue_claimed_max: usize,
    /// How long a caller that wants the result is kept waiting.
    pub wait_result_max: Duration,
    /// How long a transaction that waits for its initiator stays in memory for the next request.
    pub linger: Duration,
    /// How long final transactions are remembered; `None`: for ever.
    pub retention: Option<Duration>,
    /// How often final transactions are looked through for old ones.
    pub purge_interval: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            defaults: Defaults::default(),
            owner: OwnerEpoch(1),
            active_max: 20_000,
            active_bytes_max: 512 * 1024 * 1024,
            claimed_max: 2_000,
            calls_max: 512,
            lane_calls_max: 64,
            lane_queue_max: 10_000,
            lane_queue_claimed_max: 256,
            wait_result_max: Duration::from_secs(30),
            linger: Duration::from_millis(500),
            retention: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            purge_interval: Duration::from_secs(60 * 60),
        }
    }
}

/// Draws the random share of a retry's interval, uniform in `[0, 1)`.
pub type Jitter = Box<dyn Fn() -> f64 + Send + Sync>;
