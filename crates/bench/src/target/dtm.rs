//! How a DTM server is told what to do.

/// Its file of settings, below its working directory.
pub(super) const SETTINGS: &str = "dtm.yml";
/// A GET that it answers without looking at its store.
pub(super) const READY: &str = "/api/dtmsvr/newGid";

/// Its settings: its own file store, which it keeps in its working directory, and these ports. It has no setting for the address to listen
/// on. Everything else is left as it comes.
pub(super) fn settings(http_port: u16, grpc_port: u16) -> String {
    format!(
        "Store:
  Driver: boltdb
HttpPort: {http_port}
GrpcPort: {grpc_port}
LogLevel: warn
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtm_gets_its_file_store_its_ports_and_little_to_log() {
        let text = settings(7, 8);
        assert_eq!(text, "Store:\n  Driver: boltdb\nHttpPort: 7\nGrpcPort: 8\nLogLevel: warn\n");
    }
}
