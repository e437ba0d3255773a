use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use crate::disk::Disk;
use crate::identity::StoreId;

/// What a repair has done.
#[derive(Debug)]
pub(crate) struct Repaired {
    /// Frames that were kept.
    pub(crate) kept: u64,
    pub(crate) dropped: Vec<Dropped>,
}

/// A stretch of the log that could not be read.
#[derive(Debug)]
pub(crate) struct Dropped {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) what: String,
}

/// Rewrites a log so that it opens: what can be read before and behind damage is kept, under new sequence numbers.
pub(crate) fn repair(disk: Arc<dyn Disk>, dir: &Path, store: StoreId) -> Result<Repaired, LogError> {
    Err(LogError::Missing { dir: dir.to_owned() })
}
