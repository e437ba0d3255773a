//! The stable names of everything that can go wrong; `docs/errors/` has a page for each.

use std::collections::BTreeSet;

use escrow_wire::dtm::DecodeError;

/// The header of a response that holds the code.
pub(crate) const HEADER: &str = "x-escrow-error";

/// A name that does not change for a kind of error. Only this module makes them, so the list below is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(&'static str);

macro_rules! codes {
    ($($name:ident = $text:literal;)+) => {
        impl Code {
            $(pub(crate) const $name: Self = Self($text);)+
        }

        const OWN: &[&str] = &[$($text),+];
    };
}

codes! {
    // What is wrong with a request before anybody reads what it is about.
    BAD_HOST = "bad_host";
    UNKNOWN_HOST = "unknown_host";
    FOREIGN_ORIGIN = "foreign_origin";
    TOO_LARGE = "too_large";
    TOO_SLOW = "too_slow";
    BROKEN_BODY = "broken_body";
    NOT_SUPPORTED = "not_supported";
    INVALID_PARAMETER = "invalid_parameter";
    INVALID_DEFINITION = "invalid_definition";
    NO_CHECK_BACK = "no_check_back";
    TOPIC_NOT_FOUND = "topic_not_found";
    ALREADY_SUBSCRIBED = "already_subscribed";
    NOT_SUBSCRIBED = "not_subscribed";
    TOPIC_CHANGED = "topic_changed";

    // What does not fit the transaction as it stands.
    NOT_FOUND = "not_found";
    NOT_PREPARED = "not_prepared";
    TYPE_MISMATCH = "type_mismatch";
    DEFINITION_MISMATCH = "definition_mismatch";
    BRANCH_MISMATCH = "branch_mismatch";
    WRONG_STATUS = "wrong_status";
    CORRUPT_RECORD = "corrupt_record";

    // What passes.
    TOO_MANY_CONNECTIONS = "too_many_connections";
    OVERLOADED = "overloaded";
    SHUTTING_DOWN = "shutting_down";
    INTERRUPTED = "interrupted";
    ON_HOLD = "on_hold";
    STORE_BUSY = "store_busy";
    STORE_DOWN = "store_down";
    STORE_UNKNOWN = "store_unknown";
    INTERNAL = "internal";

    // What keeps a coordinator from starting, or ends it.
    INVALID_CONFIG = "invalid_config";
    STORE_LOCKED = "store_locked";
    STORE_NEWER = "store_newer";
    STORE_DAMAGED = "store_damaged";
    STORE_GONE = "store_gone";
    NOT_A_STORE = "not_a_store";
    STORE_UNUSABLE = "store_unusable";
    OTHER_STORE = "other_store";
    CANNOT_LISTEN = "cannot_listen";
    STORE_FAILED = "store_failed";

    // Why a store is not copied, backed up or restored, or not whole.
    COPY_REFUSED = "copy_refused";
    COPY_INCOMPLETE = "copy_incomplete";
    NOT_EMPTY = "not_empty";
    NOT_A_BACKUP = "not_a_backup";
    BACKUP_INCOMPLETE = "backup_incomplete";
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }
}

impl From<&DecodeError> for Code {
    fn from(error: &DecodeError) -> Self {
        Self(error.code())
    }
}

/// Every code that a request can be answered with, or that a start can end with.
pub fn error_codes() -> BTreeSet<&'static str> {
    OWN.iter().chain(DecodeError::CODES).copied().collect()
}
