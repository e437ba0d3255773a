//! Records: how a transaction is written down.

use bytes::Bytes;
use escrow_txn::{Definition, Progress};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {}

/// Encodes a definition.
pub fn encode_definition(_def: &Definition) -> Bytes {
    unimplemented!()
}

/// Encodes a progress.
pub fn encode_progress(_progress: &Progress) -> Bytes {
    unimplemented!()
}
