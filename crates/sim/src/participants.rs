//! The participants: their barrier, their books, and the initiators' local transactions.

use std::collections::{BTreeMap, BTreeSet};

use escrow_txn::{BranchOp, BranchOutcome};

use crate::sights::{Sight, Sights};

/// One branch of one transaction, by gid and branch id.
pub(crate) type Key = (String, String);

/// All participants of the world.
#[derive(Debug)]
pub(crate) struct Participants {
    sights: Sights,
    books: BTreeMap<Key, Book>,
    /// Business decisions: these branches refuse what can be refused.
    refusing: BTreeSet<Key>,
    /// How often these branches still answer *in progress*.
    busy: BTreeMap<Key, u32>,
    /// Actions of whose success the coordinator has heard.
    heard: BTreeSet<Key>,
    /// Refused actions, by gid.
    refused: BTreeMap<String, BTreeSet<String>>,
    /// Barrier rows of the initiators' local transactions: whether it committed.
    local: BTreeMap<String, bool>,
    /// What was seen to be impossible.
    pub(crate) broken: Vec<String>,
}

/// What one branch has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Barrier rows: operations that ran, or were kept from running.
    rows: BTreeSet<BranchOp>,
    /// Reserved or prepared, not decided.
    pub held: i32,
    /// In effect.
    pub posted: i32,
    /// Forward operations that ran: action, confirm, commit, delivery.
    pub forward_runs: u32,
    /// Backward operations that ran and undid something.
    pub backward_runs: u32,
}

impl Participants {
    pub(crate) fn new(sights: Sights) -> Self {
        Self {
            sights,
            books: BTreeMap::new(),
            refusing: BTreeSet::new(),
            busy: BTreeMap::new(),
            heard: BTreeSet::new(),
            refused: BTreeMap::new(),
            local: BTreeMap::new(),
            broken: Vec::new(),
        }
    }

    /// The coordinator has heard that this action is done.
    pub(crate) fn hear(&mut self, key: Key) {
        self.heard.insert(key);
    }

    pub(crate) fn refuse(&mut self, key: Key) {
        self.refusing.insert(key);
    }

    pub(crate) fn be_busy(&mut self, key: Key, times: u32) {
        self.busy.insert(key, times);
    }

    pub(crate) fn book(&self, gid: &str, branch: &str) -> Book {
        self.books.get(&(gid.to_owned(), branch.to_owned())).cloned().unwrap_or_default()
    }

    /// Does what a branch is asked for, by the barrier's table.
    pub(crate) fn handle(&mut self, key: &Key, op: BranchOp) -> BranchOutcome {
        if let Some(left) = self.busy.get_mut(key).filter(|left| **left > 0) {
            *left -= 1;
            return BranchOutcome::InProgress;
        }
        let refuses = matches!(op, BranchOp::Action | BranchOp::Try | BranchOp::Prepare) && self.refusing.contains(key);
        let book = self.books.entry(key.clone()).or_default();
        if let Some(origin) = origin(op) {
            let origin_is_new = book.rows.insert(origin);
            let first = book.rows.insert(op);
            match (first, origin_is_new) {
                (true, true) => self.sights.saw(Sight::EmptyUndo),
                (true, false) => {
                    book.undo(op);
                    if op == BranchOp::Compensate && !self.heard.contains(key) {
                        self.sights.saw(Sight::UnknownUndone);
                    }
                }
                (false, _) => {}
            }
            return BranchOutcome::Done; // Undone, nothing to undo, or a repeat.
        }
        if book.rows.contains(&op) {
            self.sights.saw(book.why_kept_out(op));
            return BranchOutcome::Done; // A repeat, or late: its undo came first and took the row.
        }
        if refuses {
            let refused = self.refused.entry(key.0.clone()).or_default();
            if op == BranchOp::Action && refused.insert(key.1.clone()) && refused.len() == 2 {
                self.sights.saw(Sight::TwoRefusals);
            }
            return BranchOutcome::Refused; // Rolled back, barrier row included.
        }
        book.rows.insert(op);
        if !book.forward(op) {
            self.broken.push(format!("{op:?} of {key:?} found nothing held"));
        }
        BranchOutcome::Done
    }

    /// The initiator's local transaction commits, unless the check-back has ruled that out.
    pub(crate) fn commit_locally(&mut self, gid: &str) -> bool {
        *self.local.entry(gid.to_owned()).or_insert(true)
    }

    /// Whether the initiator's local transaction committed; if it did not, it never can any more.
    pub(crate) fn check_back(&mut self, gid: &str) -> BranchOutcome {
        if *self.local.entry(gid.to_owned()).or_insert(false) { BranchOutcome::Done } else { BranchOutcome::Refused }
    }

    pub(crate) fn committed_locally(&self, gid: &str) -> bool {
        self.local.get(gid).copied().unwrap_or(false)
    }
}

impl Book {
    /// The row of this forward operation is taken.
    fn why_kept_out(&self, op: BranchOp) -> Sight {
        match op {
            _ if self.rows.iter().any(|undo| origin(*undo) == Some(op)) => Sight::LateForward,
            BranchOp::Confirm | BranchOp::Commit => Sight::DuplicateConfirm,
            _ => Sight::DuplicateForward,
        }
    }

    fn forward(&mut self, op: BranchOp) -> bool {
        match op {
            BranchOp::Try | BranchOp::Prepare => self.held += 1,
            BranchOp::Confirm | BranchOp::Commit => {
                self.forward_runs += 1;
                self.held -= 1;
                self.posted += 1;
                return self.held >= 0;
            }
            BranchOp::Action | BranchOp::Deliver => {
                self.forward_runs += 1;
                self.posted += 1;
            }
            BranchOp::Compensate | BranchOp::Cancel | BranchOp::Rollback | BranchOp::CheckBack => return false,
        }
        true
    }

    fn undo(&mut self, op: BranchOp) {
        self.backward_runs += 1;
        match op {
            BranchOp::Compensate => self.posted -= 1,
            _ => self.held -= 1,
        }
    }
}

/// What an undoing operation undoes.
fn origin(op: BranchOp) -> Option<BranchOp> {
    match op {
        BranchOp::Compensate => Some(BranchOp::Action),
        BranchOp::Cancel => Some(BranchOp::Try),
        BranchOp::Rollback => Some(BranchOp::Prepare),
        _ => None,
    }
}
