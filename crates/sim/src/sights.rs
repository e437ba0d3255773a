//! What simulations have to come across: a run that never gets there proves nothing about it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use escrow_engine::Observer;
use escrow_txn::{BranchOp, BranchOutcome, Pattern, Status};

macro_rules! sights {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Something that can happen in a simulation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sight {
            $($(#[$doc])* $name,)+
        }

        impl Sight {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

sights! {
    /// A compensation, cancel or rollback came before what it undoes, and did nothing.
    EmptyUndo,
    /// An action, try or prepare came after its undoing, and was kept out.
    LateForward,
    /// A confirm or commit came twice.
    DuplicateConfirm,
    /// An action or delivery came twice.
    DuplicateForward,
    /// A participant had done it, and the asker did not hear of it.
    ReplyLost,
    /// A request arrived after its asker had given it up.
    LateRequest,
    /// A compensation undid an action of whose success the coordinator never heard.
    UnknownUndone,
    /// Two actions of one saga were refused.
    TwoRefusals,
    /// A check-back found the local transaction committed.
    CheckBackCommitted,
    /// A check-back found that it did not commit.
    CheckBackRolledBack,
    /// A check-back brought no answer.
    CheckBackUnknown,
    /// A participant was still at work.
    InProgress,
    /// The coordinator crashed before a write was durable.
    WriteLost,
    /// The coordinator crashed after a write was durable, before it heard of it.
    WriteUnheard,
    /// The coordinator crashed when a call was about to leave.
    CallLost,
    /// The coordinator crashed when an answer had come.
    AnswerLost,
    /// The coordinator crashed soon after it had started on what another one left.
    CrashInRecovery,
    /// The clock was set back between two lives of the coordinator.
    ClockSetBack,
    /// A transaction asked for a human.
    Attention,
    /// A request was turned away for too much work.
    Shed,
    /// A branch came to register after the decision, and was refused.
    LateRegistration,
    /// A submit came after the transaction had turned back, and was refused.
    LateSubmit,
    /// A gid was used again for another transaction, and that was refused.
    GidReuseRefused,
    /// A caller that waited heard how it ended.
    ResultHeard,
    /// A caller that waited heard that it goes on waiting.
    WaitHeard,
    /// Turned back because an action was refused.
    TurnedBackByRefusal,
    /// Turned back because time was up.
    TurnedBackByTimeout,
    /// Turned back because of too many unknown answers.
    TurnedBackByRetryLimit,
    /// Turned back by an operator.
    TurnedBackByOrder,
    /// Turned back by its initiator.
    TurnedBackByInitiator,
}

/// Counts them. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sights(Arc<Mutex<BTreeMap<Sight, u64>>>);

impl Sights {
    pub(crate) fn saw(&self, sight: Sight) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(sight).or_default() += 1;
    }

    pub(crate) fn counted(&self) -> BTreeMap<Sight, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a transaction turned back, by the reason that is stored with it.
    pub(crate) fn saw_reason(&self, reason: &str) {
        let by_beginning = [
            ("url:", Sight::TurnedBackByRefusal),
            ("Timeout after", Sight::TurnedBackByTimeout),
            ("RetryCount", Sight::TurnedBackByRetryLimit),
            ("turned back by", Sight::TurnedBackByOrder),
            ("client", Sight::TurnedBackByInitiator),
        ];
        by_beginning
            .iter()
            .filter(|(beginning, _)| reason.starts_with(beginning))
            .for_each(|(_, sight)| self.saw(*sight));
    }
}

impl Observer for Sights {
    fn attention(&self, _pattern: Pattern) {
        self.saw(Sight::Attention);
    }

    fn answered(&self, _pattern: Pattern, op: BranchOp, outcome: BranchOutcome, _latency: Duration) {
        match (op, outcome) {
            (BranchOp::CheckBack, BranchOutcome::Done) => self.saw(Sight::CheckBackCommitted),
            (BranchOp::CheckBack, BranchOutcome::Refused) => self.saw(Sight::CheckBackRolledBack),
            (BranchOp::CheckBack, BranchOutcome::Unknown) => self.saw(Sight::CheckBackUnknown),
            (_, BranchOutcome::InProgress) => self.saw(Sight::InProgress),
            _ => {}
        }
    }

    fn finished(&self, _pattern: Pattern, _status: Status, _age: Duration) {}
}
