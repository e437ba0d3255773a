use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use escrow_txn::{BranchId, BranchOp, BranchOutcome, Gid, Pattern};

/// Makes calls to participants.
#[async_trait]
pub trait BranchCaller: Send + Sync {
    /// Makes one call, once, and says what the answer means.
    ///
    /// Never fails: no answer, a broken connection and an elapsed time-out are [`BranchOutcome::Unknown`]. Ends at latest
    /// after `call.timeout`.
    async fn call(&self, call: BranchCall) -> BranchReply;

    /// The lane that calls to this URL take: as a rule the host it names. Targets that share a lane share its cap.
    fn lane<'a>(&self, url: &'a str) -> Cow<'a, str>;
}

/// One call to a participant.
#[derive(Clone, Debug)]
pub struct BranchCall {
    /// The transaction.
    pub gid: Gid,
    /// Its rules.
    pub pattern: Pattern,
    /// The branch; `None` for a check-back, which asks the initiator.
    pub branch: Option<BranchId>,
    /// What is asked.
    pub op: BranchOp,
    /// Where; never empty.
    pub url: String,
    /// The body, byte for byte; empty for XA and for check-backs.
    pub payload: Bytes,
    /// Headers that the transaction adds to each of its calls.
    pub headers: Vec<(String, String)>,
    /// How long the whole call may take.
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchReply {
    /// What it means.
    pub outcome: BranchOutcome,
    /// The status code; `None` if there was no answer.
    pub code: Option<u16>,
    /// The answer's text; without a code what went wrong, in words that may be shown to anybody. Bounded by the caller.
    pub text: String,
}
