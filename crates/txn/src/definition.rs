use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::progress::{Attempt, Progress};
use crate::{BranchId, BusinessKey, Gid, Options, Timestamp, limits};

/// One whole global transaction, as it is stored: what it is, how far it has come, and its last attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Txn {
    /// What the transaction is; later registrations are appended, nothing else ever changes.
    pub def: Arc<Definition>,
    /// How far it has come.
    pub progress: Progress,
    /// The last [`limits::ATTEMPTS_MAX`] calls, oldest first.
    pub history: Vec<Attempt>,
}

impl Txn {
    /// The options in force: the definition's, or what the submit made of them.
    pub fn options(&self) -> &Options {
        self.progress.amended.as_ref().map_or(&self.def.options, |a| &a.options)
    }

    /// The initiator's free text in force.
    pub fn custom_data(&self) -> &str {
        self.progress.amended.as_ref().map_or(&self.def.custom_data, |a| &a.custom_data)
    }
}

/// Which rules drive a transaction.
///
/// Workflow and notification come later; their record tags are reserved in the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Actions forward, compensations in reverse.
    Saga,
    /// Try by the initiator, confirm or cancel by the coordinator.
    Tcc,
    /// Prepare by the participant, commit or rollback by the coordinator.
    Xa,
    /// Two-phase message: deliver what the initiator's local transaction decided.
    Message,
}

/// What a transaction is. Written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its id.
    pub gid: Gid,
    /// Its rules.
    pub pattern: Pattern,
    /// When the coordinator first heard of it.
    pub created_at: Timestamp,
    /// How it wants to be driven, as first sent.
    pub options: Options,
    /// Saga: for each step (by index), the earlier steps it has to wait for besides the sequence; shorter than the steps
    /// if the later ones wait for none.
    pub orders: Vec<Vec<u16>>,
    /// Message: where to ask whether the initiator's local transaction committed. Empty: nowhere.
    pub check_back_url: String,
    /// Free text of the initiator.
    pub custom_data: String,
    /// What people know it by.
    pub business_key: Option<BusinessKey>,
    /// Tells a repeated request from a reused gid. `None`: no request has carried steps yet.
    pub digest: Option<Digest>,
    /// Steps, or registered branches in the order of their registration.
    pub branches: Vec<Branch>,
}

/// One participant's part.
///
/// | pattern | forward | backward |
/// |---|---|---|
/// | saga | action | compensate |
/// | TCC | confirm | cancel |
/// | XA | commit | rollback (same URL) |
/// | message | deliver | none |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Unique within the transaction.
    pub id: BranchId,
    /// Where to call to complete. Empty: done without a call.
    pub forward_url: String,
    /// Where to call to turn back. Empty: done without a call.
    pub backward_url: String,
    /// The body of both calls, byte for byte as it came.
    pub payload: Bytes,
}

/// What is asked of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BranchOp {
    /// Saga, forward.
    Action,
    /// Saga, backward.
    Compensate,
    /// TCC, phase one; the initiator calls it, never the coordinator.
    Try,
    /// TCC, forward.
    Confirm,
    /// TCC, backward.
    Cancel,
    /// XA, phase one; the initiator calls it, never the coordinator.
    Prepare,
    /// XA, forward.
    Commit,
    /// XA, backward.
    Rollback,
    /// Message, forward.
    Deliver,
    /// Message: has the initiator's local transaction committed? Asked of the initiator, not of a branch.
    CheckBack,
}

/// What a branch answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BranchOutcome {
    /// It is done.
    Done,
    /// It was not done and will not be.
    Refused,
    /// It is being done: ask again at the same pace.
    InProgress,
    /// Nobody knows: a time-out, a broken connection, a server error. It may have been done.
    Unknown,
}

impl Pattern {
    /// The operation that completes a branch.
    pub fn forward_op(self) -> BranchOp {
        match self {
            Self::Saga => BranchOp::Action,
            Self::Tcc => BranchOp::Confirm,
            Self::Xa => BranchOp::Commit,
            Self::Message => BranchOp::Deliver,
        }
    }

    /// The operation that turns a branch back; `None` where nothing is ever turned back.
    pub fn backward_op(self) -> Option<BranchOp> {
        match self {
            Self::Saga => Some(BranchOp::Compensate),
            Self::Tcc => Some(BranchOp::Cancel),
            Self::Xa => Some(BranchOp::Rollback),
            Self::Message => None,
        }
    }

    /// Whether the initiator registers branches while the transaction is prepared.
    pub fn registers_branches(self) -> bool {
        match self {
            Self::Tcc | Self::Xa => true,
            Self::Saga | Self::Message => false,
        }
    }
}

/// Tells a repeated request from another one under the same gid: covers pattern, steps and payloads, and neither options,
/// free text nor the check-back address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of the steps as they were sent; `None` if there are none.
    pub fn of(pattern: Pattern, branches: &[Branch]) -> Option<Self> {
        if branches.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&[pattern as u8]);
        for branch in branches {
            part(branch.id.as_str().as_bytes());
            part(branch.forward_url.as_bytes());
            part(branch.backward_url.as_bytes());
            part(&branch.payload);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        Some(Self(short))
    }

    /// The digest with these bytes, as read from a record.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as written to a record.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a definition cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDefinition {
    /// See [`limits::BRANCHES_MAX`].
    #[error("{count} branches are more than the {} allowed", limits::BRANCHES_MAX)]
    TooManyBranches {
        /// How many there are.
        count: usize,
    },
    /// See [`limits::URL_BYTES_MAX`].
    #[error("the {what} of branch {branch} is longer than {} bytes", limits::URL_BYTES_MAX)]
    UrlTooLong {
        /// The branch.
        branch: BranchId,
        /// Which URL.
        what: &'static str,
    },
    /// See [`limits::URL_BYTES_MAX`].
    #[error("query_prepared is longer than {} bytes", limits::URL_BYTES_MAX)]
    CheckBackUrlTooLong,
    /// See [`limits::PAYLOAD_BYTES_MAX`].
    #[error("the payload of branch {branch} is larger than {} bytes", limits::PAYLOAD_BYTES_MAX)]
    PayloadTooLarge {
        /// The branch.
        branch: BranchId,
    },
    /// See [`limits::PAYLOADS_BYTES_MAX`].
    #[error("the payloads together are larger than {} bytes", limits::PAYLOADS_BYTES_MAX)]
    PayloadsTooLarge,
    /// See [`limits::BRANCH_HEADERS_MAX`].
    #[error("{count} branch headers are more than the {} allowed", limits::BRANCH_HEADERS_MAX)]
    TooManyHeaders {
        /// How many there are.
        count: usize,
    },
    /// Branch ids are unique within a transaction.
    #[error("branch {branch} is declared twice")]
    DuplicateBranch {
        /// The branch.
        branch: BranchId,
    },
    /// A step may only wait for other steps that exist.
    #[error("step {step} cannot wait for step {waits_for}")]
    BadOrder {
        /// The waiting step, counted from 0.
        step: usize,
        /// What it should wait for.
        waits_for: u16,
    },
    /// See [`limits::ORDERS_MAX`].
    #[error("{count} orders between steps are more than the {} allowed", limits::ORDERS_MAX)]
    TooManyOrders {
        /// How many there are.
        count: usize,
    },
    /// Steps that wait for each other never start.
    #[error("the orders of the steps form a circle")]
    CircularOrders,
    /// A prepared message without it could never be decided after a crash of its initiator.
    #[error(
        "a prepared message needs query_prepared: without it nobody could say whether its local transaction committed"
    )]
    NoCheckBack,
}

impl Definition {
    /// Checks the limits and the shape of a new transaction.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), InvalidDefinition> {
        if self.branches.len() > limits::BRANCHES_MAX {
            return Err(InvalidDefinition::TooManyBranches { count: self.branches.len() });
        }
        if self.check_back_url.len() > limits::URL_BYTES_MAX {
            return Err(InvalidDefinition::CheckBackUrlTooLong);
        }
        if self.options.branch_headers.len() > limits::BRANCH_HEADERS_MAX {
            return Err(InvalidDefinition::TooManyHeaders { count: self.options.branch_headers.len() });
        }
        self.branches.iter().try_for_each(Branch::check)?;
        if self.branches.iter().map(|b| b.payload.len()).sum::<usize>() > limits::PAYLOADS_BYTES_MAX {
            return Err(InvalidDefinition::PayloadsTooLarge);
        }
        self.check_ids_unique()?;
        crate::saga::check_orders(self)
    }

    /// About how much memory it takes: what its sender chose the size of.
    pub fn bytes(&self) -> usize {
        self.custom_data.len() + self.check_back_url.len() + self.branches.iter().map(Branch::bytes).sum::<usize>()
    }

    fn check_ids_unique(&self) -> Result<(), InvalidDefinition> {
        let mut ids: Vec<_> = self.branches.iter().map(|b| &b.id).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(InvalidDefinition::DuplicateBranch { branch: pair[0].clone() }),
            None => Ok(()),
        }
    }
}

/// What the address of a topic begins with.
const TOPIC: &str = "topic://";

impl Branch {
    /// The topic that a message's step is addressed to; `None` if it has an address of its own.
    pub fn topic(&self) -> Option<&str> {
        self.forward_url.strip_prefix(TOPIC)
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.forward_url.len() + self.backward_url.len()
    }

    /// Checks the limits of one branch.
    ///
    /// # Errors
    /// The first limit that is passed.
    pub fn check(&self) -> Result<(), InvalidDefinition> {
        let branch = self.id.clone();
        if self.forward_url.len() > limits::URL_BYTES_MAX {
            return Err(InvalidDefinition::UrlTooLong { branch, what: "forward URL" });
        }
        if self.backward_url.len() > limits::URL_BYTES_MAX {
            return Err(InvalidDefinition::UrlTooLong { branch, what: "backward URL" });
        }
        if self.payload.len() > limits::PAYLOAD_BYTES_MAX {
            return Err(InvalidDefinition::PayloadTooLarge { branch });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
