//! A coordinator without rules and store: the same calls in and out, nothing decided, nothing remembered after the reply.

use std::net::SocketAddr;

/// Serves on `listen` until the process ends. Prints `listening on ADDRESS` once it does.
///
/// # Errors
/// It cannot listen there.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let _ = listen;
    anyhow::bail!("not built")
}
