use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Amendment, BranchId, BranchOp, BranchOutcome, Timestamp};

/// Where a transaction stands.
///
/// ```text
/// Prepared ──▶ Submitted ──▶ Committed
///     │            │ (saga only)
///     └──────────▶ Aborting ──▶ Aborted          any unfinished ──(operator's force)──▶ Stopped
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Begun, not decided.
    Prepared,
    /// Decided: goes forward.
    Submitted,
    /// Decided: turns back.
    Aborting,
    /// All forward operations are done. Final.
    Committed,
    /// Everything that may have been done is undone. Final.
    Aborted,
    /// Ended by an operator's force; claims nothing about effects. Final.
    Stopped,
}

impl Status {
    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Committed | Self::Aborted | Self::Stopped => true,
            Self::Prepared | Self::Submitted | Self::Aborting => false,
        }
    }
}

/// How far a transaction has come. Small; all that later commits write.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Where it stands.
    pub status: Status,
    /// One entry per branch, in the definition's order.
    pub branches: Vec<BranchProgress>,
    /// Message: the check-back.
    pub check_back: OpProgress,
    /// Saga: every action that may have been called.
    pub reach: Reach,
    /// Saga: unknown answers counted against the retry limit.
    pub retries: u32,
    /// Why it turned back or was stopped.
    pub reason: Option<String>,
    /// A human should look.
    pub attention: Option<Attention>,
    /// When it goes on by itself; `None` while it is driven, when final, or when only its initiator can move it.
    pub next_run_at: Option<Timestamp>,
    /// What the submit changed of the definition.
    pub amended: Option<Amendment>,
    /// The operator's order that turned it back or stopped it.
    pub order: Option<OperatorOrder>,
    /// When this last changed.
    pub updated_at: Timestamp,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
}

/// How far one branch has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BranchProgress {
    /// Action, confirm, commit or delivery.
    pub forward: OpProgress,
    /// Compensation, cancel or rollback.
    pub backward: OpProgress,
}

/// How far one operation has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpProgress {
    /// Its result so far.
    pub status: OpStatus,
    /// Unknown or refused answers in a row.
    pub failures: u32,
    /// Not before then. `None`: at once.
    pub next_at: Option<Timestamp>,
    /// When it got its result.
    pub finished_at: Option<Timestamp>,
}

/// The result of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpStatus {
    /// None yet.
    #[default]
    Open,
    /// Done.
    Done,
    /// Refused for good; only a saga's action ends so.
    Refused,
}

/// The actions of a saga that may have been called: what compensation undoes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any of them.
    All,
    /// These, by index.
    Steps(BTreeSet<u16>),
}

impl Reach {
    /// Nothing has been called.
    pub fn none() -> Self {
        Self::Steps(BTreeSet::new())
    }

    /// Whether step `index` may have been called.
    pub fn covers(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Steps(steps) => u16::try_from(index).is_ok_and(|i| steps.contains(&i)),
        }
    }

    pub(crate) fn add(&mut self, index: usize) {
        if let (Self::Steps(steps), Ok(index)) = (self, u16::try_from(index)) {
            steps.insert(index);
        }
    }
}

/// Names one operation of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// The branch by its index in the definition; `None` for the check-back.
    pub branch: Option<usize>,
    /// What is asked.
    pub op: BranchOp,
}

impl CallId {
    /// `op` of the branch at `index`.
    pub fn of(index: usize, op: BranchOp) -> Self {
        Self { branch: Some(index), op }
    }

    /// The question to a message's initiator.
    pub const CHECK_BACK: Self = Self { branch: None, op: BranchOp::CheckBack };
}

/// A flag: a human should look. The transaction is still driven.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Which operation is in trouble.
    pub call: CallId,
    /// What the trouble is, in our own words.
    pub reason: String,
    /// The first bytes of its last answer.
    pub last_answer: String,
    /// Since when.
    pub since: Timestamp,
}

/// What an operator ordered. Kept with the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorOrder {
    /// Who gave it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// One call that was made, for people who ask what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// When the answer came.
    pub at: Timestamp,
    /// Which branch; `None` for the check-back.
    pub branch: Option<BranchId>,
    /// What was asked.
    pub op: BranchOp,
    /// What the answer meant.
    pub outcome: BranchOutcome,
    /// The status code of the answer; `None` if there was none.
    pub code: Option<u16>,
    /// How long the call took.
    pub latency: Duration,
    /// The first bytes of the answer, or what went wrong.
    pub answer: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_covers_what_was_added_and_all_covers_everything() {
        let mut reach = Reach::none();
        assert!(!reach.covers(0));
        reach.add(3);
        assert_eq!([2, 3, 4].map(|index| reach.covers(index)), [false, true, false]);
        let mut all = Reach::All;
        all.add(3);
        assert!(all == Reach::All && all.covers(0) && all.covers(usize::MAX));
    }
}
