/// The largest body of a frame, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
