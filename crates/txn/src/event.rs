use std::time::Duration;

use crate::{Amendment, Branch, BranchOutcome, CallId};

/// What can happen to a transaction.
#[derive(Clone, Debug)]
pub enum Event {
    /// The initiator decides: forward.
    Submit {
        /// Options and free text that came with the submit; a transaction that was not prepared has none.
        amendment: Amendment,
        /// Steps that came with the submit, those to topics in place of them; they count if the prepare carried none.
        branches: Vec<Branch>,
    },
    /// The initiator decides: back.
    Abort {
        /// Why, in the initiator's words.
        reason: Option<String>,
    },
    /// A participant joins.
    Register(Branch),
    /// A call came back, or did not.
    Answer(Answer),
    /// Time has passed.
    Wake,
    /// An operator asks to go on at once.
    RetryNow,
    /// An operator turns back a submitted saga.
    OrderAbort(Operator),
    /// An operator ends it, whatever has been done.
    ForceStop(Operator),
}

/// Who gives an order, and why.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What came back from one call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which call.
    pub call: CallId,
    /// What it means.
    pub outcome: BranchOutcome,
    /// The status code, if there was an answer.
    pub code: Option<u16>,
    /// How long it took.
    pub latency: Duration,
    /// The answer's text; without a code what went wrong, in words that may be shown to anybody.
    pub text: String,
}
