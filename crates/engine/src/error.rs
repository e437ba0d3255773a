use std::sync::Arc;
use std::time::Duration;

use escrow_store::StoreError;
use escrow_txn::{Gid, IllegalEvent, InvalidDefinition, Pattern, RepeatRefused, Status};

/// Why a request was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request breaks a rule of shape or a limit; nothing was stored.
    #[error("transaction {gid} cannot be accepted")]
    Invalid {
        /// The transaction.
        gid: Gid,
        /// The rule.
        #[source]
        source: InvalidDefinition,
    },
    /// No transaction has this gid.
    #[error("there is no transaction {gid}")]
    NotFound {
        /// The gid.
        gid: Gid,
    },
    /// A message goes to a topic that nobody has subscribed to; nothing was stored.
    #[error("message {gid} goes to topic {topic}, which nobody has subscribed to")]
    NoSubscribers {
        /// The message.
        gid: Gid,
        /// The topic.
        topic: String,
    },
    /// A TCC or XA is submitted that was never prepared, or so long ago that it is forgotten.
    #[error("there is no prepared {pattern:?} {gid} to submit")]
    NotPrepared {
        /// The gid.
        gid: Gid,
        /// The rules that the request names.
        pattern: Pattern,
    },
    /// The gid is taken by another transaction, or the request comes too late.
    #[error("the request does not fit transaction {gid}")]
    Repeat {
        /// The transaction.
        gid: Gid,
        /// The difference.
        #[source]
        source: RepeatRefused,
    },
    /// The transaction's status does not allow it.
    #[error("the request does not fit transaction {gid}")]
    Illegal {
        /// The transaction.
        gid: Gid,
        /// Why not.
        #[source]
        source: IllegalEvent,
    },
    /// The transaction is on hold since its store was restored: nobody moves it until an operator releases it; nothing was
    /// stored.
    #[error("transaction {gid} is on hold until an operator releases it")]
    Held {
        /// The transaction.
        gid: Gid,
    },
    /// Too much work at the moment; nothing was stored.
    #[error("the coordinator has too much work at the moment")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The coordinator is stopping; nothing was stored.
    #[error("the coordinator is stopping")]
    ShuttingDown,
    /// The store did not answer. With [`StoreError::Unknown`] the request may have been carried out: repeat it.
    #[error("the store did not carry out the request for transaction {gid}")]
    Store {
        /// The transaction.
        gid: Gid,
        /// Why not.
        #[source]
        source: Arc<StoreError>,
    },
    /// Nobody can say whether the request was carried out: its answer did not come in time, or the coordinator lost the
    /// transaction meanwhile. Repeat the request.
    #[error("it is not known whether the request for transaction {gid} was carried out: repeat it")]
    Interrupted {
        /// The transaction.
        gid: Gid,
    },
}

impl RequestError {
    /// The status that stands in the way, where it is a status that does.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Repeat { source: RepeatRefused::Status { status }, .. }
            | Self::Illegal { source: IllegalEvent::Status { status, .. }, .. } => Some(*status),
            _ => None,
        }
    }
}
