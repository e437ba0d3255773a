//! How large a transaction may be, where the settings ask for less than the rules allow.

use escrow_txn::{Begin, Branch, InvalidId, Registration};
use escrow_wire::dtm::DecodeError;

/// The section `limits` of the settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Characters of a gid or a branch id.
    pub id_chars_max: usize,
    /// Steps, or branches declared with a prepare.
    pub steps_max: usize,
    /// Bytes of the URL of one branch.
    pub url_bytes_max: usize,
    /// Bytes of the payload of one branch.
    pub payload_bytes_max: usize,
    /// Bytes of all payloads of one request.
    pub payloads_bytes_max: usize,
    /// Headers that a transaction adds to its calls.
    pub branch_headers_max: usize,
}

impl Sizes {
    /// Checks what a prepare or submit brings.
    ///
    /// # Errors
    /// The first limit that it passes.
    pub(crate) fn check_begin(&self, begin: &Begin) -> Result<(), DecodeError> {
        if too_many_chars(begin.gid.as_str(), self.id_chars_max) {
            return Err(DecodeError::InvalidGid { source: InvalidId::TooLong { max: self.id_chars_max } });
        }
        many("steps", begin.branches.len(), self.steps_max)?;
        many("branch_headers", begin.options.branch_headers.len(), self.branch_headers_max)?;
        large("query_prepared", begin.check_back_url.len(), self.url_bytes_max)?;
        let payloads = begin.branches.iter().map(|branch| branch.payload.len()).sum();
        large("the payloads together", payloads, self.payloads_bytes_max)?;
        begin.branches.iter().try_for_each(|branch| self.check_branch(branch))
    }

    /// Checks what a registration brings.
    ///
    /// # Errors
    /// The first limit that it passes.
    pub(crate) fn check_registration(&self, registration: &Registration) -> Result<(), DecodeError> {
        if too_many_chars(registration.gid.as_str(), self.id_chars_max) {
            return Err(DecodeError::InvalidGid { source: InvalidId::TooLong { max: self.id_chars_max } });
        }
        self.check_branch(&registration.branch)
    }

    fn check_branch(&self, branch: &Branch) -> Result<(), DecodeError> {
        if too_many_chars(branch.id.as_str(), self.id_chars_max) {
            return Err(DecodeError::InvalidBranchId { source: InvalidId::TooLong { max: self.id_chars_max } });
        }
        large("the URL of a branch", branch.forward_url.len().max(branch.backward_url.len()), self.url_bytes_max)?;
        large("the payload of a branch", branch.payload.len(), self.payload_bytes_max)
    }
}

fn too_many_chars(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().count() > max
}

fn many(what: &'static str, count: usize, max: usize) -> Result<(), DecodeError> {
    if count > max { Err(DecodeError::TooMany { what, count, max }) } else { Ok(()) }
}

fn large(what: &'static str, bytes: usize, max: usize) -> Result<(), DecodeError> {
    if bytes > max { Err(DecodeError::TooLarge { what, bytes, max }) } else { Ok(()) }
}
