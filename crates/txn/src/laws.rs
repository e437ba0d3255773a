//! The laws of the rules, checked on every small transaction and on random larger ones.
//!
//! A [`World`](world::World) keeps the books that the rules never see (what was called and done, in every life of the
//! coordinator) and checks each law at the moment it could break: the laws themselves are in [`checks`]. [`explore`] walks
//! through everything that can happen to a small transaction; [`walks`] walks at random through larger ones; [`effects`]
//! looks at what is left at the participants.

// Here a wildcard means "everything else breaks the law": a new state breaks it until somebody says otherwise.
#![allow(clippy::wildcard_enum_match_arm)]

/// Ends the check with a broken law, in words.
macro_rules! law {
    ($holds:expr, $($says:tt)+) => {
        if !$holds {
            return Err(format!($($says)+));
        }
    };
}

mod effects;
mod explore;
mod walks;

mod checks;
mod facts;
mod fingerprint;
mod moves;
pub(crate) mod samples;
pub(crate) mod world;
