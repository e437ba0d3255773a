use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a refusal counts if nothing is written after it. Whoever keeps new work away from a full store would else wait
/// for ever: without work nobody finds out that there is room again.
const REFUSAL_COUNTS: Duration = Duration::from_secs(10);

/// Whether the disk was full when it was last written.
#[derive(Debug, Default)]
pub(crate) struct Fullness(Mutex<Option<Instant>>);

impl Fullness {
    /// A batch was written.
    pub(crate) fn written(&self) {
        self.set(None);
    }

    /// There was no room for a batch.
    pub(crate) fn refused(&self) {
        self.set(Some(Instant::now()));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full_at(Instant::now())
    }

    fn is_full_at(&self, now: Instant) -> bool {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|at| now.saturating_duration_since(at) < REFUSAL_COUNTS)
    }

    fn set(&self, refused: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_until_something_is_written_or_time_has_passed() {
        let fullness = Fullness::default();
        assert!(!fullness.is_full());
        fullness.refused();
        assert!(fullness.is_full());
        assert!(!fullness.is_full_at(Instant::now() + REFUSAL_COUNTS));
        fullness.written();
        assert!(!fullness.is_full());
    }
}
