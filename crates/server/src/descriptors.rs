//! File descriptors: clients must not take those that calls and the store need.

use crate::config::HttpConfig;

/// Raises this process's limit as far as it may go, and keeps clients to half of it. If that is less than was configured,
/// no client may have more than half of that.
pub(crate) fn keep_some_back(http: HttpConfig) -> HttpConfig {
    match raised_limit().map(|limit| usize::try_from(limit / 2).unwrap_or(usize::MAX)) {
        Some(most) if most < http.connections_max => {
            tracing::warn!(connections_max = most, "the limit of open files allows fewer connections than configured");
            let connections_per_peer_max = http.connections_per_peer_max.min((most / 2).max(1));
            HttpConfig { connections_max: most, connections_per_peer_max, ..http }
        }
        _ => http,
    }
}

/// The limit in force; `None`: there is none.
#[cfg(unix)]
fn raised_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Systems that do not take their own maximum keep what was in force.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raised_limit() -> Option<u64> {
    None
}
