//! What every store must do, as a suite of tests that each store runs against itself.
//!
//! A store implements [`Subject`] in its tests and expands [`conformance!`](crate::conformance!) there: one test per
//! claim. The time is moved by hand, and nothing depends on how fast a store is.

// These are tests, though they are compiled for other crates to run.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use escrow_txn::{Gid, Timestamp};

use crate::{Clock, Settings, Store};

mod committing;
mod creating;
mod due;
mod listing;
mod purging;
pub mod sample;
mod settings;
mod transfer;

pub use committing::*;
pub use creating::*;
pub use due::*;
pub use listing::*;
pub use purging::*;
pub use settings::*;
pub use transfer::*;

/// One store under test, with the means to do to it what a test needs.
#[allow(async_fn_in_trait)]
pub trait Subject: Sized {
    /// The store.
    type Store: Store + Settings + fmt::Debug + 'static;

    /// Opens an empty store.
    async fn open(clock: Arc<dyn Clock>) -> Self;

    /// The store; whoever took it drops it before [`Subject::reopen`].
    fn store(&self) -> Arc<Self::Store>;

    /// Closes the store and opens it again on the same data.
    async fn reopen(self) -> Self;

    /// Damages a stored transaction, so that its record cannot be read.
    async fn damage(&self, gid: &Gid);
}

/// A clock that a test moves.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now.as_micros())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.store(self.now().plus(by).as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Expands to one `#[tokio::test]` per claim of the suite, run against the given [`Subject`](crate::conformance::Subject).
#[macro_export]
macro_rules! conformance {
    ($subject:ty) => {
        $crate::conformance! { @each $subject:
            a_new_transaction_is_found_as_it_was_created,
            an_absent_gid_is_not_found,
            a_taken_gid_answers_what_stands,
            of_concurrent_creates_of_one_gid_exactly_one_wins,
            any_legal_gid_can_be_stored,
            big_payloads_come_back_as_they_were,

            a_commit_moves_the_version_and_what_is_loaded,
            a_stale_version_is_a_conflict_and_writes_nothing,
            a_commit_on_an_absent_gid_is_a_conflict,
            of_concurrent_commits_from_one_version_exactly_one_wins,
            registered_branches_are_appended,
            the_last_attempts_are_kept,

            what_is_due_is_claimed_the_longest_due_first,
            what_is_claimed_is_not_due_again_until_a_new_time_is_stored,
            near_and_far_timers_fire_at_their_time,
            a_new_earlier_time_replaces_a_far_one,
            what_is_in_flight_is_not_due,
            what_was_in_flight_is_due_at_once_after_opening,
            waits_survive_opening,
            without_a_time_nothing_is_due,
            what_is_final_is_not_due,
            what_is_released_is_due_at_the_given_time,
            a_release_changes_nothing_that_waits_or_is_final_or_unknown,
            concurrent_claimers_get_each_transaction_once,
            a_damaged_record_is_never_read_as_absent_and_the_others_go_on,

            the_newest_come_first,
            pages_join_without_gap_or_repetition,
            a_page_is_never_longer_than_the_limit,
            every_filter_narrows_the_list,
            what_is_created_during_a_walk_is_not_shown_and_none_comes_twice,
            a_summary_tells_what_was_stored_last,

            only_final_and_old_transactions_are_purged,
            a_purged_gid_is_free,

            a_setting_is_read_as_it_was_written,
            a_setting_at_another_version_is_a_conflict,
            a_deleted_setting_is_gone,
            a_scan_lists_one_category_in_key_order,
            settings_survive_opening,
        }
    };
    (@each $subject:ty: $($claim:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $claim() {
                $crate::conformance::$claim::<$subject>().await;
            }
        )*
    };
}

/// The same for stores from which everything can be carried over into another one: their
/// [`Store`](crate::conformance::Subject::Store) is a [`Transfer`](crate::Transfer).
#[macro_export]
macro_rules! transfer_conformance {
    ($subject:ty) => {
        $crate::conformance! { @each $subject:
            what_is_carried_over_is_loaded_and_listed_the_same,
            an_export_comes_in_gid_order_and_its_pieces_join,
            what_is_carried_over_is_due_when_it_would_have_been,
            what_is_carried_over_goes_on_from_its_version,
            what_is_carried_over_twice_is_there_once_as_it_was_last,
            settings_are_carried_over_with_their_versions,
        }
    };
}
