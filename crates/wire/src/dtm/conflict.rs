//! What a request that comes too late is told, in DTM's words (its misspelling included). [`Reply::failure`] puts the
//! ending behind it that clients look for.
//!
//! [`Reply::failure`]: super::Reply::failure

use escrow_txn::{Gid, Pattern, Status};

use super::{status_word, trans_type};

/// A prepare of a transaction that is decided.
pub fn cannot_prepare(status: Status) -> String {
    format!("current status '{}', cannot prepare.", status_word(status))
}

/// A submit of a transaction that is turned back or final.
pub fn cannot_submit(status: Status) -> String {
    format!("current status '{}', cannot sumbmit.", status_word(status))
}

/// An abort of a transaction that goes forward or is final; `stored` is what it was begun as.
pub fn cannot_abort(stored: Pattern, status: Status) -> String {
    format!("trans type: '{}' current status '{}', cannot abort.", trans_type(stored), status_word(status))
}

/// A forceStop of a final transaction.
pub fn cannot_force_stop(status: Status) -> String {
    format!("global transaction force stop error. status: {}. error:", status_word(status))
}

/// A registration that comes after the decision, or without a prepare.
pub fn cannot_register(gid: &Gid) -> String {
    format!("no trans with gid: {gid} status: prepared found")
}

/// Any other request for a gid that nobody has begun; not a [`Reply::failure`](super::Reply::failure) but an error.
pub fn unknown_gid(gid: &Gid) -> String {
    format!("no TransGlobal with gid: {gid} found")
}
