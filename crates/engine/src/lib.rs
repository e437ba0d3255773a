//! The drive: claim, call, commit; retries, timers, shutdown.
